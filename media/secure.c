/* secure.c - which streams of a session are encrypted, and with what (RFC 4568 5, 7; RFC 5763; RFC 8643).
 *
 * Each side has a mode. `required`: offers are RTP/SAVP, and nothing is taken without keys. `dtls`: offers are
 * UDP/TLS/RTP/SAVP, and nothing is taken but keys by DTLS. `preferred`: offers are RTP/AVP with keys of both kinds (RFC 8643),
 * offers of all kinds are taken. `off`: no keys, and what is offered encrypted is refused. What one side does is nothing to the
 * other: the profile of a line is made anew for each.
 *
 * SDES. An answer takes the first line of the offer, in the offerer's order, whose suite the trunk allows and that can be read
 * to its end; an answer to us must take one of ours, by its tag, with its suite. Nothing falls back: an RTP/SAVP line is
 * encrypted or refused, and an answer that took keys must have usable ones.
 *
 * DTLS. An offer says actpass each time (RFC 8842 5.2). Of an offer that leaves it open we are the active one, unless the far
 * end's address has to be learnt (NAT, ICE): then it has to speak first. Where an RTP/AVP line has both kinds of keys, those of SDES are
 * taken, which need no handshake, if the signalling is private.
 *
 * Keys of ours are made once for a line (slot) and said again as long as it lives, so a refresh says the same (4028 7.4)
 * and indices go on. Nothing is stored but the descriptions themselves: the key of a direction is found in them when its
 * program is made; of DTLS it is the link's (links.c).
 *
 * What goes wrong: each refusal has its reason, and each line that could not be used a log line with why, without it.
 */
#include "media/session.h"

#include "media/sdes.h"

#define LINES_SAID 8 /* of one stream, in the log */

static bool may_have_keys(const struct side *sd)
{
	return sd->srtp.mode != MEDIA_SRTP_OFF && sd->srtp.mode != MEDIA_SRTP_DTLS && sd->srtp.private;
}

static bool is_encrypted(const struct sdp_media *m)
{
	return sdp_is_secure(m) || sdp_is_dtls(m);
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

/* What a line says of DTLS, when this side may use it. */
static bool usable_dtls(const struct media_call *mc, enum media_side side, const struct sdp_media *m, struct dtls_said *ret,
    bool say)
{
	const char *why = dtls_read(m, ret);

	if (!why && !mc->side[side].srtp.cert)
		why = "none of srtp-suites of the trunk is for DTLS";
	if (why && say)
		log_info(&mc->log, "dtls_line_refused", "side=%c why=\"%s\"", side == MEDIA_A ? 'a' : 'b', why);
	return !why;
}

/* how the keys of an offer that is taken are agreed */
enum way { IN_CLEAR, BY_SDES, BY_DTLS };

static enum way way_of(const struct media_call *mc, enum media_side side, const struct sdp_media *offer, struct sdes_line *ret)
{
	const struct side *sd = &mc->side[side];
	struct dtls_said said;

	memset(ret, 0, sizeof(*ret));
	if (sdp_is_dtls(offer))
		return BY_DTLS;
	if (may_have_keys(sd) && choose(mc, side, offer, ret, false))
		return BY_SDES;
	return sd->srtp.mode != MEDIA_SRTP_OFF && dtls_is_said(offer) && usable_dtls(mc, side, offer, &said, false) ? BY_DTLS
	                                                                                                            : IN_CLEAR;
}

enum reason media_secure_offered(const struct media_call *mc, enum media_side side, const struct sdp_media *m)
{
	const struct side *sd = &mc->side[side];
	struct dtls_said said;
	struct sdes_line l;
	enum reason why = REASON_NONE;

	if (!sdp_is_rtp(m))
		return REASON_NONE; /* a fax has no SRTP */
	memset(&l, 0, sizeof(l));
	if (sdp_is_dtls(m)) {
		if (sd->srtp.mode == MEDIA_SRTP_OFF)
			why = REASON_SRTP_OFF;
		else if (!usable_dtls(mc, side, m, &said, true))
			why = REASON_SRTP_DTLS;
	} else if (sd->srtp.mode == MEDIA_SRTP_DTLS) {
		if (sdp_is_secure(m) || !dtls_is_said(m))
			why = REASON_SRTP_NOT_DTLS;
		else if (!usable_dtls(mc, side, m, &said, true))
			why = REASON_SRTP_DTLS;
	} else if (sdp_is_secure(m)) {
		if (sd->srtp.mode == MEDIA_SRTP_OFF)
			why = REASON_SRTP_OFF;
		else if (!sd->srtp.private)
			why = REASON_SRTP_IN_CLEAR;
		else if (!choose(mc, side, m, &l, true))
			why = REASON_SRTP_NO_LINE;
	} else if (sd->srtp.mode == MEDIA_SRTP_REQUIRED && way_of(mc, side, m, &l) == IN_CLEAR) {
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
		if (is_encrypted(m) != is_encrypted(o) ? is_encrypted(o) && media_secure_offered(mc, side, o) == REASON_NONE : k < i)
			return true;
	}
	return false;
}

/* --- lines of ours --- */

static enum reason add_line(struct arena *a, struct sdp_media *m, const struct sdes_line *l)
{
	char *p = arena_alloc(a, SDES_LINE_MAX);
	struct buf b;

	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, SDES_LINE_MAX);
	sdes_print(&b, l);
	return media_attr_add(a, m, S("crypto"), buf_text(&b));
}

