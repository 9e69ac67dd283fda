/* ua.c - see ua.h. Timers are those of the world's wheel, T1 500 ms, T2 4 s.
 *
 * Client transactions (ct) repeat their bytes and end with a final answer or after 32 s. Server transactions (st)
 * remember the last answer for copies. The 2xx of an INVITE and its ACK belong to the call.
 */
#include "ua.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define T1 500
#define T2 4000
#define TEXT 8192

const char *const ua_state_names[] = {"new", "calling", "ringing", "up", "ending", "ended"};
static const char *const box_ip[2] = {"198.51.100.1", "203.0.113.1"};
/* directions as bits: 1 they may send to us, 2 we may send */
static const char *const dir_names[4] = {"inactive", "recvonly", "sendonly", "sendrecv"};

struct ua_ct {
	struct list node;
	struct ua_call *call;
	struct timer again, end;
	char method[12], branch[48];
	unsigned cseq, ms, copies;
	int64_t final_us;
	bool provisional, final, first; /* first: the INVITE that makes the call */
	bool offer;                     /* it carried one */
	enum ua_do what;
	char *text; /* own */
	char *ack;  /* own: to a refusal */
};

struct ua_st {
	struct list node;
	struct ua_call *call;
	struct timer again;
	char method[12], branch[80];
	unsigned cseq, ms, copies, status;
	int64_t since_us;
	char head[2048]; /* Via, From, Call-ID, CSeq as they came; To without our tag */
	char to[160];
	char *text; /* own: last answer */
	char *request; /* own */
	struct sim_conn *conn;
};

static timer_fn ct_again, ct_end, st_again, twoxx_again, on_cancel, on_ring, on_final, on_change, on_again, on_todo,
    on_patience;

/* ------------------------------------------------------------------ text */

static char *dup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		abort();
	return p;
}

static void add(char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *buf, size_t cap, const char *fmt, ...)
{
	size_t at = strlen(buf);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + at, cap - at, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= cap - at)
		abort();
}

/* Length of the name at p when it is that header, in its long or short form (RFC 3261 7.3.3); 0 otherwise. */
static size_t is_hdr(const char *p, const char *name)
{
	static const struct {
		const char *name;
		char compact;
	} known[] = {{"Via", 'v'}, {"From", 'f'}, {"To", 't'}, {"Call-ID", 'i'}, {"Contact", 'm'}, {"Content-Type", 'c'},
	    {"Content-Length", 'l'}, {"Supported", 'k'}, {"Subject", 's'}};
	size_t len = strlen(name);

	if (!strncasecmp(p, name, len) && (p[len] == ':' || p[len] == ' '))
		return len;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i].name, name) && (p[0] | 0x20) == known[i].compact && (p[1] == ':' || p[1] == ' '))
			return 1;
	return 0;
}

/* value of the n-th header of that name into out; false when there is none */
static bool hdr(const char *m, const char *name, unsigned nth, char *out, size_t cap)
{
	const char *end = strstr(m, "\r\n\r\n");

	out[0] = 0;
	while ((m = strstr(m, "\r\n")) && end && m < end) {
		m += 2;
		if (!is_hdr(m, name))
			continue;
		if (nth-- == 0) {
			const char *v = strchr(m, ':') + 1;

			while (*v == ' ')
				v++;
			snprintf(out, cap, "%.*s", (int)strcspn(v, "\r"), v);
			return true;
		}
	}
	return false;
}

static void param(const char *value, const char *name, char *out, size_t cap)
{
	const char *p = strstr(value, name);

	out[0] = 0;
	if (p)
		snprintf(out, cap, "%.*s", (int)strcspn(p + strlen(name), ";,> \r"), p + strlen(name));
}

static const char *body_of(const char *m)
{
	const char *p = strstr(m, "\r\n\r\n");

	return p ? p + 4 : "";
}

static void token(struct ua *ua, char *out, size_t cap, const char *prefix)
{
	snprintf(out, cap, "%s%u-%u-%x", prefix, ua->number, ++ua->n_tokens, sim_below(ua->host.w, 1u << 30));
}

/* the URI inside <> */
static void uri_of(const char *value, char *out, size_t cap)
{
	const char *p = strchr(value, '<');

	p = p ? p + 1 : value;
	snprintf(out, cap, "%.*s", (int)strcspn(p, ">"), p);
}

/* ------------------------------------------------------------------ session descriptions */

static int mirror(int dir)
{
	return (dir & 1) << 1 | (dir & 2) >> 1;
}

/* dir of the first stream, sendrecv when nothing is said; n_streams may be NULL */
static int sdp_dir(const char *sdp, unsigned *n_streams)
{
	const char *m = strstr(sdp, "m="), *next = m ? strstr(m + 2, "\r\nm=") : NULL;
	int dir = 3;

	if (n_streams) {
		*n_streams = 0;
		for (const char *p = m; p; p = strstr(p + 2, "\r\nm="))
			(*n_streams)++;
	}
	for (int i = 0; i < 4; i++) {
		char a[20];
		const char *p;

		snprintf(a, sizeof(a), "\r\na=%s", dir_names[i]);
		p = strstr(sdp, a);
		if (p && (!next || p < next))
			dir = i;
	}
	return dir;
}

static void put_sdp(struct ua_call *c, char *out, size_t cap, int dir, unsigned streams)
{
	out[0] = 0;
	add(out, cap,
	    "v=0\r\no=u%u %u %u IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %u RTP/AVP 8 0 101\r\n"
	    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=%s\r\n",
	    c->index, c->ua->number * 1000 + c->index, c->sdp_version, c->ua->ip, c->ua->ip, c->port, dir_names[dir]);
	for (unsigned i = 1; i < streams; i++)
		add(out, cap, "m=audio %u RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=%s\r\n", c->port + 2 * i, dir_names[dir]);
}

static void put_offer(struct ua_call *c, char *out, size_t cap)
{
	int dir = c->hold ? 2 : 3;

	c->sdp_version++;
	c->offered = dir;
	c->offered_streams = c->streams;
	put_sdp(c, out, cap, dir, c->streams);
}

/* what the box offered last is what holds from now on */
static void agree(struct ua_call *c)
{
	memcpy(c->agreed_sdp, c->their_sdp, sizeof(c->agreed_sdp));
}

