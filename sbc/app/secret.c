/* secret.c - secrets of 32 bytes that the box makes when it needs them first, and keeps in its database: as text, 64
 * hexadecimal digits. One that cannot be read is as good as none. */
#include "sbc/app/app.h"

#include "sbc/sip/chars.h"

struct looking {
	struct str name;
	uint8_t *key;
	bool found;
};

static void one(void *ctx, const struct db_secret *s)
{
	struct looking *l = ctx;

	if (l->found || !str_eq(s->name, l->name) || s->value.n != 2 * APP_SECRET)
		return;
	for (size_t i = 0; i < s->value.n; i++) {
		int d = sip_hex(s->value.p[i]);

		if (d < 0)
			return;
		l->key[i / 2] = (uint8_t)(l->key[i / 2] << 4 | d);
	}
	l->found = true;
}

enum reason app_secret(struct app *a, struct db_handle *h, struct str name, uint8_t ret[APP_SECRET], struct db_err *err)
{
	struct looking l = {.name = name, .key = ret};
	enum reason why = db_secret_all(h, one, &l, err);
	char hex[2 * APP_SECRET];
	struct buf b;

	if (why != REASON_NONE || l.found)
		return why;
	rng_bytes(&a->rng, ret, APP_SECRET);
	buf_init(&b, hex, sizeof(hex));
	buf_hex(&b, ret, APP_SECRET);
	why = db_secret_put(h, name, buf_text(&b), 0, err);
	explicit_bzero(hex, sizeof(hex));
	return why;
}
