/* proof.c - PBXs that have to say who they are before anything else happens (RFC 3261 22.1, 22.2; RFC 8760).
 *
 * Whom the trunk's `challenge` asks, and whoever may be a trunk that is recognised by its credentials alone, gets 401
 * or 407 and is forgotten: no transaction, no call, no record remains of an INVITE that did not prove itself, however
 * many there are (AUT-08). What comes again with credentials is judged (sbc/reg/account.h), and goes on as a request
 * of their trunk. Wrong ones get 403, whatever was wrong with them; guessing is slowed down (sbc/auth).
 *
 * ACK and CANCEL are never asked (AUT-11): they cannot come again. Inside a call or a subscription the trunk's own
 * password counts, as it is now; who moved to another address in a call has to prove itself there, if credentials are
 * what it is known by.
 */
#include "sbc/b2b/internal.h"

#include "sbc/reg/account.h"
#include "sbc/reg/reg.h"

/* Whom a request of nobody's address seems to come from: user or number of From. It decides what the challenge looks
 * like and nothing else. */
static const struct pol_trunk *seems(const struct b2b *b, const struct sip_msg *m, unsigned realm)
{
	const struct pol_trunk *t;
	const struct pol_number *n;
	char text[256];
	struct buf u;

	buf_init(&u, text, sizeof(text));
	sip_unescape(&u, m->from.uri.user);
	t = buf_err(&u) ? NULL : policy_account(b->policy, realm, buf_text(&u));
	if (t)
		return t;
	buf_init(&u, text, sizeof(text));
	n = sip_uri_number(&m->from.uri, &u) == 0 && !buf_err(&u) ? policy_number(b->policy, buf_text(&u)) : NULL;
	t = n ? policy_trunk(b->policy, n->trunk_id) : NULL;
	return t && t->role == POL_PBX && t->realm == realm && t->source.identify == POL_BY_CREDENTIALS ? t : NULL;
}

static bool asks(const struct pol_trunk *t, const struct sip_msg *m, bool inside)
{
	if (t->role != POL_PBX)
		return false;
	switch ((enum pol_challenge)t->reg.challenge) {
	case POL_CHALLENGE_OFF:
		return false;
	case POL_CHALLENGE_NEW:
		return !inside && m->method != SIP_OPTIONS;
	case POL_CHALLENGE_OPTIONS:
		return !inside;
	case POL_CHALLENGE_ALL:
		return true;
	}
	return true;
}

static void answer_once(struct txn_srv *srv, uint16_t status, const struct buf *h)
{
	(void)txn_srv_reply_once(srv, &(struct txn_reply){.status = status, .headers = buf_err(h) ? STR_NONE : buf_text(h)});
}

static void challenge(struct b2b *b, struct account_ask *k, struct txn_srv *srv, bool stale)
{
	char text[2048];
	struct buf h;

	b2b_count(b, B2B_CHALLENGED);
	k->stale = stale;
	buf_init(&h, text, sizeof(text));
	account_put_challenge(k, &h);
	b2b_put_agent(b, k->trunk, false, &h);
	answer_once(srv, k->proxy ? 407 : 401, &h);
}

/* What a stranger can trigger is logged at most once a second. */
static void log_failed(struct b2b *b, const struct account_ask *k, struct str user, enum reason why)
{
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	struct log_quote q;
	unsigned unsaid;

	if (log_gate_open(&b->proof_gate, b->env->clock->mono_us, B2B_QUIET_US, &unsaid))
		log_warn(&b->log, "proof_failed", "trunk=%.*s peer=%s user=%s reason=%s unsaid=%u",
		    STR(k->trunk ? k->trunk->name : S("-")), addr_text(&k->from->remote, at), log_quoted(&q, user),
		    reason_code(why, code), unsaid);
}