static enum reason add_dtls(const struct side *sd, struct arena *a, struct sdp_media *m, enum dtls_setup setup)
{
	static const struct str names[] = {[DTLS_ACTPASS] = {"actpass", 7}, [DTLS_ACTIVE] = {"active", 6},
		[DTLS_PASSIVE] = {"passive", 7}};
	char *p = arena_alloc(a, DTLS_PRINT_TEXT);
	enum reason r;
	struct buf b;

	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, DTLS_PRINT_TEXT);
	dtls_print_put(&b, dtls_cert_print(sd->srtp.cert));
	r = media_attr_add(a, m, S("fingerprint"), buf_text(&b));
	return r ? r : media_attr_add(a, m, S("setup"), names[setup]);
}

static void fresh_key(const struct media_call *mc, enum media_side side, uint8_t suite, struct sdes_line *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->key.suite = suite;
	ret->lifetime = mc->side[side].srtp.lifetime ? (uint64_t)1 << 31 : 0;
	rng_bytes(mc->m->env->rng, ret->key.key, crypt_suites[suite].key_len);
}

/* "RTP/AVP", "RTP/AVPF" and their encrypted sisters */
static void set_profile(struct sdp_media *m, enum way way)
{
	/* who has DTLS often says SAVPF whether there is feedback or not, and a plain phone knows none (RFC 8829 5.1.2) */
	bool feedback = m->profile == SDP_PROFILE_AVPF || m->profile == SDP_PROFILE_SAVPF ||
	                (m->profile == SDP_PROFILE_DTLSF && sdp_attr(m->attrs, S("rtcp-fb")));

	switch (way) {
	case IN_CLEAR:
		m->profile = feedback ? SDP_PROFILE_AVPF : SDP_PROFILE_AVP;
		m->proto = feedback ? S("RTP/AVPF") : S("RTP/AVP");
		break;
	case BY_SDES:
		m->profile = feedback ? SDP_PROFILE_SAVPF : SDP_PROFILE_SAVP;
		m->proto = feedback ? S("RTP/SAVPF") : S("RTP/SAVP");
		break;
	case BY_DTLS:
		m->profile = feedback ? SDP_PROFILE_DTLSF : SDP_PROFILE_DTLS;
		m->proto = feedback ? S("UDP/TLS/RTP/SAVPF") : S("UDP/TLS/RTP/SAVP");
		break;
	}
}

/* what our lines of that stream say of keys */
static enum way offered_way(const struct side *sd, const struct sdp_media *before)
{
	if (sd->srtp.mode == MEDIA_SRTP_DTLS)
		return BY_DTLS;
	if (before && before->port && is_encrypted(before))
		return sdp_is_dtls(before) ? BY_DTLS : BY_SDES;
	return sd->srtp.mode == MEDIA_SRTP_REQUIRED ? BY_SDES : IN_CLEAR;
}

enum reason media_secure_offer(const struct media_call *mc, enum media_side to, const struct sdp_media *before,
    struct arena *a, struct sdp_media *m)
{
	const struct side *sd = &mc->side[to];
	const struct sdp_attr *at = before && before->port ? next_line(before->attrs) : NULL;
	struct sdes_line l;
	bool again = false;
	enum reason r = REASON_NONE;
	enum way way;

