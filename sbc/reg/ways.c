/* ways.c - where those are who registered: the contacts of a number, in the order to try.
 *
 * A call to a GRUU reaches the one contact it was made for, and no other (RFC 5627 5.1): by the instance in gr= when it
 * is a public one, by the registration in its cookie when it is a temporary one (RFC 6140 7.1.2.3).
 */
#include "sbc/reg/internal.h"

#include <errno.h>

#include "sbc/reg/flow_token.h"
#include "sbc/reg/prefs.h"
#include "sbc/sip/header.h"

/* The value of gr=, or empty: the URI names no instance. */
static struct str gr_of(const struct sip_uri *u)
{
	struct str v = STR_NONE;

	(void)sip_param_get(u->params, S("gr"), &v);
	return v;
}

bool reg_is_gruu(const struct sip_uri *u)
{
	return gin_temp_gruu_is(u->user) || gr_of(u).n > 0;
}

enum reason reg_find_gruu(struct reg *r, uint32_t from_trunk, const struct sip_uri *u, const struct reg_contact **ret)
{
	uint8_t cookie[GIN_COOKIE_RAW];
	const struct reg_contact *c;
	enum reason why;

	*ret = NULL;
	if (!gin_temp_gruu_is(u->user))
		return REASON_NONE;
	why = gruu_open(&r->gruu, from_trunk, u->user, cookie);
	if (why != REASON_NONE)
		return why;
	c = bindings_find(r->bindings, gin_cookie_of(cookie));
	if (!c || gin_cookie_check(&r->gruu.secret, cookie, c->call_id) < 0)
		return REASON_GRUU_UNKNOWN; /* made up, or its registration is over (RFC 6140 7.1.2.1) */
	*ret = c;
	return REASON_NONE;
}

/* In whichever realm: it was given out in one, and may come back in another. */
static bool ours(const struct reg *r, const struct sip_uri *u)
{
	for (unsigned i = 0; r->policy && i < policy_realm_count(r->policy); i++)
		if (reg_host_ours(r, i, u))
			return true;
	return false;
}

enum reason reg_find_flow(struct reg *r, uint32_t from_trunk, const struct sip_msg *m, const struct reg_contact **ret)
{
	struct sip_values values = sip_values(m, SIP_H_ROUTE);
	const struct reg_contact *c;
	char text[2 * FLOW_TOKEN_TEXT];
	struct sip_addr route;
	struct str first;
	struct buf token;
	uint32_t flow;
	uint64_t id;

	*ret = NULL;
	if (!sip_hdr(m, SIP_H_ROUTE) || !sip_values_next(&values, &first) || sip_addr_parse(first, &route) < 0 ||
	    !flow_token_is(route.uri.user) || !ours(r, &route.uri))
		return REASON_NONE;
	buf_init(&token, text, sizeof(text));
	sip_unescape(&token, route.uri.user);
	if (buf_err(&token) || flow_token_open(&r->gruu.secret, buf_text(&token), &id, &flow) < 0)
		return REASON_FLOW_FORGED;
	c = bindings_find(r->bindings, id);
	if (!c || flow_token_flow(&c->flow) != flow || (r->cfg.net && !net_alive(r->cfg.net, &c->flow)))
		return REASON_FLOW_FAILED;
	if (c->trunk_id != from_trunk)
		*ret = c;
	return REASON_NONE;
}

/* Everything of a contact's URI but header fields, which a request URI does not have (RFC 3261 19.1.1). */
static void put_plain(struct buf *b, const struct sip_uri *u)
{
	buf_str(b, str_head(u->raw, u->raw.n - (u->headers.p ? u->headers.n + 1 : 0)));
}

/* A bulk contact as the PBX gets it for a temporary GRUU: the user part goes there as it is, and so does gr=, which
 * says which phone (RFC 6140 7.1.2.3, .4). */
