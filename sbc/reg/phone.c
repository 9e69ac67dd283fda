/* phone.c - what a provider calls a phone behind us: the sg of a GRUU that we make as a PBX (RFC 6140 7.1.1, GRUU-01).
 *
 * A phone that registered with an instance has a GRUU of ours; in calls by a provider it needs one of the provider's,
 * which is our bulk registration's with the number and ;sg=TOKEN. TOKEN is a MAC over the number and the instance, and
 * behind a '.' the sg that the PBX's own GRUU had: nothing is kept, the same phone has the same one after a restart, and
 * the provider learns no instance. When a request with it comes in, the registrations of the number are asked which one it
 * is.
 */
#include "sbc/base/base64.h"
#include "sbc/reg/internal.h"

#include <errno.h>
#include <openssl/evp.h>

#define MAC_BYTES 9
#define MAC_TEXT (MAC_BYTES / 3 * 4) /* as base64 */

static bool put_mac(const struct reg *r, struct str number, struct str instance, char ret[MAC_TEXT])
{
	uint8_t in[512], m[32];
	size_t got = 0;
	struct buf b;

	buf_init(&b, in, sizeof(in));
	buf_lit(&b, "phone ");
	buf_str(&b, number);
	buf_chr(&b, ' ');
	buf_str(&b, instance);
	if (buf_err(&b) || !EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, r->gruu.secret.key, sizeof(r->gruu.secret.key), in, b.n, m,
	                       sizeof(m), &got))
		return false;
	buf_init(&b, ret, MAC_TEXT);
	base64_put(&b, m, MAC_BYTES);
	return true;
}

/* Without its <> */
static struct str bare(struct str instance)
{
	return instance.n > 2 ? str_n(instance.p + 1, instance.n - 2) : STR_NONE;
}

/* One of the number's own registrations or of its trunk's, one after the other. */
static const struct reg_contact *next_of(const struct reg *r, uint32_t trunk_id, struct str number, const struct reg_contact *after)
{
	const struct reg_contact *c;

	if (!after || after->aor.n) {
		c = bindings_next(r->bindings, trunk_id, number, after);
		if (c)
			return c;
		after = NULL;
	}
	return bindings_next(r->bindings, trunk_id, STR_NONE, after);
}

int reg_phone_token(struct reg *r, uint32_t trunk_id, struct str number, const struct sip_uri *contact, struct buf *ret)
{
	const struct reg_contact *c = NULL;
	char mac[MAC_TEXT];
	struct str gr, sg = gin_sg(contact);

	if (gin_temp_gruu_is(contact->user)) {
		if (reg_find_gruu(r, trunk_id, contact, &c) != REASON_NONE || !c || c->trunk_id != trunk_id)
			return -ENOENT;
	} else {
		if (!sip_param_get(contact->params, S("gr"), &gr) || !gr.n)
			return -ENOENT;
		for (c = next_of(r, trunk_id, number, NULL); c && !str_eq(bare(c->instance), gr);)
			c = next_of(r, trunk_id, number, c);
	}
	if (!c || !bare(c->instance).n || !put_mac(r, number, bare(c->instance), mac))
		return -ENOENT;
	buf_put(ret, mac, sizeof(mac));
	if (sg.n) {
		buf_chr(ret, '.');
		buf_str(ret, sg);
	}
	return buf_err(ret);
}

int reg_phone_of(struct reg *r, uint32_t trunk_id, struct str number, struct str token, struct buf *ret)
{
	char mac[MAC_TEXT];
	struct str own = token, sg = STR_NONE;
	ptrdiff_t dot = str_chr(token, '.');

	if (dot >= 0) {
		own = str_head(token, (size_t)dot);
		sg = str_from(token, (size_t)dot + 1);
	}
	for (const struct reg_contact *c = next_of(r, trunk_id, number, NULL); c; c = next_of(r, trunk_id, number, c)) {
		if (!bare(c->instance).n || !put_mac(r, number, bare(c->instance), mac) || !str_eq(str_n(mac, sizeof(mac)), own))
			continue;
		buf_lit(ret, "sip:");
		buf_str(ret, number);
		buf_lit(ret, "@phone.invalid;gr=");
		buf_str(ret, bare(c->instance));
		if (sg.n) {
			buf_lit(ret, ";sg=");
			buf_str(ret, sg);
		}
		return buf_err(ret);
	}
	return -ENOENT;
}
