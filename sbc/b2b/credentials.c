/* credentials.c - far ends that ask who we are (RFC 3261 22.2, 22.3; RFC 8760): providers, inside calls.
 *
 * A 401 or 407 to what we send on a leg is answered here and never shown to the other side (AUT-13): the same request
 * once more, CSeq + 1, with credentials of the trunk. From then on every request of the leg carries them, and the ACK
 * of a 2xx those of its INVITE (22.1). A challenge that follows an answered one is a wrong password, unless it says
 * stale: the request has failed then.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

#include "sbc/auth/answer.h"
#include "sbc/reg/account.h"

struct leg_auth {
	struct auth_session session;
	struct auth_credential credential;
	uint8_t asked[2];   /* 401s and 407s since the last answer that was neither */
	uint32_t ack_cseq;
	struct str ack;     /* credentials of the INVITE of that CSeq; in the arena */
};

static struct leg_auth *auth_of(struct leg *l)
{
	struct leg_auth *a = l->auth;

	if (a)
		return a;
	a = arena_new_obj(l->call->arena, struct leg_auth);
	if (!a)
		return NULL;
	account_credential(l->trunk, &a->credential);
	l->auth = a;
	return a;
}

bool leg_has_credentials(const struct leg *l)
{
	return l->trunk->role == POL_ITSP && l->trunk->reg.auth_user.n > 0;
}

enum reason leg_challenged(struct leg *l, const struct sip_msg *m)
{
	struct leg_auth *a;
	char code[REASON_CODE_MAX];
	enum reason why;

	if (!leg_has_credentials(l))
		return REASON_DIGEST_AUTH;
	a = auth_of(l);
	if (!a)
		return REASON_NO_MEMORY;
	why = auth_again(&a->session, a->asked, m, &a->credential, 1);
	if (why != REASON_NONE)
		log_warn(&l->call->log, "challenge_failed", "leg=%c trunk=%.*s reason=%s", "ab"[l->side], STR(l->trunk->name),
		    reason_code(why, code));
	return why;
}

void leg_content(struct leg *l, const struct sip_msg *m)
{
	if (!l->auth || m->status < 200 || m->status == 401 || m->status == 407)
		return;
	auth_info(&l->auth->session, m);
	l->auth->asked[0] = l->auth->asked[1] = 0;
}

int leg_put_credentials(struct leg *l, enum sip_method method, struct str method_name, uint32_t cseq, struct str ruri,
    struct str body, struct buf *h)
{
	size_t before = h->n;
	int e;

	if (!l->auth)
		return 0;
	if (method == SIP_ACK) {
		if (l->auth->ack_cseq == cseq)
			buf_str(h, l->auth->ack);
		return buf_err(h);
	}
	e = auth_put(&l->auth->session, l->call->b2b->env->rng,
	    method == SIP_UNKNOWN ? method_name : sip_method_name(method), ruri, body, h);
	if (e < 0 || buf_err(h))
		return e < 0 ? e : -ENOSPC;
	if (method == SIP_INVITE && h->n > before) {
		l->auth->ack = str_dup(l->call->arena, str_n(h->p + before, h->n - before));
		l->auth->ack_cseq = l->auth->ack.p ? cseq : 0;
	}
	return 0;
}
