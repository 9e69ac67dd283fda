/* ways.c - where those are who registered: the contacts of a number, in the order to try. */
#include "sbc/reg/internal.h"

static unsigned add_ways(struct reg *r, uint32_t trunk_id, struct str aor, struct str number, struct str sg,
    struct buf *space, struct reg_way *ways, unsigned n)
{
	for (const struct reg_contact *c = bindings_next(r->bindings, trunk_id, aor, NULL); c && n < REG_WAYS_MAX;
	     c = bindings_next(r->bindings, trunk_id, aor, c)) {
		struct sip_uri bulk;
		struct buf one;

		buf_init(&one, space->p + space->n, space->cap - space->n);
		if (number.n && !aor.n) {
			/* without GIN the number takes the place of the pilot's user (3CX's rinstance and its like stay) */
			if (sip_uri_parse(c->uri, &bulk) < 0 || gin_expand(&bulk, number, c->bulk ? sg : STR_NONE, &one) < 0)
				continue;
		} else {
			/* a request URI has no header fields (RFC 3261 19.1.1) */
			if (sip_uri_parse(c->uri, &bulk) < 0)
				continue;
			buf_str(&one, str_head(c->uri, c->uri.n - (bulk.headers.p ? bulk.headers.n + 1 : 0)));
		}
		if (buf_err(&one))
			break;
		space->n += one.n;
		ways[n++] = (struct reg_way){.contact = c, .uri = buf_text(&one), .route = c->path};
	}
	return n;
}

unsigned reg_ways(struct reg *r, uint32_t trunk_id, struct str number, struct str sg, struct buf *space,
    struct reg_way ways[REG_WAYS_MAX])
{
	unsigned n = number.n ? add_ways(r, trunk_id, number, number, sg, space, ways, 0) : 0;

	return add_ways(r, trunk_id, STR_NONE, number, sg, space, ways, n);
}