static void put_answer(struct ua_call *c, const char *offer, char *out, size_t cap)
{
	unsigned streams;
	int dir = mirror(sdp_dir(offer, &streams));

	if (c->hold)
		dir &= 2;
	c->sdp_version++;
	c->streams = streams;
	put_sdp(c, out, cap, dir, streams);
	agree(c);
}

/* does it refuse the first stream? */
static bool refuses(const char *sdp)
{
	const char *m = strstr(sdp, "m=");

	return m && m == strstr(sdp, "m=audio 0 ");
}

/* Checks what the box describes (RFC 3264 5, 6, 8): its own address, one session, a version that goes up when
 * anything changes, an answer that fits our offer. */
static void check_sdp(struct ua_call *c, const char *sdp, bool is_answer)
{
	struct world *w = c->ua->host.w;
	unsigned long long sid = 0, ver = 0, old_sid = 0, old_ver = 0;
	char conn[80];
	const char *o = strstr(sdp, "o=");
	unsigned streams;
	int dir = sdp_dir(sdp, &streams);

	if (!o || sscanf(o, "o=%*s %llu %llu", &sid, &ver) != 2) {
		sim_fail(w, "call %u: no o= line in %s", c->index, sdp);
		return;
	}
	snprintf(conn, sizeof(conn), "c=IN IP4 %s\r\n", box_ip[c->ua->host.realm]);
	SIM_CHECK(w, strstr(sdp, conn), "call %u: media address is not the box's: %s", c->index, sdp);
	SIM_CHECK(w, !refuses(sdp), "call %u: first stream is refused", c->index);
	if (c->their_sdp[0]) {
		sscanf(strstr(c->their_sdp, "o="), "o=%*s %llu %llu", &old_sid, &old_ver);
		SIM_CHECK(w, sid == old_sid, "call %u: session id %llu became %llu", c->index, old_sid, sid);
		/* back only to what was agreed before an offer that failed, and then to the letter */
		SIM_CHECK(w, ver >= old_ver || !strcmp(sdp, c->agreed_sdp),
		    "call %u: version went back from %llu to %llu, which was:\n%s---\n%s", c->index, old_ver, ver,
		    c->agreed_sdp, sdp);
		SIM_CHECK(w, ver != old_ver || !strcmp(sdp, c->their_sdp),
		    "call %u: session changed, its version %llu did not:\n%s---\n%s", c->index, ver, c->their_sdp, sdp);
	}
	snprintf(c->their_sdp, sizeof(c->their_sdp), "%s", sdp);
	if (!is_answer)
		return;
	SIM_CHECK(w, c->offered >= 0, "call %u: an answer without an offer", c->index);
	if (c->offered < 0)
		return;
	SIM_CHECK(w, streams == c->offered_streams, "call %u: answer has %u streams, offer had %u", c->index, streams,
	    c->offered_streams);
	/* what they do is a part of what we offered, seen from their end */
	SIM_CHECK(w, (dir & ~mirror(c->offered)) == 0, "call %u: offered %s, answer is %s", c->index,
	    dir_names[c->offered], dir_names[dir]);
}

static void take_answer(struct ua_call *c, const char *m, bool must)
{
	const char *sdp = body_of(m);

	if (*sdp) {
		check_sdp(c, sdp, true);
		if (must) {
			c->offered = -1;
			agree(c);
		}
	} else if (must) {
		/* it may have come in a provisional answer */
		SIM_CHECK(c->ua->host.w, c->their_sdp[0], "call %u: no answer to our offer", c->index);
		c->offered = -1;
		agree(c);
	}
}

/* ------------------------------------------------------------------ sending */

static void send_to_box(struct ua *ua, struct sim_conn *conn, const char *text)
{
	if (ua->tcp && (!conn || !conn->up))
		conn = sim_connect(&ua->host);
	sim_send(&ua->host, ua->tcp || conn ? conn : NULL, text, strlen(text));
}

