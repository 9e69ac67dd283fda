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
	if (sip_uri_parse(peer->dlg.target, &contact) < 0 || !reg_is_gruu(&contact) ||
	    reg_phone_token(m->cfg.reg, peer->trunk->id, number, &contact, &t) < 0)
		return false;
	if (reg_client_gruu(m->cfg.clients, l->trunk->id, number, buf_text(&t), b) == 0)
		return true;
	b->n = before;
	return false;
}

bool gruu_asked(const struct b2b *b, const struct sip_msg *m)
{
	struct str tk;
	uint32_t id = 0;

	if (b->cfg.clients && b->cfg.reg && gin_sg(&m->ruri).n && sip_param_get(m->ruri.params, S("tk"), &tk))
		id = reg_client_of_cookie(b->cfg.clients, tk);
	return id && reg_client_has_gruu(b->cfg.clients, id);
}

int gruu_meant(const struct b2b *b, struct arena *arena, const struct pol_trunk *owner, struct str number, const struct sip_msg *m,
    struct sip_uri *ret)
{
	char uri[512];
	struct str text;
	struct buf u;

	if (!gruu_asked(b, m))
		return 0;
	buf_init(&u, uri, sizeof(uri));
	if (reg_phone_of(b->cfg.reg, owner->id, number, gin_sg(&m->ruri), &u) < 0)
		return -ENOENT;
	text = str_dup(arena, buf_text(&u));
	return text.p && sip_uri_parse(text, ret) == 0 ? 1 : -ENOENT;
}
