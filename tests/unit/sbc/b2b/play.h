/* play.h - scripts of whole calls, step by step, that can be cut at any step (pain 23) or starved (oom.c).
 *
 * A step is one message of one of the two peers. A step of a peer that is dead is left out, and so is one whose
 * turn never comes, because what it would answer was not sent. So a script can be played to its end after anything.
 */
#ifndef TESTS_B2B_PLAY_H
#define TESTS_B2B_PLAY_H

#include "rig.h"

#define PLAY_CONTACT_A "Contact: <sip:alice@198.51.100.10:5060>\n"
#define PLAY_CONTACT_B "Contact: <sip:bob@203.0.113.20:5060>\n"

__attribute__((unused)) static const char play_hold_a[] = "v=0\r\no=alice 1 2 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
                                  "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                                  "a=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";
__attribute__((unused)) static const char play_held_b[] = "v=0\r\no=bob 9 10 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
                                  "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                                  "a=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n";

enum play_what {
	PLAY_INVITE,  /* A: the first INVITE                                   */
	PLAY_REQUEST, /* a request in the dialog, next CSeq                    */
	PLAY_ACK,     /* for the last INVITE of that side                      */
	PLAY_CANCEL,  /* for the last INVITE of that side                      */
	PLAY_ANSWER,  /* to the last request of that method that side was sent */
	PLAY_TIME,
};

struct play_step {
	char side; /* 'a', 'b', '-' */
	enum play_what what;
	const char *method, *line; /* line: status line of an answer */
	const char *tag;           /* of an answer; of an INVITE: not NULL when no ACK will be for it */
	const char *extra, *body;
	unsigned ms;
};

