/* phone.c - what a provider calls a phone behind us: the sg of a GRUU that we make as a PBX (RFC 6140 7.1.1, GRUU-01).
 *
 * A phone that registered with an instance has a GRUU of ours; in calls by a provider it needs one of the provider's,
 * which is our bulk registration's with the number and ;sg=TOKEN. TOKEN is a MAC over the number and the instance, and
 * behind a '.' the sg that the PBX's own GRUU had: nothing is kept, the same phone has the same one after a restart, and
 * the provider learns no instance. When a request with it comes in, the registrations of the number are asked which one it
 * is.
 *
 * A phone that does not want to be traced calls by a temporary GRUU of ours. Towards the provider it has one of the provider's,
 * and what leads back to the phone, its gr, must not tell two of them to be of one phone: eight random bytes, the number of
 * its registration masked by what a MAC makes of them, and eight bytes of a MAC over both.
 */
#include "sbc/base/base64.h"
#include "sbc/base/be.h"
#include "sbc/reg/internal.h"

#include <errno.h>
#include <openssl/crypto.h>
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

	if (gin_temp_gruu_is(contact->user) || !sip_param_get(contact->params, S("gr"), &gr) || !gr.n)
		return -ENOENT;
	for (c = next_of(r, trunk_id, number, NULL); c && !str_eq(bare(c->instance), gr);)
		c = next_of(r, trunk_id, number, c);
	if (!c || !bare(c->instance).n || !put_mac(r, number, bare(c->instance), mac))
		return -ENOENT;
	buf_put(ret, mac, sizeof(mac));
	if (sg.n) {
		buf_chr(ret, '.');
		buf_str(ret, sg);
	}
	return buf_err(ret);
}

/* For reg_wish.uri */
static void put_phone(struct buf *b, struct str number, struct str instance, struct str sg)
{
	buf_lit(b, "sip:");
	buf_str(b, number);
	buf_lit(b, "@phone.invalid;gr=");
	buf_str(b, bare(instance));
	if (sg.n) {
		buf_lit(b, ";sg=");
		buf_str(b, sg);
	}
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
		put_phone(ret, number, c->instance, sg);
		return buf_err(ret);
	}
	return -ENOENT;
}

/* ------------------------------------------------------------------ temporary ones */

#define HANDLE_RAW 24
#define HANDLE_TEXT 32 /* as base64 */

/* 16 bytes: a mask for the number, and what proves it. */
static bool handle_mac(const struct reg *r, const uint8_t raw[8], uint64_t id, uint8_t ret[16])
{
	uint8_t in[8 + 8 + 6] = "handle", m[32];
	size_t got = 0;

	memcpy(in + 6, raw, 8);
	be64_put(in + 14, id);
	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, r->gruu.secret.key, sizeof(r->gruu.secret.key), in, sizeof(in), m, sizeof(m),
	        &got))
		return false;
	memcpy(ret, m, 16);
	return true;
}

static bool handle_mask(const struct reg *r, const uint8_t raw[8], uint64_t *ret)
{
	uint8_t m[16];

	if (!handle_mac(r, raw, UINT64_MAX, m))
		return false;
	*ret = be64(m);
	return true;
}

int reg_phone_handle(struct reg *r, uint32_t trunk_id, const struct sip_uri *contact, struct buf *ret)
{
	const struct reg_contact *c = NULL;
	uint8_t raw[HANDLE_RAW], m[16];
	uint64_t mask;

	if (!gin_temp_gruu_is(contact->user) || reg_find_gruu(r, trunk_id, contact, &c) != REASON_NONE || !c ||
	    c->trunk_id != trunk_id || !c->aor.n)
		return -ENOENT;
	rng_bytes(r->env->rng, raw, 8);
	if (!handle_mask(r, raw, &mask) || !handle_mac(r, raw, c->id, m))
		return -ENOENT;
	be64_put(raw + 8, c->id ^ mask);
	memcpy(raw + 16, m, 8);
	base64_put(ret, raw, sizeof(raw));
	return buf_err(ret);
}

int reg_phone_by_handle(struct reg *r, struct str handle, uint32_t *ret_trunk, struct buf *ret_number, struct buf *ret)
{
	const struct reg_contact *c;
	uint8_t raw[HANDLE_RAW], m[16];
	uint64_t mask, id;
	size_t n;

	if (handle.n != HANDLE_TEXT || !base64_get(handle, raw, sizeof(raw), &n) || n != sizeof(raw) || !handle_mask(r, raw, &mask))
		return -ENOENT;
	id = be64(raw + 8) ^ mask;
	if (!handle_mac(r, raw, id, m) || CRYPTO_memcmp(m, raw + 16, 8) != 0)
		return -ENOENT;
	c = bindings_find(r->bindings, id);
	if (!c || !c->aor.n || !bare(c->instance).n)
		return -ENOENT;
	*ret_trunk = c->trunk_id;
	buf_str(ret_number, c->aor);
	put_phone(ret, c->aor, c->instance, STR_NONE);
	return buf_err(ret_number) ? buf_err(ret_number) : buf_err(ret);
}
