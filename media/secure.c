/* secure.c - which streams of a session are encrypted, and with what (RFC 4568 5, 7; RFC 8643).
 *
 * Each side has a mode. `required`: offers are RTP/SAVP, and nothing is taken without keys. `preferred`: offers are
 * RTP/AVP with keys (RFC 8643), offers of both kinds are taken. `off`: no keys, and what is offered as RTP/SAVP is refused.
 * What one side does is nothing to the other: the profile of a line is made anew for each.
 *
 * An answer takes the first line of the offer, in the offerer's order, whose suite the trunk allows and that can be read
 * to its end; an answer to us must take one of ours, by its tag, with its suite. Nothing falls back: an RTP/SAVP line is
 * encrypted or refused, and an answer that took keys must have usable ones.
 *
 * Keys of ours are made once for a line (slot) and said again as long as it lives, so a refresh says the same (4028 7.4)
 * and indices go on. Nothing is stored but the descriptions themselves: the key of a direction is found in them when its
 * program is made.
 *
 * What goes wrong: each refusal has its reason, and each line that could not be used a log line with why, without it.
 */
#include "media/session.h"

#include "media/sdes.h"

#define LINES_SAID 8 /* of one stream, in the log */

static bool may_have_keys(const struct side *sd)
{
	return sd->srtp.mode != MEDIA_SRTP_OFF && sd->srtp.private;
}

static bool allowed(const struct side *sd, uint8_t suite)
{
	for (unsigned i = 0; i < sd->srtp.n_suites; i++)
		if (sd->srtp.suites[i] == suite)
			return true;
	return false;
}

static const struct sdp_attr *next_line(const struct sdp_attr *at)
{
	while (at && !(at->type == 'a' && str_ieq(at->name, S("crypto"))))
		at = at->next;
	return at;
}

/* the first line that this side may use; false: none (each is logged when say is set) */
static bool choose(const struct media_call *mc, enum media_side side, const struct sdp_media *m, struct sdes_line *ret,
    bool say)
{
	const struct sdp_attr *at = next_line(m->attrs);

	for (unsigned n = 1; at; at = next_line(at->next), n++) {
		const char *why = sdes_parse(at->value, ret);

		if (!why && !allowed(&mc->side[side], ret->key.suite))
			why = "suite is not in srtp-suites of the trunk";
		if (!why)
			return true;
		if (say && n <= LINES_SAID)
			log_info(&mc->log, "srtp_line_refused", "side=%c line=%u why=\"%s\"", side == MEDIA_A ? 'a' : 'b', n, why);
	}
	memset(ret, 0, sizeof(*ret));
	return false;
}

enum reason media_secure_offered(const struct media_call *mc, enum media_side side, const struct sdp_media *m)
{
	const struct side *sd = &mc->side[side];
	struct sdes_line l;
	enum reason why = REASON_NONE;

	if (!sdp_is_rtp(m))
		return REASON_NONE; /* a fax has no SRTP */
	if (sdp_is_secure(m)) {
		if (sd->srtp.mode == MEDIA_SRTP_OFF)
			why = REASON_SRTP_OFF;
		else if (!sd->srtp.private)
			why = REASON_SRTP_IN_CLEAR;
		else if (!choose(mc, side, m, &l, true))
			why = REASON_SRTP_NO_LINE;
	} else if (sd->srtp.mode == MEDIA_SRTP_REQUIRED) {
		if (!next_line(m->attrs))
			why = REASON_SRTP_NEEDED;
		else if (!sd->srtp.private)
			why = REASON_SRTP_IN_CLEAR;
		else if (!choose(mc, side, m, &l, true))
			why = REASON_SRTP_NO_LINE;
	}
	explicit_bzero(&l, sizeof(l));
	return why;
}

/* Two lines of one offer that mean one stream: the same kind at the same port, once encrypted and once not. */
bool media_secure_alternative(const struct media_call *mc, enum media_side side, const struct sdp *s, unsigned i)
{
	const struct sdp_media *m = &s->media[i];

	for (unsigned k = 0; k < s->n_media; k++) {
		const struct sdp_media *o = &s->media[k];

		if (k == i || o->port == 0 || o->port != m->port || !str_ieq(o->kind, m->kind) || !sdp_is_rtp(o) ||
		    !sdp_is_rtp(m))
			continue;
		/* the encrypted one when it can be had, and of two of a kind the first */
		if (sdp_is_secure(m) != sdp_is_secure(o) ? sdp_is_secure(o) && media_secure_offered(mc, side, o) == REASON_NONE
		                                         : k < i)
			return true;
	}
	return false;
}

/* --- lines of ours --- */

static enum reason add_line(struct arena *a, struct sdp_media *m, const struct sdes_line *l)
{
	struct sdp_attr *at = arena_zalloc(a, sizeof(*at)), **tail = &m->attrs;
	char *p = arena_alloc(a, SDES_LINE_MAX);
	struct buf b;

	if (!at || !p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, SDES_LINE_MAX);
	sdes_print(&b, l);
	*at = (struct sdp_attr){.type = 'a', .name = S("crypto"), .value = buf_text(&b)};
	while (*tail)
		tail = &(*tail)->next;
	*tail = at;
	return REASON_NONE;
}

static void fresh_key(const struct media_call *mc, enum media_side side, uint8_t suite, struct sdes_line *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->key.suite = suite;
	ret->lifetime = mc->side[side].srtp.lifetime ? (uint64_t)1 << 31 : 0;
	rng_bytes(mc->m->env->rng, ret->key.key, crypt_suites[suite].key_len);
}