	if (!sdp_is_rtp(m))
		return REASON_NONE;
	way = offered_way(sd, before);
	if (way == BY_SDES && !sd->srtp.private)
		return REASON_SRTP_IN_CLEAR;
	set_profile(m, way);
	if (way == BY_DTLS)
		return sd->srtp.cert ? add_dtls(sd, a, m, DTLS_ACTPASS) : REASON_SRTP_DTLS;
	if (sd->srtp.mode == MEDIA_SRTP_PREFERRED && way == IN_CLEAR && sd->srtp.cert)
		r = add_dtls(sd, a, m, DTLS_ACTPASS);
	if (!may_have_keys(sd))
		return r;
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

/* which part an answer to that offer takes */
static enum dtls_setup part_of(const struct media_call *mc, enum media_side to, const struct sdp_media *offer,
    const struct dtls_said *said, const struct dtls_link *was)
{
	const struct addr at = offer->conn == SDP_CONN_IP ? offer->rtp : (struct addr){0};
	struct addr latch;

	if (said->setup != DTLS_ACTPASS)
		return said->setup == DTLS_ACTIVE ? DTLS_PASSIVE : DTLS_ACTIVE;
	if (was && dtls_link_is_of(was, said))
		return dtls_link_role(was);
	latch = media_latch_source(&mc->side[to], &at);
	return addr_none(&latch) && !media_ice_offered(mc, to, offer) ? DTLS_ACTIVE : DTLS_PASSIVE;
}

enum reason media_secure_answer(const struct media_call *mc, enum media_side to, const struct sdp_media *offer,
    const struct sdp_media *before, const struct dtls_link *was, struct arena *a, struct sdp_media *m)
{
	const struct sdp_attr *at = before && before->port ? next_line(before->attrs) : NULL;
	struct sdes_line theirs, ours;
	struct dtls_said said;
	enum reason r;

	if (!sdp_is_rtp(offer))
		return REASON_NONE;
	switch (way_of(mc, to, offer, &theirs)) {
	case IN_CLEAR: /* the offer was taken as such */
		return REASON_NONE;
	case BY_DTLS:
		if (!usable_dtls(mc, to, offer, &said, true))
			return REASON_SRTP_DTLS;
		return add_dtls(&mc->side[to], a, m, part_of(mc, to, offer, &said, was));
	case BY_SDES:
		break;
	}
	fresh_key(mc, to, theirs.key.suite, &ours);
	for (; at; at = next_line(at->next)) {
		struct sdes_line last;

		if (!sdes_parse(at->value, &last) && last.key.suite == theirs.key.suite) {
			ours.key = last.key;
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
	const struct sdp_attr *got = next_line(our->attrs) ? next_line(answer->attrs) : NULL;
	bool dtls = dtls_is_said(our) && dtls_is_said(answer);
	struct sdes_line theirs, ours;
	struct dtls_said said;
	const char *why = NULL;

	if (!sdp_is_rtp(answer))
		return REASON_NONE;
	memset(&theirs, 0, sizeof(theirs));
	memset(&ours, 0, sizeof(ours));
	if (sdp_is_secure(our) != sdp_is_secure(answer) || sdp_is_dtls(our) != sdp_is_dtls(answer)) {
		why = !is_encrypted(our)     ? "encrypted answer to RTP/AVP"
		      : is_encrypted(answer) ? "keys of another kind than were offered"
		                             : "answer in clear to an encrypted offer";
	} else if (dtls && got) {
		why = "two kinds of keys"; /* RFC 8643 3.2 */
	} else if (dtls || sdp_is_dtls(our)) {
		why = dtls_read(answer, &said);
		if (!why && !dtls_role(DTLS_ACTPASS, said.setup))
			why = "setup is neither active nor passive";
	} else if (sdp_is_secure(our) || got) {
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

bool media_secure_by_dtls(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote)
{
	struct sdes_line theirs, ours;
	bool sdes;

	if (!told || !remote || !sdp_is_rtp(told) || !mc->side[side].srtp.cert || !dtls_is_said(told) || !dtls_is_said(remote))
		return false;
	if (sdp_is_dtls(told) || sdp_is_dtls(remote))
		return true;
	/* an answer has but one kind, so the other one is SDES when both have it */
	sdes = next_line(told->attrs) && next_line(remote->attrs) &&
	       (matched(remote, told, &theirs, &ours) || matched(told, remote, &ours, &theirs));
	explicit_bzero(&theirs, sizeof(theirs));
	explicit_bzero(&ours, sizeof(ours));
	return !sdes;
}

bool media_secure_terms(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote, struct dtls_terms *ret)
{
	const struct side *sd = &mc->side[side];
	struct dtls_said ours;

	memset(ret, 0, sizeof(*ret));
	if (dtls_read(told, &ours) || dtls_read(remote, &ret->far))
		return false;
	ret->role = (uint8_t)dtls_role(ours.setup, ret->far.setup);
	ret->far.setup = DTLS_SETUP_NONE; /* the parts count, not how they were agreed */
	ret->cert = sd->srtp.cert;
	ret->n_suites = sd->srtp.n_dtls;
	memcpy(ret->suites, sd->srtp.dtls, sizeof(ret->suites));
	return ret->role != DTLS_SETUP_NONE;
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
	return found || !((told && is_encrypted(told)) || (remote && is_encrypted(remote)));
}