static void finish(char *text, const char *body)
{
	if (*body)
		add(text, TEXT, "Content-Type: application/sdp\r\n");
	add(text, TEXT, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

static void put_request(struct ua_call *c, char *text, const char *method, unsigned cseq, const char *branch,
    const char *extra, const char *body)
{
	text[0] = 0;
	add(text, TEXT,
	    "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s:5060;branch=%s\r\nFrom: %s;tag=%s\r\nTo: %s%s%s\r\nCall-ID: %s\r\n"
	    "CSeq: %u %s\r\nMax-Forwards: 70\r\n%s",
	    method, c->target, c->ua->tcp ? "TCP" : "UDP", c->ua->ip, branch, c->local, c->local_tag, c->remote,
	    c->remote_tag[0] ? ";tag=" : "", c->remote_tag, c->call_id, cseq, method, extra);
	finish(text, body);
}

static void contact(struct ua_call *c, char *out, size_t cap)
{
	snprintf(out, cap, "Contact: <sip:u%u@%s:5060%s>\r\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS\r\n",
	    c->index, c->ua->ip, c->ua->tcp ? ";transport=tcp" : "");
}

static struct ua_ct *request(struct ua_call *c, const char *method, const char *extra, const char *body)
{
	struct timers *t = &c->ua->host.w->timers;
	struct ua_ct *ct = calloc(1, sizeof(*ct));
	char text[TEXT];

	if (!ct)
		abort();
	ct->call = c;
	ct->cseq = ++c->cseq;
	ct->ms = T1;
	snprintf(ct->method, sizeof(ct->method), "%s", method);
	token(c->ua, ct->branch, sizeof(ct->branch), "z9hG4bK");
	put_request(c, text, method, ct->cseq, ct->branch, extra, body);
	ct->text = dup(text);
	list_push(&c->cts, &ct->node);
	if (!c->ua->tcp)
		timer_start_ms(t, &ct->again, ct->ms, ct_again);
	timer_start_ms(t, &ct->end, 64 * T1, ct_end);
	send_to_box(c->ua, c->conn, ct->text);
	return ct;
}

static void respond(struct ua_st *st, unsigned status, const char *extra, const char *body)
{
	struct ua_call *c = st->call;
	char text[TEXT];

	text[0] = 0;
	add(text, TEXT, "SIP/2.0 %u %s\r\n%sTo: %s%s%s\r\n%s", status, status < 300 ? "Fine" : "No", st->head, st->to,
	    status > 100 && !strstr(st->to, ";tag=") ? ";tag=" : "",
	    status > 100 && !strstr(st->to, ";tag=") ? c->local_tag : "", extra);
	finish(text, body);
	free(st->text);
	st->text = dup(text);
	st->status = status;
	send_to_box(c->ua, st->conn, text);
	if (status >= 300 && !strcmp(st->method, "INVITE") && !st->conn) {
		st->ms = T1;
		st->since_us = c->ua->host.w->clock.mono_us;
		timer_start_ms(&c->ua->host.w->timers, &st->again, T1, st_again);
	}
	if (status >= 200 && c->invite == st)
		c->invite = NULL;
}

/* an answer without a call */
static void answer_alone(struct ua *ua, struct sim_conn *conn, const char *m, unsigned status)
{
	char text[TEXT] = "", v[512];

	add(text, TEXT, "SIP/2.0 %u Alone\r\n", status);
	for (unsigned i = 0; hdr(m, "Via", i, v, sizeof(v)); i++)
		add(text, TEXT, "Via: %s\r\n", v);
	hdr(m, "From", 0, v, sizeof(v));
	add(text, TEXT, "From: %s\r\n", v);
	hdr(m, "To", 0, v, sizeof(v));
	add(text, TEXT, "To: %s%s\r\n", v, strstr(v, ";tag=") ? "" : ";tag=alone");
	hdr(m, "Call-ID", 0, v, sizeof(v));
	add(text, TEXT, "Call-ID: %s\r\n", v);
	hdr(m, "CSeq", 0, v, sizeof(v));
	add(text, TEXT, "CSeq: %s\r\n", v);
	finish(text, "");
	send_to_box(ua, conn, text);
}

/* ------------------------------------------------------------------ a call's life */

static void set_state(struct ua_call *c, enum ua_state s)
{
	struct timers *t = &c->ua->host.w->timers;

	c->state = s;
	if (s == UA_CALLING || s == UA_RINGING)
		timer_start_ms(t, &c->patience, UA_PATIENCE_MS, on_patience);
	else
		timer_stop(t, &c->patience);
}

static void stop_all(struct ua_call *c)
{
	struct timers *t = &c->ua->host.w->timers;

	timer_stop(t, &c->cancel_timer);
	timer_stop(t, &c->ring_timer);
	timer_stop(t, &c->final_timer);
	timer_stop(t, &c->change_timer);
	timer_stop(t, &c->again_timer);
	timer_stop(t, &c->twoxx_timer);
	timer_stop(t, &c->patience);
	for (unsigned i = 0; i < UA_TODO_MAX; i++)
		timer_stop(t, &c->todo[i].timer);
}

static void call_ended(struct ua_call *c)
{
	if (c->state == UA_ENDED)
		return;
	set_state(c, UA_ENDED);
	stop_all(c);
	if (c->invite)
		respond(c->invite, 487, "", "");
}

static struct ua_call *call_new(struct ua *ua, const struct ua_plan *plan, unsigned index)
{
	struct ua_call *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->ua = ua;
	c->plan = plan;
	c->index = index;
	c->since_us = ua->host.w->clock.mono_us;
	c->offered = -1;
	c->streams = 1;
	c->port = 10000 + 20 * (ua->n_tokens % 1000);
	list_init(&c->cts);
	list_init(&c->sts);
	list_push(&ua->calls, &c->node);
	token(ua, c->local_tag, sizeof(c->local_tag), "t");
	return c;
}

static void is_up(struct ua_call *c)
{
	if (c->up_started)
		return;
	c->up_started = true;
	for (unsigned i = 0; i < c->plan->n_todo; i++) {
		c->todo[i] = (struct ua_todo){.call = c, .what = c->plan->todo[i].what};
		timer_start_ms(&c->ua->host.w->timers, &c->todo[i].timer, c->plan->todo[i].after_ms, on_todo);
	}
}

static void say_bye(struct ua_call *c)
{
	if (c->state == UA_ENDING || c->state == UA_ENDED)
		return;
	stop_all(c);
	if (c->invite)
		respond(c->invite, 487, "", "");
	set_state(c, UA_ENDING);
	request(c, "BYE", "", "");
}

struct ua_call *ua_invite(struct ua *ua, const struct ua_plan *plan, unsigned index, const char *calling,
    const char *called)
{
	struct ua_call *c = call_new(ua, plan, index);
	char extra[512], body[1024] = "";

	c->caller = true;
	token(ua, c->call_id, sizeof(c->call_id), "id");
	snprintf(c->local, sizeof(c->local), "<sip:%s@%s>", calling, ua->ip);
	snprintf(c->remote, sizeof(c->remote), "<sip:%s@%s>", called, box_ip[ua->host.realm]);
	snprintf(c->target, sizeof(c->target), "sip:%s@%s", called, box_ip[ua->host.realm]);
	if (ua->tcp)
		c->conn = sim_connect(&ua->host);
	set_state(c, UA_CALLING);
	if (!plan->late)
		put_offer(c, body, sizeof(body));
	contact(c, extra, sizeof(extra));
	c->inviting = request(c, "INVITE", extra, body);
	c->inviting->first = true;
	c->inviting->offer = !plan->late;
	if (plan->cancel_ms >= 0)
		timer_start_ms(&ua->host.w->timers, &c->cancel_timer, plan->cancel_ms, on_cancel);
	return c;
}

/* ------------------------------------------------------------------ client transactions */

static unsigned next_ms(unsigned ms, const char *method)
{
	return strcmp(method, "INVITE") && ms * 2 > T2 ? T2 : ms * 2;
}

static void ct_again(struct timer *t)
{
	struct ua_ct *ct = container_of(t, struct ua_ct, again);

	if (ct->call->vanished)
		return;
	send_to_box(ct->call->ua, ct->call->conn, ct->text);
	ct->ms = next_ms(ct->ms, ct->method);
	timer_start_ms(&ct->call->ua->host.w->timers, t, ct->ms, ct_again);
}

static void ct_stop(struct ua_ct *ct)
{
	timer_stop(&ct->call->ua->host.w->timers, &ct->again);
	timer_stop(&ct->call->ua->host.w->timers, &ct->end);
}

static void ct_end(struct timer *t)
{
	struct ua_ct *ct = container_of(t, struct ua_ct, end);
	struct ua_call *c = ct->call;

	if (c->vanished)
		return;
	ct_stop(ct);
	if (!strcmp(ct->method, "CANCEL"))
		return;
	if (!strcmp(ct->method, "INVITE") && c->inviting == ct) {
		c->inviting = NULL;
		c->offered = -1;
	}
	ct->final = true;
	if (ct->first || !strcmp(ct->method, "BYE"))
		call_ended(c);
	else
		say_bye(c); /* 12.2.1.2 */
}

static void send_ack_2xx(struct ua_call *c, unsigned cseq, const char *body)
{
	char text[TEXT], branch[48];

	token(c->ua, branch, sizeof(branch), "z9hG4bK");
	put_request(c, text, "ACK", cseq, branch, "", body);
	free(c->ack);
	c->ack = dup(text);
	c->ack_cseq = cseq;
}

/* the planned loss, then for good */
static void ack_goes(struct ua_call *c)
{
	if (c->acks_lost++ >= c->plan->lose_acks)
		send_to_box(c->ua, c->conn, c->ack);
}

static void refusal_ack_goes(struct ua_ct *ct)
{
	if (ct->copies >= ct->call->plan->lose_acks || ct->call->ua->tcp)
		send_to_box(ct->call->ua, ct->call->conn, ct->ack);
}

static void cancel_now(struct ua_call *c)
{
	struct timers *t = &c->ua->host.w->timers;
	struct ua_ct *ct;
	unsigned cseq = c->cseq;
	char branch[48], tag[64];

	c->cancel_wanted = false;
	if (!c->inviting)
		return;
	c->cancelled = true;
	snprintf(branch, sizeof(branch), "%s", c->inviting->branch);
	/* as the INVITE: its CSeq number, branch and To */
	c->cseq = c->inviting->cseq - 1;
	snprintf(tag, sizeof(tag), "%s", c->remote_tag);
	if (c->inviting->first)
		c->remote_tag[0] = 0;
	ct = calloc(1, sizeof(*ct));
	if (!ct)
		abort();
	ct->call = c;
	ct->cseq = c->inviting->cseq;
	ct->ms = T1;
	snprintf(ct->method, sizeof(ct->method), "CANCEL");
	snprintf(ct->branch, sizeof(ct->branch), "%s", branch);
	{
		char text[TEXT];

		put_request(c, text, "CANCEL", ct->cseq, branch, "", "");
		ct->text = dup(text);
	}
	snprintf(c->remote_tag, sizeof(c->remote_tag), "%s", tag);
	c->cseq = cseq;
	list_push(&c->cts, &ct->node);
	if (!c->ua->tcp)
		timer_start_ms(t, &ct->again, T1, ct_again);
	timer_start_ms(t, &ct->end, 64 * T1, ct_end);
	send_to_box(c->ua, c->conn, ct->text);
	/* 9.1: no final in 64*T1 after that: given up */
	timer_start_ms(t, &c->inviting->end, 64 * T1, ct_end);
}

static void on_cancel(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, cancel_timer);

	if (c->state != UA_CALLING || !c->inviting)
		return;
	if (c->inviting->provisional)
		cancel_now(c);
	else
		c->cancel_wanted = true;
}

static void on_patience(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, patience);

	SIM_CHECK(c->ua->host.w, c->lost, "call %u: the %s at %s is %s after %d s, and nothing of it was lost", c->index,
	    c->caller ? "caller" : "callee", c->ua->ip, ua_state_names[c->state], UA_PATIENCE_MS / 1000);
	c->gave_up = true;
	if (c->state == UA_RINGING) {
		if (c->invite)
			respond(c->invite, 480, "", "");
		c->final_status = 480;
		call_ended(c);
	} else if (c->inviting && !c->cancelled) {
		cancel_now(c);
	}
}