/* "RTP/AVP", "RTP/AVPF" and their encrypted sisters */
static void set_profile(struct sdp_media *m, bool secure)
{
	bool feedback = m->profile == SDP_PROFILE_AVPF || m->profile == SDP_PROFILE_SAVPF;

	if (secure) {
		m->profile = feedback ? SDP_PROFILE_SAVPF : SDP_PROFILE_SAVP;
		m->proto = feedback ? S("RTP/SAVPF") : S("RTP/SAVP");
	} else {
		m->profile = feedback ? SDP_PROFILE_AVPF : SDP_PROFILE_AVP;
		m->proto = feedback ? S("RTP/AVPF") : S("RTP/AVP");
	}
}

enum reason media_secure_offer(const struct media_call *mc, enum media_side to, const struct sdp_media *before,
    struct arena *a, struct sdp_media *m)
{
	const struct side *sd = &mc->side[to];
	const struct sdp_attr *at = before && before->port ? next_line(before->attrs) : NULL;
	struct sdes_line l;
	bool again = false;
	enum reason r = REASON_NONE;

	if (!sdp_is_rtp(m))
		return REASON_NONE;
	if (sd->srtp.mode == MEDIA_SRTP_REQUIRED && !sd->srtp.private)
		return REASON_SRTP_IN_CLEAR;
	set_profile(m, sd->srtp.mode == MEDIA_SRTP_REQUIRED || (before && before->port && sdp_is_secure(before)));
	if (!may_have_keys(sd))
		return REASON_NONE;
	for (; at && !r; at = next_line(at->next)) {
		if (sdes_parse(at->value, &l) || !allowed(sd, l.key.suite))
			continue;
		r = add_line(a, m, &l);
		again = true;
	}
	for (unsigned i = 0; i < sd->srtp.n_suites && !again && !r; i++) {
		fresh_key(mc, to, sd->srtp.suites[i], &l);
		l.tag = i + 1;
		r = add_line(a, m, &l);
	}
	explicit_bzero(&l, sizeof(l));
	return r;
}

enum reason media_secure_answer(const struct media_call *mc, enum media_side to, const struct sdp_media *offer,
    const struct sdp_media *before, struct arena *a, struct sdp_media *m)
{
	const struct sdp_attr *at = before && before->port ? next_line(before->attrs) : NULL;
	struct sdes_line theirs, ours;
	enum reason r;

	if (!sdp_is_rtp(offer) || !may_have_keys(&mc->side[to]) || !choose(mc, to, offer, &theirs, false))
		return REASON_NONE; /* in clear: the offer was taken as such */
	fresh_key(mc, to, theirs.key.suite, &ours);
	for (; at; at = next_line(at->next)) {
		struct sdes_line was;

		if (!sdes_parse(at->value, &was) && was.key.suite == theirs.key.suite) {
			ours.key = was.key;
			break;
		}
	}
	ours.tag = theirs.tag;
	r = add_line(a, m, &ours);
	explicit_bzero(&theirs, sizeof(theirs));
	explicit_bzero(&ours, sizeof(ours));
	return r;
}

/* --- what both have said --- */

/* the keys of an answer and of the line of the offer it took; false: it took none that was offered */
static bool matched(const struct sdp_media *offer, const struct sdp_media *answer, struct sdes_line *ret_offer,
    struct sdes_line *ret_answer)
{
	const struct sdp_attr *got = next_line(answer->attrs);

	if (!got || next_line(got->next) || sdes_parse(got->value, ret_answer))
		return false;
	for (const struct sdp_attr *at = next_line(offer->attrs); at; at = next_line(at->next))
		if (!sdes_parse(at->value, ret_offer) && ret_offer->tag == ret_answer->tag)
			return ret_offer->key.suite == ret_answer->key.suite;
	return false;
}

enum reason media_secure_answered(const struct media_call *mc, enum media_side side, const struct sdp_media *our,
    const struct sdp_media *answer)
{
	const struct sdp_attr *got = next_line(answer->attrs);
	struct sdes_line theirs, ours;
	const char *why = NULL;

	if (!sdp_is_rtp(answer))
		return REASON_NONE;
	if (sdp_is_secure(our) != sdp_is_secure(answer)) {
		why = sdp_is_secure(our) ? "answer in clear to an encrypted offer" : "encrypted answer to RTP/AVP";
	} else if (sdp_is_secure(our) || (got && next_line(our->attrs))) {
		if (!got)
			why = "no crypto line";
		else if (next_line(got->next))
			why = "more than one crypto line";
		else
			why = sdes_parse(got->value, &theirs);
		if (!why && !matched(our, answer, &ours, &theirs))
			why = "crypto line is none of the offer";
	}
	explicit_bzero(&theirs, sizeof(theirs));
	explicit_bzero(&ours, sizeof(ours));
	if (!why)
		return REASON_NONE;
	log_info(&mc->log, "srtp_answer_refused", "side=%c why=\"%s\"", side == MEDIA_A ? 'a' : 'b', why);
	return REASON_SRTP_ANSWER;
}

bool media_secure_keys(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote, struct crypt_key *ret_theirs, struct crypt_key *ret_ours)
{
	struct sdes_line theirs, ours;
	bool found = told && remote && may_have_keys(&mc->side[side]) &&
	             (matched(remote, told, &theirs, &ours) || matched(told, remote, &ours, &theirs));

	memset(ret_theirs, 0, sizeof(*ret_theirs));
	memset(ret_ours, 0, sizeof(*ret_ours));
	if (found) {
		theirs.key.roc = ours.key.roc = mc->side[side].srtp.roc;
		*ret_theirs = theirs.key;
		*ret_ours = ours.key;
	}
	explicit_bzero(&theirs, sizeof(theirs));
	explicit_bzero(&ours, sizeof(ours));
	return found || !((told && sdp_is_secure(told)) || (remote && sdp_is_secure(remote)));
}