/* known: the trunk by its address, its flow, or its call; not: only what it seems to be */
static void refuse(struct b2b *b, const struct account_ask *k, bool known, struct txn_srv *srv, struct str user, enum reason why)
{
	const struct pol_trunk *t = known ? k->trunk : NULL;
	char text[2048];
	struct buf h;

	b2b_count(b, B2B_PROOF_FAILED);
	log_failed(b, k, user, why);
	if (t && trunk_rt(b, t->id))
		trunk_note(b, t->id, why);
	if (!t && b->user->on_stranger && !auth_knows(k->auth, &k->from->remote))
		b->user->on_stranger(b->ctx, k->from, why, STR_NONE);
	buf_init(&h, text, sizeof(text));
	b2b_put_agent(b, t, false, &h);
	b2b_put_reason(t, why, &h);
	b2b_put_warning(t, why, &h);
	if (why == REASON_AUTH_WAIT)
		buf_fmt(&h, "Retry-After: %d\r\n", AUTH_WAIT_S);
	answer_once(srv, reason_info(why)->sip, &h);
}

/* Whose request it is; NULL: it was answered. known: of k->trunk, and nobody else's. */
static const struct pol_trunk *prove(
    struct b2b *b, struct account_ask *k, bool known, struct txn_srv *srv, const struct sip_msg *m)
{
	struct account_home home = {
	    .policy = b->policy, .realm = k->from->realm, .is_local = b->user->is_local, .ctx = b->ctx, .asked = m->ruri.host};
	const struct pol_trunk *t = NULL;
	struct str user = STR_NONE;

	k->bindings = b->cfg.reg ? reg_bindings(b->cfg.reg) : NULL;
	if (!k->auth) { /* nobody can judge it */
		b2b_refuse(b, srv, known ? k->trunk : NULL, REASON_INTERNAL, STR_NONE);
		return NULL;
	}
	if (known && !account_has_password(k->trunk)) {
		refuse(b, k, true, srv, STR_NONE, REASON_PROOF_MISSING);
		return NULL;
	}
	k->proxy = k->trunk ? k->trunk->reg.proxy
	                    : !sip_hdr(m, SIP_H_AUTHORIZATION) && sip_hdr(m, SIP_H_PROXY_AUTHORIZATION);
	switch (account_judge(k,
	    &(struct account_claim){.msg = m, .only = known, .find = policy_account, .uri_ok = account_uri_ok, .ctx = &home}, &user, &t)) {
	case AUTH_OK:
		return t;
	case AUTH_ABSENT:
		challenge(b, k, srv, false);
		break;
	case AUTH_STALE:
		challenge(b, k, srv, true);
		break;
	case AUTH_MALFORMED:
		refuse(b, k, known, srv, user, REASON_MALFORMED);
		break;
	case AUTH_WRONG:
	case AUTH_SLOWED:
		refuse(b, k, known, srv, user, REASON_PROOF_WRONG);
		break;
	case AUTH_WAIT:
		refuse(b, k, known, srv, user, REASON_AUTH_WAIT);
		break;
	}
	return NULL;
}

bool proof_begin(struct b2b *b, const struct pol_trunk **t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from)
{
	struct account_ask k = {.auth = b->cfg.auth, .policy = b->policy, .realm = b->cfg.digest_realm, .from = from, .trunk = *t};

	if (*t ? !asks(*t, m, false) : !policy_has_accounts(b->policy, from->realm))
		return true;
	if (!k.trunk)
		k.trunk = seems(b, m, from->realm);
	if (k.trunk && k.trunk->sip.nat)
		txn_srv_set_symmetric(srv);
	*t = prove(b, &k, *t != NULL, srv, m);
	return *t != NULL;
}

bool proof_inside(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, bool moved)
{
	const struct pol_trunk *now = policy_trunk(b->policy, t->id);
	struct account_ask k = {.auth = b->cfg.auth,
	    .policy = b->policy,
	    .realm = b->cfg.digest_realm,
	    .from = from,
	    .trunk = now ? now : t};

	if (!moved && !asks(k.trunk, m, true))
		return true;
	if (k.trunk->sip.nat)
		txn_srv_set_symmetric(srv);
	return prove(b, &k, true, srv, m) != NULL;
}

bool proof_may_move(const struct leg *l)
{
	return l->trunk->role == POL_PBX && l->trunk->source.identify == POL_BY_CREDENTIALS;
}
