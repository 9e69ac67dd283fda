/* gruu.c - GRUUs of phones across a call (RFC 6140 7.1.1; GRUU-01): what stands in our Contact towards a provider we registered
 * at for all numbers, and which phone a request means that comes back to it.
 *
 * A phone behind us whose Contact is a GRUU of ours can be reached by that from anywhere, and so must the Contact that the
 * provider's side sees: it is a GRUU of the provider's, made from our registration's, with the phone's number and a token
 * for the phone (sbc/reg/phone.c). The provider sends a request for it to our registered contact, with the token.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

#include "sbc/reg/client.h"
#include "sbc/reg/gin.h"
#include "sbc/reg/reg.h"

bool leg_put_gruu(const struct leg *l, struct buf *b)
{
	const struct b2b *m = l->call->b2b;
	const struct leg *peer = leg_peer(l);
	struct str number = l->side == MEDIA_A ? l->call->called : l->call->calling;
	struct sip_uri contact;
	char token[256];
	size_t before = b->n;
	struct buf t;

	if (!l->trunk->reg.gruu || l->trunk->role != POL_ITSP || !m->cfg.clients || !m->cfg.reg || !peer || !peer->dlg.target.n)
		return false;
	buf_init(&t, token, sizeof(token));
	if (sip_uri_parse(peer->dlg.target, &contact) < 0 || !reg_is_gruu(&contact))
		return false;
	if (gin_temp_gruu_is(contact.user)) {
		/* it does not want to be traced: a new one, and the public one never */
		if (reg_phone_handle(m->cfg.reg, peer->trunk->id, &contact, &t) == 0 &&
		    reg_client_temp_gruu(m->cfg.clients, l->trunk->id, buf_text(&t), b) == 0)
			return true;
	} else if (reg_phone_token(m->cfg.reg, peer->trunk->id, number, &contact, &t) == 0 &&
	           reg_client_gruu(m->cfg.clients, l->trunk->id, number, buf_text(&t), b) == 0) {
		return true;
	}
	b->n = before;
	return false;
}

bool gruu_asked(const struct b2b *b, const struct sip_msg *m)
{
	struct str tk;
	uint32_t id = 0;

	if (b->cfg.clients && b->cfg.reg && (gin_sg(&m->ruri).n || gin_temp_gruu_is(m->ruri.user)) && sip_param_get(m->ruri.params, S("tk"), &tk))
		id = reg_client_of_cookie(b->cfg.clients, tk);
	return id && reg_client_has_gruu(b->cfg.clients, id);
}

int gruu_temp(const struct b2b *b, const struct sip_msg *m, uint32_t *ret_trunk, struct buf *number, struct buf *uri)
{
	struct str gr;

	if (!gin_temp_gruu_is(m->ruri.user) || !gruu_asked(b, m))
		return 0;
	if (!reg_client_made_temp(b->cfg.clients, m->ruri.user) || !sip_param_get(m->ruri.params, S("gr"), &gr) ||
	    reg_phone_by_handle(b->cfg.reg, gr, ret_trunk, number, uri) < 0)
		return -ENOENT;
	return 1;
}

int gruu_meant(const struct b2b *b, struct arena *arena, const struct pol_trunk *owner, const struct sip_msg *m, struct str *number,
    struct sip_uri *ret)
{
	char uri[512], own[32];
	struct str text;
	struct buf u, n;
	uint32_t id;
	int e;

	if (!gruu_asked(b, m))
		return 0;
	buf_init(&u, uri, sizeof(uri));
	buf_init(&n, own, sizeof(own));
	e = gruu_temp(b, m, &id, &n, &u);
	if (e > 0) {
		*number = str_dup(arena, buf_text(&n));
		if (id != owner->id || !number->p)
			return -ENOENT;
	} else if (e < 0 || reg_phone_of(b->cfg.reg, owner->id, *number, gin_sg(&m->ruri), &u) < 0) {
		return -ENOENT;
	}
	text = str_dup(arena, buf_text(&u));
	return text.p && sip_uri_parse(text, ret) == 0 ? 1 : -ENOENT;
}