static void invite_accepted(struct ua_call *c, struct ua_ct *ct, const char *m, const char *tag)
{
	char v[256], body[1024] = "";

	if (ct->first) {
		snprintf(c->remote_tag, sizeof(c->remote_tag), "%s", tag);
		c->final_status = 200;
		set_state(c, UA_UP);
		timer_stop(&c->ua->host.w->timers, &c->cancel_timer);
	}
	if (hdr(m, "Contact", 0, v, sizeof(v)))
		uri_of(v, c->target, sizeof(c->target));
	else
		sim_fail(c->ua->host.w, "call %u: 2xx without Contact", c->index);
	if (ct->offer) {
		take_answer(c, m, true);
	} else {
		SIM_CHECK(c->ua->host.w, *body_of(m), "call %u: 2xx without the offer", c->index);
		if (*body_of(m)) {
			check_sdp(c, body_of(m), false);
			put_answer(c, body_of(m), body, sizeof(body));
		}
	}
	send_ack_2xx(c, ct->cseq, body);
	ack_goes(c);
	if (c->state == UA_ENDING || c->state == UA_ENDED)
		return; /* a change that crossed BYE */
	if (ct->first && c->cancelled)
		say_bye(c); /* too late for CANCEL */
	else
		is_up(c);
}

/* When copies of a 2xx come: T1 doubling to T2 (13.3.1.4). */
static int64_t copy_ms(unsigned copies, bool doubling_only)
{
	int64_t at = 0, ms = T1;

	for (unsigned i = 0; i < copies; i++) {
		at += ms;
		ms = !doubling_only && ms * 2 > T2 ? T2 : ms * 2;
	}
	return at;
}

static bool calm(const struct ua *ua)
{
	const struct sim_weather *s = &ua->host.w->weather[ua->host.realm];

	return !s->jitter_us && !s->loss_ppm && !s->double_ppm && !ua->tcp;
}

static void check_copy(struct ua *ua, unsigned index, const char *what, int64_t since_us, unsigned copies, bool doubling)
{
	int64_t want = copy_ms(copies, doubling), got = (ua->host.w->clock.mono_us - since_us) / 1000;

	if (calm(ua))
		SIM_CHECK(ua->host.w, got >= want - 2 && got <= want + 15, "call %u: copy %u of %s after %lld ms, not %lld",
		    index, copies, what, (long long)got, (long long)want);
}