/* everything a usual call may see, and some of what it should not */
__attribute__((unused)) static const struct play_step play_call[] = {
    {'a', PLAY_INVITE, "INVITE", NULL, NULL, "", sdp_a, 0},
    {'b', PLAY_ANSWER, "INVITE", "100 Trying", "", "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "180 Ringing", "btag", PLAY_CONTACT_B, NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "183 Session Progress", "btag", PLAY_CONTACT_B, sdp_b, 0},
    {'b', PLAY_ANSWER, "INVITE", "183 Session Progress", "other", "Contact: <sip:o@203.0.113.21>\n", sdp_b, 0},
    {'a', PLAY_REQUEST, "UPDATE", NULL, NULL, PLAY_CONTACT_A, NULL, 0},
    {'a', PLAY_REQUEST, "INFO", NULL, NULL, "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "btag", PLAY_CONTACT_B "Allow: INVITE, BYE\n", sdp_b, 0},
    {'a', PLAY_REQUEST, "INVITE", NULL, "before ACK", PLAY_CONTACT_A, play_hold_a, 0}, /* is refused */
    {'a', PLAY_ACK, "INVITE", NULL, NULL, "", NULL, 0},
    {'a', PLAY_REQUEST, "INFO", NULL, NULL, "Content-Type: application/dtmf-relay\n", "Signal=1\r\n", 0},
    {'b', PLAY_ANSWER, "INFO", "200 OK", "", "", NULL, 0},
    {'b', PLAY_REQUEST, "INVITE", NULL, NULL, PLAY_CONTACT_B, play_held_b, 0},
    {'a', PLAY_ANSWER, "INVITE", "491 Request Pending", "", "", NULL, 0},
    {'-', PLAY_TIME, NULL, NULL, NULL, NULL, NULL, 4100},
    {'a', PLAY_ANSWER, "INVITE", "200 OK", "", PLAY_CONTACT_A, play_hold_a, 0},
    {'b', PLAY_ACK, "INVITE", NULL, NULL, "", NULL, 0},
    {'a', PLAY_REQUEST, "UPDATE", NULL, NULL, PLAY_CONTACT_A, play_hold_a, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "", PLAY_CONTACT_B, play_held_b, 0},
    {'b', PLAY_REQUEST, "INVITE", NULL, NULL, PLAY_CONTACT_B, NULL, 0}, /* late offer */
    {'a', PLAY_ANSWER, "INVITE", "200 OK", "", PLAY_CONTACT_A, sdp_a, 0},
    {'b', PLAY_ACK, "INVITE", NULL, NULL, "", sdp_b, 0},
    {'a', PLAY_REQUEST, "MESSAGE", NULL, NULL, "Content-Type: text/plain\n", "hi", 0},
    {'b', PLAY_ANSWER, "MESSAGE", "202 Accepted", "", "", NULL, 0},
    {'a', PLAY_REQUEST, "INVITE", NULL, NULL, PLAY_CONTACT_A, play_hold_a, 0},
    {'b', PLAY_ANSWER, "INVITE", "100 Trying", "", "", NULL, 0},
    {'a', PLAY_CANCEL, "INVITE", NULL, NULL, "", NULL, 0},
    {'b', PLAY_ANSWER, "CANCEL", "200 OK", "", "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "487 Request Terminated", "", "", NULL, 0},
    {'b', PLAY_REQUEST, "OPTIONS", NULL, NULL, "", NULL, 0},
    {'a', PLAY_REQUEST, "BYE", NULL, NULL, "", NULL, 0},
    {'b', PLAY_REQUEST, "BYE", NULL, NULL, "", NULL, 0}, /* crossing */
    {'b', PLAY_ANSWER, "BYE", "200 OK", "", "", NULL, 0},
};

/* late offer, failover on the way, the callee hangs up */
__attribute__((unused)) static const struct play_step play_late[] = {
    {'a', PLAY_INVITE, "INVITE", NULL, NULL, "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "503 Service Unavailable", "x", "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "183 Session Progress", "btag", PLAY_CONTACT_B, sdp_b, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "btag", PLAY_CONTACT_B "Allow: INVITE, UPDATE, BYE\n", sdp_b, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "btag", PLAY_CONTACT_B, sdp_b, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "other", "Contact: <sip:o@203.0.113.21>\n", sdp_b, 0},
    {'a', PLAY_ACK, "INVITE", NULL, NULL, "", sdp_a, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "btag", PLAY_CONTACT_B, sdp_b, 0},
    {'a', PLAY_REQUEST, "UPDATE", NULL, NULL, PLAY_CONTACT_A, play_hold_a, 0},
    {'b', PLAY_ANSWER, "UPDATE", "200 OK", "", PLAY_CONTACT_B, play_held_b, 0},
    {'a', PLAY_REQUEST, "INVITE", NULL, NULL, PLAY_CONTACT_A, sdp_a, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "", PLAY_CONTACT_B, NULL, 0}, /* no answer: is taken back */
    {'a', PLAY_ACK, "INVITE", NULL, NULL, "", NULL, 0},
    {'b', PLAY_ANSWER, "INVITE", "200 OK", "", PLAY_CONTACT_B, sdp_b, 0},
    {'b', PLAY_REQUEST, "BYE", NULL, NULL, "", NULL, 0},
    {'a', PLAY_ANSWER, "BYE", "200 OK", "", "", NULL, 0},
};

struct play {
	struct rig *r;
	const char *call_id;
	unsigned cseq[2], inv_cseq[2], inv_branch[2];
};

static struct sent *play_last(struct rig *r, int realm, const char *method)
{
	size_t n = strlen(method);

	for (unsigned i = r->n_sent; i-- > 0;)
		if (r->sent[i].to.realm == realm && strncmp(r->sent[i].text, method, n) == 0 && r->sent[i].text[n] == ' ')
			return &r->sent[i];
	return NULL;
}

/* our tag towards A, from any answer that has one */
static const char *play_tag_a(struct rig *r)
{
	for (unsigned i = r->n_sent; i-- > 0;)
		if (r->sent[i].to.realm == 0 && strncmp(r->sent[i].text, "SIP/2.0 1", 9) == 0 &&
		    strstr(rig_hdr(r, &r->sent[i], "To"), ";tag="))
			return rig_tag(r, rig_hdr(r, &r->sent[i], "To"));
	for (unsigned i = r->n_sent; i-- > 0;)
		if (r->sent[i].to.realm == 0 && strncmp(r->sent[i].text, "SIP/2.0 ", 8) == 0 &&
		    strstr(rig_hdr(r, &r->sent[i], "CSeq"), "1 INVITE") && strstr(rig_hdr(r, &r->sent[i], "To"), ";tag="))
			return rig_tag(r, rig_hdr(r, &r->sent[i], "To"));
	return NULL;
}

static void play_request(struct play *p, char side, const char *method, unsigned cseq, unsigned branch, const char *extra,
    const char *body)
{
	struct rig *r = p->r;
	struct sent *inv;
	const char *tag;

	if (side == 'a') {
		tag = play_tag_a(r);
		if (!tag)
			return;
		rig_rx(r, 0, "198.51.100.10", body,
		    "%s sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKp%u\n"
		    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\n"
		    "Call-ID: %s\nCSeq: %u %s\nMax-Forwards: 70\n%s",
		    method, branch, tag, p->call_id, cseq, method, extra);
		return;
	}
	inv = play_last(r, 1, "INVITE");
	if (inv)
		rig_rx(r, 1, "203.0.113.20", body,
		    "%s sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKp%u\n"
		    "From: %s%s\nTo: %s\nCall-ID: %s\nCSeq: %u %s\nMax-Forwards: 70\n%s",
		    method, branch, rig_hdr(r, inv, "To"), strstr(rig_hdr(r, inv, "To"), ";tag=") ? "" : ";tag=btag",
		    rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"), cseq, method, extra);
}

static void play_step(struct play *p, const struct play_step *s)
{
	struct rig *r = p->r;
	int side = s->side == 'b';
	struct sent *req;

	switch (s->what) {
	case PLAY_TIME:
		rig_pass(r, s->ms);
		break;
	case PLAY_INVITE:
		rig_invite(r, p->call_id, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\n", s->body);
		p->cseq[0] = p->inv_cseq[0] = 1;
		break;
	case PLAY_REQUEST:
		p->cseq[side]++;
		r->branch++;
		if (strcmp(s->method, "INVITE") == 0) {
			p->inv_branch[side] = r->branch;
			if (!s->tag)
				p->inv_cseq[side] = p->cseq[side];
		}
		play_request(p, s->side, s->method, p->cseq[side], r->branch, s->extra, s->body);
		break;
	case PLAY_ACK:
		play_request(p, s->side, "ACK", p->inv_cseq[side], ++r->branch, s->extra, s->body);
		break;
	case PLAY_CANCEL:
		play_request(p, s->side, "CANCEL", p->inv_cseq[side], p->inv_branch[side], s->extra, s->body);
		break;
	case PLAY_ANSWER:
		req = play_last(r, side, s->method);
		if (req)
			rig_answer(r, req, s->line, s->tag, s->extra, s->body);
		break;
	}
}

/* Plays steps from .. to-1 of a script, without those of the dead ("a", "b", "ab", ""). */
__attribute__((unused)) static void play_steps(struct play *p, const struct play_step *s, unsigned from, unsigned to, const char *dead)
{
	for (; from < to; from++)
		if (s[from].side == '-' || !strchr(dead, s[from].side))
			play_step(p, &s[from]);
}

#endif