static int put_temp(struct buf *b, const struct sip_uri *bulk, const struct sip_uri *asked)
{
	struct str gr = STR_NONE, sg = gin_sg(asked);
	bool has_gr = sip_param_get(asked->params, S("gr"), &gr);

	if (gin_expand_user(bulk, asked->user, sg, b) < 0)
		return -EINVAL;
	if (has_gr) {
		buf_lit(b, ";gr");
		if (gr.p) {
			buf_chr(b, '=');
			buf_str(b, gr);
		}
	}
	return buf_err(b);
}

/* Its request URI; false: it cannot be made. */
static bool make_uri(const struct reg_contact *c, struct str aor, const struct reg_wish *w, struct buf *one)
{
	bool temp = w->uri && gin_temp_gruu_is(w->uri->user);
	struct str sg = c->bulk && w->uri ? gin_sg(w->uri) : STR_NONE;
	struct sip_uri u;

	if (c->expand.n && w->number.n && !aor.n && !temp && !sg.n)
		return gin_expand_with(c->expand, w->number, one) == 0;
	if (sip_uri_parse(c->uri, &u) < 0)
		return false;
	if (temp && c->bulk)
		return put_temp(one, &u, w->uri) == 0;
	/* without GIN the number takes the place of the pilot's user (3CX's rinstance and its like stay) */
	if (w->number.n && !aor.n && !temp)
		return gin_expand(&u, w->number, sg, one) == 0;
	put_plain(one, &u);
	return true;
}

static bool is_instance(const struct reg_contact *c, struct str gr)
{
	return c->instance.n == gr.n + 2 && str_eq(str_n(c->instance.p + 1, gr.n), gr);
}

struct collect {
	struct reg_way *ways;
	struct buf *space;
	int score[REG_WAYS_MAX];
	uint8_t rank[REG_WAYS_MAX]; /* explicit registrations before those of the trunk */
	unsigned n;
};

static void add(struct collect *l, const struct reg_contact *c, struct str aor, const struct reg_wish *w)
{
	int score = w->msg ? prefs_score(w->msg, c->params, c->instance) : 1000;
	uint8_t rank = aor.n == 0;
	struct buf one;
	unsigned i;

	if (score < 0 || l->n == REG_WAYS_MAX)
		return;
	buf_init(&one, l->space->p + l->space->n, l->space->cap - l->space->n);
	if (!make_uri(c, aor, w, &one) || buf_err(&one))
		return;
	l->space->n += one.n;
	/* they come by q; among equals the caller's wishes decide (RFC 3841 7.2.4) */
	for (i = l->n; i > 0 && l->rank[i - 1] == rank && l->ways[i - 1].contact->q == c->q && l->score[i - 1] < score; i--) {
		l->ways[i] = l->ways[i - 1];
		l->score[i] = l->score[i - 1];
		l->rank[i] = l->rank[i - 1];
	}
	l->ways[i] = (struct reg_way){.contact = c, .uri = buf_text(&one), .route = c->path};
	l->score[i] = score;
	l->rank[i] = rank;
	l->n++;
}

static void add_all(struct reg *r, struct collect *l, uint32_t trunk_id, struct str aor, struct str gr, const struct reg_wish *w)
{
	const struct reg_contact *c = bindings_next(r->bindings, trunk_id, aor, NULL);

	for (; c; c = bindings_next(r->bindings, trunk_id, aor, c))
		if ((!gr.n || is_instance(c, gr)) && (!w->only || w->only == c))
			add(l, c, aor, w);
}

unsigned reg_ways(struct reg *r, uint32_t trunk_id, const struct reg_wish *w, struct buf *space, struct reg_way ways[REG_WAYS_MAX])
{
	struct collect l = {.ways = ways, .space = space};
	struct str gr = w->uri ? gr_of(w->uri) : STR_NONE;
	const struct reg_contact *c;

	if (w->uri && gin_temp_gruu_is(w->uri->user)) {
		if (reg_find_gruu(r, w->from_trunk, w->uri, &c) == REASON_NONE && c && c->trunk_id == trunk_id)
			add(&l, c, c->aor, w);
		return l.n;
	}
	if (w->number.n)
		add_all(r, &l, trunk_id, w->number, gr, w);
	add_all(r, &l, trunk_id, STR_NONE, gr, w);
	return l.n;
}