static void invite_answered(struct ua_call *c, struct ua_ct *ct, const char *m, unsigned status)
{
	struct world *w = c->ua->host.w;
	char v[256], tag[64];

	hdr(m, "To", 0, v, sizeof(v));
	param(v, ";tag=", tag, sizeof(tag));
	if (status > 100 && ct->first) { /* UAS-04 */
		SIM_CHECK(w, tag[0], "call %u: %u without a To tag", c->index, status);
		if (c->early_tag[0])
			SIM_CHECK(w, !strcmp(tag, c->early_tag), "call %u: To tag %s became %s", c->index, c->early_tag, tag);
		else
			snprintf(c->early_tag, sizeof(c->early_tag), "%s", tag);
	}
	if (status == 100)
		SIM_CHECK(w, ct->first ? !tag[0] : true, "call %u: 100 with a tag", c->index);
	if (status < 200) {
		if (ct->final)
			return; /* overtaken */
		timer_stop(&w->timers, &ct->again);
		if (!c->cancelled)
			timer_stop(&w->timers, &ct->end);
		ct->provisional = true;
		if (ct->first && ct->offer && *body_of(m))
			take_answer(c, m, false);
		if (c->cancel_wanted)
			cancel_now(c);
		return;
	}
	if (ct->final) {
		if (status < 300) {
			SIM_CHECK(w, c->ack && c->ack_cseq >= ct->cseq, "call %u: late 2xx after a refusal", c->index);
			if (!ct->ack)
				check_copy(c->ua, c->index, "2xx", ct->final_us, ++ct->copies, false);
			if (c->ack && c->ack_cseq == ct->cseq)
				ack_goes(c);
		} else if (ct->ack) {
			check_copy(c->ua, c->index, "refusal", ct->final_us, ++ct->copies, false);
			refusal_ack_goes(ct);
		}
		return;
	}
	ct_stop(ct);
	ct->final = true;
	ct->final_us = w->clock.mono_us;
	if (c->inviting == ct)
		c->inviting = NULL;
	if (status < 300) {
		invite_accepted(c, ct, m, tag);
		return;
	}
	{ /* the ACK: Via, Request-URI and CSeq number of the INVITE, To of the answer */
		char text[TEXT], keep[64];

		snprintf(keep, sizeof(keep), "%s", c->remote_tag);
		snprintf(c->remote_tag, sizeof(c->remote_tag), "%s", tag);
		put_request(c, text, "ACK", ct->cseq, ct->branch, "", "");
		snprintf(c->remote_tag, sizeof(c->remote_tag), "%s", keep);
		ct->ack = dup(text);
		refusal_ack_goes(ct);
	}
	c->offered = -1;
	if (ct->first) {
		c->final_status = status;
		call_ended(c);
	} else if (status == 491 && c->state == UA_UP) {
		/* 14.1: the owner of the Call-ID waits longer */
		timer_start_ms(&w->timers, &c->again_timer,
		    c->caller ? 2100 + 10 * sim_below(w, 190) : 10 * sim_below(w, 200), on_again);
	} else if (status == 481 || status == 408) {
		say_bye(c);
	}
}

static void response(struct ua_call *c, struct ua_ct *ct, const char *m, unsigned status)
{
	struct world *w = c->ua->host.w;

	c->heard = true;
	if (!strcmp(ct->method, "INVITE")) {
		invite_answered(c, ct, m, status);
		return;
	}
	SIM_CHECK(w, status == 100 || status >= 200, "call %u: %u to %s", c->index, status, ct->method); /* TXN-16 */
	SIM_CHECK(w, status != 408, "call %u: 408 to %s", c->index, ct->method);                     /* TXN-17 */
	if (status < 200 || ct->final)
		return;
	ct_stop(ct);
	ct->final = true;
	if (!strcmp(ct->method, "BYE")) {
		call_ended(c);
	} else if (!strcmp(ct->method, "UPDATE")) {
		if (status < 300)
			take_answer(c, m, true);
		else
			c->offered = -1;
		if (c->inviting == ct)
			c->inviting = NULL;
		if (status == 481)
			say_bye(c);
	} else if (!strcmp(ct->method, "CANCEL")) {
		SIM_CHECK(w, status == 200 || status == 481, "call %u: %u to CANCEL", c->index, status);
	}
}

/* ------------------------------------------------------------------ server transactions */

static struct ua_st *st_new(struct ua_call *c, struct sim_conn *conn, const char *m, const char *method)
{
	struct ua_st *st = calloc(1, sizeof(*st));
	char v[512];

	if (!st)
		abort();
	st->call = c;
	st->conn = conn;
	st->since_us = c->ua->host.w->clock.mono_us;
	snprintf(st->method, sizeof(st->method), "%s", method);
	hdr(m, "Via", 0, v, sizeof(v));
	param(v, ";branch=", st->branch, sizeof(st->branch));
	for (unsigned i = 0; hdr(m, "Via", i, v, sizeof(v)); i++)
		add(st->head, sizeof(st->head), "Via: %s\r\n", v);
	hdr(m, "From", 0, v, sizeof(v));
	add(st->head, sizeof(st->head), "From: %s\r\n", v);
	hdr(m, "Call-ID", 0, v, sizeof(v));
	add(st->head, sizeof(st->head), "Call-ID: %s\r\n", v);
	hdr(m, "CSeq", 0, v, sizeof(v));
	add(st->head, sizeof(st->head), "CSeq: %s\r\n", v);
	st->cseq = (unsigned)strtoul(v, NULL, 10);
	hdr(m, "To", 0, st->to, sizeof(st->to));
	st->request = dup(m);
	list_push(&c->sts, &st->node);
	return st;
}

static void st_again(struct timer *t)
{
	struct ua_st *st = container_of(t, struct ua_st, again);
	struct world *w = st->call->ua->host.w;

	if (st->call->vanished || w->clock.mono_us - st->since_us >= 64 * T1 * 1000)
		return;
	send_to_box(st->call->ua, st->conn, st->text);
	st->ms = next_ms(st->ms, "");
	timer_start_ms(&w->timers, t, st->ms, st_again);
}

/* ------------------------------------------------------------------ our 2xx */

static void twoxx_again(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, twoxx_timer);
	struct world *w = c->ua->host.w;

	if (w->clock.mono_us - c->twoxx_since_us >= 64 * T1 * 1000) {
		/* with a late offer the ACK may wait for an answer that never comes; else it is owed */
		SIM_CHECK(w, c->answer_in_ack, "call %u: our 2xx (tag %s) was never acknowledged", c->index, c->local_tag);
		say_bye(c);
		return;
	}
	send_to_box(c->ua, c->conn, c->twoxx);
	c->twoxx_ms = c->twoxx_ms * 2 > T2 ? T2 : c->twoxx_ms * 2;
	timer_start_ms(&w->timers, t, c->twoxx_ms, twoxx_again);
}

static void accept_invite(struct ua_call *c, struct ua_st *st)
{
	struct world *w = c->ua->host.w;
	const char *offer = body_of(st->request);
	char extra[512], body[1024];

	c->answer_in_ack = !*offer;
	if (*offer)
		put_answer(c, offer, body, sizeof(body));
	else
		put_offer(c, body, sizeof(body));
	contact(c, extra, sizeof(extra));
	respond(st, 200, extra, body);
	free(c->twoxx);
	c->twoxx = dup(st->text);
	c->twoxx_cseq = st->cseq;
	c->twoxx_ms = T1;
	c->twoxx_since_us = w->clock.mono_us;
	timer_start_ms(&w->timers, &c->twoxx_timer, T1, twoxx_again);
}

static void got_ack(struct ua_call *c, const char *m, unsigned cseq)
{
	struct world *w = c->ua->host.w;

	if (!timer_running(&c->twoxx_timer) || cseq != c->twoxx_cseq)
		return;
	timer_stop(&w->timers, &c->twoxx_timer);
	if (c->answer_in_ack && c->state == UA_UP) {
		/* An answer there must be (OFA-07). When it refuses all, the box ends the call itself, did not take
		 * this fork, or tells the session anew. */
		SIM_CHECK(w, *body_of(m), "call %u: our offer has no answer in the ACK", c->index);
		if (*body_of(m) && !refuses(body_of(m)))
			take_answer(c, m, true);
		c->offered = -1;
	} else {
		SIM_CHECK(w, !*body_of(m) || c->answer_in_ack, "call %u: ACK with a body that nobody asked for", c->index);
	}
	c->answer_in_ack = false;
	if (c->state == UA_UP)
		is_up(c);
}

/* ------------------------------------------------------------------ the callee's plan */

static void ring(struct ua_call *c)
{
	char extra[512], body[1024] = "";

	if (!c->invite || c->plan->ring_ms < 0)
		return;
	if (c->plan->ring_sdp && *body_of(c->invite->request))
		put_answer(c, body_of(c->invite->request), body, sizeof(body));
	contact(c, extra, sizeof(extra));
	respond(c->invite, c->plan->ring_status, extra, body);
}

static void on_ring(struct timer *t)
{
	ring(container_of(t, struct ua_call, ring_timer));
}

/* The same INVITE is answered by another phone as well. */
static void second_fork(struct ua_call *c, struct ua_st *st)
{
	struct ua_call *f = call_new(c->ua, c->plan, c->index);
	struct ua_st *copy = st_new(f, st->conn, st->request, "INVITE");

	f->second_fork = true;
	snprintf(copy->branch, sizeof(copy->branch), "none"); /* copies of the INVITE are the first one's */
	memcpy(f->call_id, c->call_id, sizeof(f->call_id));
	memcpy(f->local, c->local, sizeof(f->local));
	memcpy(f->remote, c->remote, sizeof(f->remote));
	memcpy(f->remote_tag, c->remote_tag, sizeof(f->remote_tag));
	memcpy(f->target, c->target, sizeof(f->target));
	memcpy(f->their_sdp, c->their_sdp, sizeof(f->their_sdp));
	f->remote_cseq = c->remote_cseq;
	f->conn = c->conn;
	f->up_started = true; /* it does nothing but wait for its end */
	f->final_status = 200;
	set_state(f, UA_UP);
	accept_invite(f, copy);
}

static void on_final(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, final_timer);
	struct ua_st *st = c->invite;

	if (!st || c->state != UA_RINGING)
		return;
	timer_stop(&c->ua->host.w->timers, &c->ring_timer);
	c->final_status = c->plan->final_status;
	if (c->plan->final_status >= 300) {
		respond(st, c->plan->final_status, "", "");
		call_ended(c);
		return;
	}
	set_state(c, UA_UP);
	accept_invite(c, st);
	if (c->plan->fork)
		second_fork(c, st);
}

static void new_call(struct ua *ua, struct sim_conn *conn, const char *m)
{
	struct world *w = ua->host.w;
	const struct ua_plan *plan;
	unsigned index = 0;
	char number[64], v[256];
	struct ua_call *c;

	if (sscanf(m, "INVITE sip:%60[^@;> ]", number) != 1) {
		sim_fail(w, "request URI without a number: %.60s", m);
		return;
	}
	plan = ua->plan_of(ua->ctx, ua, number, &index);
	if (!plan) {
		sim_fail(w, "nobody at %s has the number %s", ua->ip, number);
		return;
	}
	if (!plan->trying && plan->ring_ms < 0 && plan->final_ms < 0)
		return; /* a host that does not answer */
	c = call_new(ua, plan, index);
	c->conn = conn;
	hdr(m, "Call-ID", 0, c->call_id, sizeof(c->call_id));
	hdr(m, "To", 0, c->local, sizeof(c->local));
	hdr(m, "From", 0, v, sizeof(v));
	param(v, ";tag=", c->remote_tag, sizeof(c->remote_tag));
	snprintf(c->remote, sizeof(c->remote), "%.*s", (int)(strstr(v, ";tag=") ? strstr(v, ";tag=") - v : 0), v);
	SIM_CHECK(w, hdr(m, "Contact", 0, v, sizeof(v)), "call %u: INVITE without Contact", index);
	uri_of(v, c->target, sizeof(c->target));
	c->invite = st_new(c, conn, m, "INVITE");
	c->remote_cseq = c->invite->cseq;
	set_state(c, UA_RINGING);
	if (*body_of(m))
		check_sdp(c, body_of(m), false);
	if (plan->trying)
		respond(c->invite, 100, "", "");
	if (plan->ring_ms >= 0)
		timer_start_ms(&w->timers, &c->ring_timer, plan->ring_ms, on_ring);
	if (plan->final_ms >= 0)
		timer_start_ms(&w->timers, &c->final_timer, plan->final_ms, on_final);
}

/* ------------------------------------------------------------------ changes of the session */

static void change(struct ua_call *c, enum ua_do what)
{
	char extra[512], body[1024] = "";
	bool update = what == UA_UPDATE;

	if (what == UA_HOLD)
		c->hold = true;
	if (what == UA_RESUME)
		c->hold = false;
	if (what == UA_REOFFER) {
		c->port += 2;
		c->streams = 2;
	}
	if (what != UA_LATE)
		put_offer(c, body, sizeof(body));
	contact(c, extra, sizeof(extra));
	c->inviting = request(c, update ? "UPDATE" : "INVITE", extra, body);
	c->inviting->offer = what != UA_LATE;
	c->inviting->what = what;
}

static void on_again(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, again_timer);

	if (c->state == UA_UP && !c->inviting && !c->invite && !timer_running(&c->twoxx_timer))
		change(c, c->hold ? UA_HOLD : UA_RESUME);
}

static void on_todo(struct timer *t)
{
	struct ua_todo *d = container_of(t, struct ua_todo, timer);
	struct ua_call *c = d->call;
	struct ua *ua = c->ua;

	if (c->state != UA_UP)
		return;
	switch (d->what) {
	case UA_BYE:
		if (timer_running(&c->twoxx_timer) && !c->ack) {
			timer_start_ms(&ua->host.w->timers, t, 500, on_todo); /* 15: a callee waits for the ACK */
			return;
		}
		say_bye(c);
		break;
	case UA_HOLD:
	case UA_RESUME:
	case UA_REOFFER:
	case UA_LATE:
	case UA_UPDATE:
		if (c->inviting || c->invite || timer_running(&c->twoxx_timer) || timer_running(&c->again_timer)) {
			if (d->tries++ < 5)
				timer_start_ms(&ua->host.w->timers, t, 700, on_todo);
			return;
		}
		change(c, d->what);
		break;
	case UA_INFO:
		request(c, "INFO", "", "");
		break;
	case UA_OPTIONS:
		request(c, "OPTIONS", "", "");
		break;
	case UA_CUT:
		sim_cut(&ua->host, sim_chance(ua->host.w, 50), sim_chance(ua->host.w, 80));
		break;
	case UA_VANISH:
		stop_all(c);
		c->vanished = true;
		break;
	}
}

static void on_change(struct timer *t)
{
	struct ua_call *c = container_of(t, struct ua_call, change_timer);

	if (c->invite && c->state == UA_UP)
		accept_invite(c, c->invite);
}

static void changed_by_box(struct ua_call *c, struct ua_st *st, const char *m)
{
	bool update = !strcmp(st->method, "UPDATE");
	char extra[512], body[1024];

	if (c->inviting) {
		respond(st, 491, "", "");
		return;
	}
	if (timer_running(&c->twoxx_timer) || c->invite) {
		respond(st, 500, "Retry-After: 1\r\n", "");
		return;
	}
	if (*body_of(m))
		check_sdp(c, body_of(m), false);
	if (c->plan->refuses) {
		respond(st, 488, "", "");
		return;
	}
	if (update) {
		contact(c, extra, sizeof(extra));
		if (*body_of(m))
			put_answer(c, body_of(m), body, sizeof(body));
		else
			body[0] = 0;
		respond(st, 200, extra, body);
		return;
	}
	c->invite = st;
	timer_start_ms(&c->ua->host.w->timers, &c->change_timer, c->plan->slow_ms, on_change);
}

/* ------------------------------------------------------------------ what comes in */

static void in_dialog(struct ua_call *c, struct sim_conn *conn, const char *m, const char *method, unsigned cseq)
{
	struct world *w = c->ua->host.w;
	struct ua_st *st;

	if (!strcmp(method, "ACK")) {
		got_ack(c, m, cseq);
		return;
	}
	st = st_new(c, conn, m, method);
	/* a lost or late one may be overtaken */
	SIM_CHECK(w, cseq > c->remote_cseq || !calm(c->ua) || w->refused,
	    "call %u: CSeq %u after %u", c->index, cseq, c->remote_cseq);
	if (cseq > c->remote_cseq)
		c->remote_cseq = cseq;
	if (c->state == UA_ENDED || (c->state == UA_ENDING && strcmp(method, "BYE"))) {
		respond(st, 481, "", "");
		return;
	}
	if (!strcmp(method, "BYE")) {
		bool mine = c->state == UA_ENDING;

		respond(st, 200, "", "");
		if (!mine)
			call_ended(c);
	} else if (!strcmp(method, "INVITE") || !strcmp(method, "UPDATE")) {
		changed_by_box(c, st, m);
	} else if (!strcmp(method, "INFO") || !strcmp(method, "OPTIONS")) {
		respond(st, 200, "", "");
	} else {
		sim_fail(w, "call %u: %s from the box", c->index, method);
		respond(st, 501, "", "");
	}
}

static void on_cancel_request(struct ua_call *c, struct ua_st *invite, struct sim_conn *conn, const char *m)
{
	struct world *w = c->ua->host.w;
	char a[256], b[256];
	struct ua_st *st = st_new(c, conn, m, "CANCEL");

	/* 9.1: Request-URI, To and CSeq number of the INVITE, and never before a provisional answer */
	SIM_CHECK(w, strcspn(m + 7, " ") == strcspn(invite->request + 7, " ") &&
	        !strncmp(m + 7, invite->request + 7, strcspn(m + 7, " ")),
	    "call %u: CANCEL has another request URI", c->index);
	hdr(m, "To", 0, a, sizeof(a));
	hdr(invite->request, "To", 0, b, sizeof(b));
	SIM_CHECK(w, !strcmp(a, b), "call %u: CANCEL has another To", c->index);
	SIM_CHECK(w, st->cseq == invite->cseq, "call %u: CANCEL has another CSeq", c->index);
	SIM_CHECK(w, invite->status >= 100, "call %u: CANCEL before any answer", c->index);
	respond(st, 200, "", "");
	if (c->invite != invite)
		return;
	c->cancelled = true;
	respond(invite, 487, "", "");
	if (c->state == UA_RINGING) {
		c->final_status = 487;
		call_ended(c);
	} else {
		timer_stop(&w->timers, &c->change_timer);
	}
}

static void check_head(struct ua *ua, const char *m, bool is_request)
{
	struct world *w = ua->host.w;
	char v[512];

	/* topology: nothing of the other side in any byte */
	SIM_CHECK(w, !strstr(m, ua->host.realm ? "198.51.100" : "203.0.113"), "%s sees the other side:\n%s", ua->ip, m);
	SIM_CHECK(w, !hdr(m, "Record-Route", 0, v, sizeof(v)), "Record-Route from a B2BUA");
	if (is_request) {
		SIM_CHECK(w, hdr(m, "Max-Forwards", 0, v, sizeof(v)), "request without Max-Forwards");
		SIM_CHECK(w, hdr(m, "Via", 0, v, sizeof(v)) && strstr(v, ";branch=z9hG4bK"), "Via %s", v);
		SIM_CHECK(w, !hdr(m, "Via", 1, v, sizeof(v)), "more than one Via");
	}
}

static void request_in(struct ua *ua, struct sim_conn *conn, const char *m)
{
	char method[12] = "", v[512], branch[80], tag[64], call_id[96];
	unsigned cseq;

	if (sscanf(m, "%11[A-Z] ", method) != 1) {
		sim_fail(ua->host.w, "not a request: %.40s", m);
		return;
	}
	check_head(ua, m, true);
	hdr(m, "Via", 0, v, sizeof(v));
	param(v, ";branch=", branch, sizeof(branch));
	hdr(m, "CSeq", 0, v, sizeof(v));
	cseq = (unsigned)strtoul(v, NULL, 10);
	hdr(m, "To", 0, v, sizeof(v));
	param(v, ";tag=", tag, sizeof(tag));
	hdr(m, "Call-ID", 0, call_id, sizeof(call_id));
	list_each(cn, &ua->calls) {
		struct ua_call *c = container_of(cn, struct ua_call, node);

		list_each(sn, &c->sts) {
			struct ua_st *st = container_of(sn, struct ua_st, node);

			if (strcmp(st->branch, branch))
				continue;
			if (c->vanished)
				return;
			if (!strcmp(method, st->method)) { /* a copy */
				SIM_CHECK(ua->host.w, !strcmp(m, st->request), "call %u: a copy that differs:\n%s---\n%s",
				    c->index, st->request, m);
				if (st->status == 0)
					check_copy(ua, c->index, method, st->since_us, ++st->copies, !strcmp(method, "INVITE"));
				if (st->text && !(st->status >= 200 && st->status < 300 && !strcmp(method, "INVITE")))
					send_to_box(ua, conn, st->text);
				return;
			}
			if (!strcmp(method, "ACK") && !strcmp(st->method, "INVITE")) {
				SIM_CHECK(ua->host.w, st->status >= 300, "call %u: ACK to %u has the INVITE's branch", c->index,
				    st->status);
				timer_stop(&ua->host.w->timers, &st->again);
				return;
			}
			if (!strcmp(method, "CANCEL") && !strcmp(st->method, "INVITE")) {
				on_cancel_request(c, st, conn, m);
				return;
			}
		}
	}
	list_each(cn, &ua->calls) {
		struct ua_call *c = container_of(cn, struct ua_call, node);

		if (!tag[0] || strcmp(tag, c->local_tag) || strcmp(call_id, c->call_id))
			continue;
		if (!c->vanished)
			in_dialog(c, conn, m, method, cseq);
		return;
	}
	if (!strcmp(method, "ACK"))
		return;
	if (!tag[0] && !strcmp(method, "INVITE"))
		new_call(ua, conn, m);
	else
		answer_alone(ua, conn, m, 481);
}

static void response_in(struct ua *ua, const char *m)
{
	char v[512], branch[80], method[16] = "";
	unsigned status = (unsigned)strtoul(m + 8, NULL, 10), cseq = 0;

	check_head(ua, m, false);
	hdr(m, "Via", 0, v, sizeof(v));
	param(v, ";branch=", branch, sizeof(branch));
	hdr(m, "CSeq", 0, v, sizeof(v));
	sscanf(v, "%u %15s", &cseq, method);
	list_each(cn, &ua->calls) {
		struct ua_call *c = container_of(cn, struct ua_call, node);

		list_each(tn, &c->cts) {
			struct ua_ct *ct = container_of(tn, struct ua_ct, node);

			if (strcmp(ct->branch, branch) || strcmp(ct->method, method) || ct->cseq != cseq)
				continue;
			if (!c->vanished)
				response(c, ct, m, status);
			return;
		}
	}
	sim_fail(ua->host.w, "a response that nobody asked for: %s", m);
}

static void on_message(struct sim_host *h, struct sim_conn *conn, char *text, size_t n)
{
	struct ua *ua = container_of(h, struct ua, host);

	SIM_CHECK(h->w, strlen(text) == n, "a NUL in a message");
	if (!strncmp(text, "SIP/2.0 ", 8))
		response_in(ua, text);
	else
		request_in(ua, conn, text);
}

static void on_lost(struct sim_host *h, char *text)
{
	struct ua *ua = container_of(h, struct ua, host);
	char call_id[96];

	hdr(text, "Call-ID", 0, call_id, sizeof(call_id));
	list_each(n, &ua->calls) {
		struct ua_call *c = container_of(n, struct ua_call, node);

		if (!strcmp(c->call_id, call_id))
			c->lost = true;
	}
}

/* ------------------------------------------------------------------ begin and end */

void ua_init(struct ua *ua, struct world *w, unsigned host)
{
	memset(ua, 0, sizeof(*ua));
	ua->ip = sim_addr[host];
	ua->number = host + 1;
	ua->host.realm = host > 0;
	ua->host.on_message = on_message;
	ua->host.on_lost = on_lost;
	if (addr_parse_ip(str_z(ua->ip), 5060, &ua->host.addr))
		abort();
	list_init(&ua->calls);
	world_add_host(w, &ua->host);
}

void ua_fini(struct ua *ua)
{
	struct timers *t = &ua->host.w->timers;
	struct list *cn, *n;

	while ((cn = list_pop(&ua->calls))) {
		struct ua_call *c = container_of(cn, struct ua_call, node);

		stop_all(c);
		while ((n = list_pop(&c->cts))) {
			struct ua_ct *ct = container_of(n, struct ua_ct, node);

			timer_stop(t, &ct->again);
			timer_stop(t, &ct->end);
			free(ct->text);
			free(ct->ack);
			free(ct);
		}
		while ((n = list_pop(&c->sts))) {
			struct ua_st *st = container_of(n, struct ua_st, node);

			timer_stop(t, &st->again);
			free(st->text);
			free(st->request);
			free(st);
		}
		free(c->twoxx);
		free(c->ack);
		free(c);
	}
}
