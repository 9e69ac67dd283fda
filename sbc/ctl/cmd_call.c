/* cmd_call.c - calls: list, one in full, its messages, its media, why it ended, ending it.
 *
 * A call is looked for among those in progress, then among the last that ended (b2b keeps them), and for `why` in
 * the call records. Messages come from the ring of net/tap.h, found by the keys in the call's record.
 */
#include <stdio.h>
#include <stdlib.h>

#include "media/capture.h"
#include "media/relay.h"
#include "sbc/ctl/view.h"
#include "sbc/net/tap.h"

/* Copy of the record of a call in progress or remembered; *ret_phase NULL: ended. Refuses when there is none. */
static struct call_record *find_call(struct ctl_req *r, const char **ret_phase, struct call **ret_live)
{
	struct call_record *rec = malloc(sizeof(*rec));
	const struct call_record *ended;
	struct call *c;
	uint64_t id;

	*ret_phase = NULL;
	if (ret_live)
		*ret_live = NULL;
	if (!rec || !call_id_parse(ctl_arg_str(r, "CALL"), &id)) {
		free(rec);
		ctl_refuse(r, REASON_NO_SUCH, "postern call list shows the ids", "no call '%s'", ctl_arg(r, "CALL"));
		return NULL;
	}
	c = b2b_call_find(r->be->b2b, id);
	if (c) {
		call_snapshot(c, rec);
		*ret_phase = call_phase_names[call_phase(c)];
		if (ret_live)
			*ret_live = c;
		return rec;
	}
	ended = b2b_ended_find(r->be->b2b, id);
	if (ended) {
		*rec = *ended;
		return rec;
	}
	free(rec);
	return NULL;
}

static void no_call(struct ctl_req *r)
{
	if (!r->ended)
		ctl_refuse(r, REASON_NO_SUCH, "postern call list --ended; older ones: postern cdr find",
		    "no call '%s' in progress or among the last that ended", ctl_arg(r, "CALL"));
}

/* The direction of the stream that is bad, and what it suffers from. */
static const struct media_verdict_info *bad_verdict(const struct call_media *m)
{
	const struct media_verdict_info *in = media_verdict_info((enum media_verdict)m->judged.in);

	return in->bad ? in : media_verdict_info((enum media_verdict)m->judged.out);
}

/* The worst stream, in words; false when all are well. */
static bool worst_media(const struct call_record *rec, const char **ret_verdict)
{
	unsigned n = rec->n_streams < CALL_STREAMS_MAX ? rec->n_streams : CALL_STREAMS_MAX;

	for (int side = 0; side < 2; side++)
		for (unsigned i = 0; i < n; i++)
			if (rec->media[side][i].bad) {
				*ret_verdict = bad_verdict(&rec->media[side][i])->text;
				return true;
			}
	*ret_verdict = "";
	return false;
}

static int64_t length_ms(struct ctl_req *r, const struct call_record *rec)
{
	int64_t now = r->be->env->clock->mono_us, end = rec->end_us ? rec->end_us : now;

	return (end - (rec->answer_us ? rec->answer_us : rec->start_us)) / 1000;
}

static json_t *call_json(struct ctl_req *r, const struct call_record *rec, const char *phase)
{
	char id[CALL_ID_TEXT];
	const char *verdict;
	bool bad = worst_media(rec, &verdict);
	json_t *j = json_object();
	struct text note = {0};

	call_id_text(rec->id, id);
	json_object_set_new(j, "id", json_string(id));
	json_object_set_new(j, "state", json_string(phase ? phase : "ended"));
	json_object_set_new(j, "start_us", json_integer(rec->start_wall_us));
	json_object_set_new(j, "length_ms", json_integer(length_ms(r, rec)));
	json_object_set_new(j, "from_trunk", print_jsonz(rec->trunk_a));
	json_object_set_new(j, "to_trunk", print_jsonz(rec->trunk_b));
	json_object_set_new(j, "calling", print_jsonz(rec->calling));
	json_object_set_new(j, "called", print_jsonz(rec->called));
	json_object_set_new(j, "route", print_jsonz(rec->route));
	json_object_set_new(j, "status", json_integer(rec->status));
	json_object_set_new(j, "reason", view_code(rec->reason));
	json_object_set_new(j, "media_bad", json_boolean(bad));
	json_object_set_new(j, "level", json_integer(bad ? 2 : 0));
	if (bad)
		text_fmt(&note, "media: %s", verdict);
	else if (!phase && rec->reason != REASON_NONE && rec->reason != REASON_NORMAL)
		text_fmt(&note, "%s", reason_info(rec->reason)->text);
	json_object_set_new(j, "note", print_json(text_get(&note)));
	text_fini(&note);
	return j;
}

static bool wanted(struct ctl_req *r, const struct call_record *rec)
{
	const char *trunk = ctl_arg(r, "--trunk"), *v;
	uint32_t over = ctl_seconds(r, "--over", 0);

	if (trunk && strcmp(trunk, rec->trunk_a) && strcmp(trunk, rec->trunk_b))
		return false;
	if (over && length_ms(r, rec) < (int64_t)over * 1000)
		return false;
	return !ctl_flag(r, "--ill") || worst_media(rec, &v);
}

#define LIST_MAX 5000 /* calls shown at once */

void cmd_call_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"id", "CALL", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"length_ms", "LENGTH", PK_MS, 0},
	    {"from_trunk", "FROM", PK_TEXT, 0},
	    {"calling", "CALLING", PK_TEXT, 3},
	    {"to_trunk", "TO", PK_TEXT, 0},
	    {"called", "CALLED", PK_TEXT, 0},
	    {"note", "NOTE", PK_TEXT, 0},
	};
	struct call_record *rec = malloc(sizeof(*rec));
	json_t *rows = json_array();
	struct call *c = NULL;
	unsigned total = 0;

	while (rec && (c = b2b_call_next(r->be->b2b, c))) {
		call_snapshot(c, rec);
		if (!wanted(r, rec))
			continue;
		if (++total <= LIST_MAX)
			json_array_append_new(rows, call_json(r, rec, call_phase_names[call_phase(c)]));
	}
	free(rec);
	for (unsigned i = 0; ctl_flag(r, "--ended"); i++) {
		const struct call_record *e = b2b_ended(r->be->b2b, i);

		if (!e)
			break;
		/* one whose BYE is not answered yet was shown above */
		if (wanted(r, e) && !b2b_call_find(r->be->b2b, e->id))
			json_array_append_new(rows, call_json(r, e, NULL));
	}
	ctl_set(r, "total", json_integer(total));
	ctl_table(r, "calls", rows, cols, ARRAY_LEN(cols), "no calls");
	if (total > LIST_MAX)
		ctl_say(r, "%u more are not shown: --trunk, --over, --ill\n", total - LIST_MAX);
	ctl_end(r);
}

/* -------------------------------------------------------------------- one call */

static json_t *tries_json(const struct call_record *rec)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < rec->n_tries && i < CALL_TRIES_MAX; i++) {
		const struct call_try *t = &rec->tries[i];
		json_t *j = json_object();

		json_object_set_new(j, "trunk", print_jsonz(t->trunk));
		json_object_set_new(j, "target", view_peer(t->proto, &t->addr));
		json_object_set_new(j, "after_ms", json_integer(t->after_ms));
		json_object_set_new(j, "status", json_integer(t->status));
		json_object_set_new(j, "reason", view_code(t->reason));
		json_object_set_new(j, "text", json_string(t->reason == REASON_NONE ? "" : reason_info(t->reason)->text));
		json_object_set_new(j, "sip_call_id", print_jsonz(t->sip_call_id));
		if (t->fragmented)
			json_object_set_new(j, "fragmented", json_true());
		json_array_append_new(rows, j);
	}
	return rows;
}

/* what was dropped, by reason */
static json_t *drops_json(const struct media_stats *s)
{
	json_t *j = json_object();

	for (unsigned d = 0; d < RELAY_DROPS; d++)
		if (s->drops[d])
			json_object_set_new(j, relay_drop_names[d], json_integer((json_int_t)s->drops[d]));
	return j;
}

/* how a side's stream is encrypted in each direction, and since when what comes cannot be read */
static void put_srtp(json_t *j, const struct media_stats *s, int64_t now)
{
	uint8_t in = s->rx_suite < CRYPT_SUITES ? s->rx_suite : 0, out = s->tx_suite < CRYPT_SUITES ? s->tx_suite : 0;
	char both[96];

	json_object_set_new(j, "srtp_in", json_string(crypt_suites[in].name));
	json_object_set_new(j, "srtp_out", json_string(crypt_suites[out].name));
	/* nearly always the same both ways */
	snprintf(both, sizeof(both), "%s%s%s%s", in == CRYPT_NONE && out == CRYPT_NONE ? "-" : crypt_suites[in].name,
	    in != out ? "/" : "", in != out ? crypt_suites[out].name : "",
	    s->dtls == MEDIA_DTLS_UP      ? " (DTLS)"
	    : s->dtls == MEDIA_DTLS_WAITS ? " (DTLS waits)"
	    : s->dtls                     ? " (DTLS failed)"
	                                  : "");
	json_object_set_new(j, "ice", json_string(s->ice == MEDIA_ICE_UP ? "up" : s->ice ? "waits" : "none"));
	json_object_set_new(j, "dtls", json_string(media_dtls_names[s->dtls % 4]));
	json_object_set_new(j, "srtp", json_string(both));
	json_object_set_new(j, "srtp_auth_failed", json_integer((json_int_t)s->drops[RELAY_DROP_AUTH]));
	json_object_set_new(j, "srtp_replayed", json_integer((json_int_t)s->drops[RELAY_DROP_REPLAY]));
	if (s->unreadable_us)
		json_object_set_new(j, "srtp_unreadable_ms", json_integer((now - s->unreadable_us) / 1000));
}

/* "4.37"; nothing when it cannot be said */
static void put_mos(json_t *j, const struct call_media *m)
{
	double mos = media_mos(&m->info, &m->stats);
	char text[8];

	snprintf(text, sizeof(text), "%.2f", mos);
	if (mos > 0) {
		json_object_set_new(j, "mos", json_real(mos));
		json_object_set_new(j, "mos_text", json_string(text));
	}
}

/* Both directions: words, what to do, and since when. */
static void put_judged(json_t *j, const struct call_media *m)
{
	const struct media_judged *g = &m->judged;
	const struct media_verdict_info *in = media_verdict_info((enum media_verdict)g->in);
	const struct media_verdict_info *out = media_verdict_info((enum media_verdict)g->out);
	char text[256];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	media_put_in(&b, g, &m->stats);
	json_object_set_new(j, "verdict", print_json(buf_text(&b)));
	json_object_set_new(j, "verdict_code", json_string(in->word));
	if (in->bad)
		json_object_set_new(j, "verdict_remedy", json_string(in->remedy));
	if (g->change)
		json_object_set_new(j, "since_reinvite", json_integer(g->change));
	buf_init(&b, text, sizeof(text));
	media_put_out(&b, g, &m->stats);
	json_object_set_new(j, "hears", print_json(buf_text(&b)));
	json_object_set_new(j, "hears_code", json_string(out->word));
	if (out->bad)
		json_object_set_new(j, "hears_remedy", json_string(out->remedy));
	json_object_set_new(j, "level", json_integer(m->bad ? 2 : 0));
}

static json_t *media_json(struct ctl_req *r, const struct call_record *rec)
{
	unsigned n = rec->n_streams < CALL_STREAMS_MAX ? rec->n_streams : CALL_STREAMS_MAX;
	int64_t now = r->be->env->clock->mono_us;
	json_t *rows = json_array();

	for (unsigned i = 0; i < n; i++) {
		for (int side = 0; side < 2; side++) {
			const struct call_media *m = &rec->media[side][i];
			const struct media_stats *s = &m->stats;
			uint64_t drops = 0, expected = s->rx_packets + (s->lost > 0 ? (uint64_t)s->lost : 0);
			json_t *j = json_object();
			char at[ADDR_TEXT_MAX];

			for (size_t d = 0; d < ARRAY_LEN(s->drops); d++)
				drops += s->drops[d];
			json_object_set_new(j, "drops", drops_json(s));
			json_object_set_new(j, "leg", json_string(side == 0 ? "a" : "b"));
			json_object_set_new(j, "trunk", print_jsonz(side == 0 ? rec->trunk_a : rec->trunk_b));
			json_object_set_new(j, "stream", json_integer(i));
			json_object_set_new(j, "kind", print_jsonz(m->info.kind));
			json_object_set_new(j, "codec", print_jsonz(m->info.codec));
			json_object_set_new(j, "direction", print_jsonz(m->info.direction));
			json_object_set_new(j, "rx_packets", json_integer((json_int_t)s->rx_packets));
			json_object_set_new(j, "tx_packets", json_integer((json_int_t)s->tx_packets));
			json_object_set_new(j, "rx_bytes", json_integer((json_int_t)s->rx_bytes));
			json_object_set_new(j, "lost", json_integer((json_int_t)s->lost));
			if (expected)
				json_object_set_new(j, "loss_percent",
				    json_real(s->lost > 0 ? 100.0 * (double)s->lost / (double)expected : 0.0));
			json_object_set_new(j, "jitter_us", json_integer(s->jitter_us));
			json_object_set_new(j, "reordered", json_integer(s->reordered));
			json_object_set_new(j, "doubled", json_integer(s->doubled));
			json_object_set_new(j, "gap_us", json_integer(s->gap_us));
			if (s->round_trip_us)
				json_object_set_new(j, "rtt_us", json_integer(s->round_trip_us));
			if (s->far_lost >= 0)
				json_object_set_new(j, "far_lost_percent", json_real(100.0 * s->far_lost / 256));
			put_mos(j, m);
			json_object_set_new(j, "dropped", json_integer((json_int_t)drops));
			if (s->last_rx_us && !rec->end_us)
				json_object_set_new(j, "silent_ms", json_integer((now - s->last_rx_us) / 1000));
			json_object_set_new(
			    j, "from", json_string(addr_none(&s->source) ? "-" : addr_text(&s->source, at)));
			json_object_set_new(
			    j, "sent_to", json_string(addr_none(&s->remote) ? "-" : addr_text(&s->remote, at)));
			json_object_set_new(j, "ours", json_string(addr_none(&s->local) ? "-" : addr_text(&s->local, at)));
			json_object_set_new(j, "latched", json_boolean(s->latched));
			put_srtp(j, s, now);
			put_judged(j, m);
			json_array_append_new(rows, j);
		}
	}
	return rows;
}

static const struct print_col media_cols[] = {
    {"trunk", "FROM", PK_TEXT, 0},
    {"kind", "KIND", PK_TEXT, 5},
    {"codec", "CODEC", PK_TEXT, 0},
    {"direction", "DIR", PK_TEXT, 4},
    {"rx_packets", "IN", PK_NUM, 0},
    {"tx_packets", "OUT", PK_NUM, 0},
    {"loss_percent", "LOSS", PK_PCT, 0},
    {"jitter_us", "JITTER", PK_US, 0},
    {"rtt_us", "RTT", PK_US, 4},
    {"mos_text", "MOS", PK_TEXT, 2},
    {"dropped", "DROPPED", PK_NUM, 3},
    {"srtp", "SRTP", PK_TEXT, 1},
    {"from", "COMES FROM", PK_TEXT, 2},
    {"verdict", "VERDICT", PK_TEXT, 0},
    {"hears", "IT HEARS", PK_TEXT, 6},
};

/* One line for a direction that is bad, and what to do about it. */
static void say_bad(struct ctl_req *r, const char *trunk, const char *what, const struct media_verdict_info *i)
{
	struct text t = {0};

	text_fmt(&t, "%s, %s: %s. Remedy: ", trunk, what, i->text);
	for (const char *p = i->remedy; *p;) {
		const char *name = strstr(p, "NAME");

		text_put(&t, p, name ? (size_t)(name - p) : strlen(p));
		if (!name)
			break;
		text_fmt(&t, "%s", trunk);
		p = name + 4;
	}
	if (!r->json)
		text_wrap(&r->out, text_get(&t), 0, 4, r->view.columns);
	text_fini(&t);
}

static void say_verdicts(struct ctl_req *r, const struct call_record *rec)
{
	unsigned n = rec->n_streams < CALL_STREAMS_MAX ? rec->n_streams : CALL_STREAMS_MAX;

	for (unsigned i = 0; i < n; i++)
		for (int side = 0; side < 2; side++) {
			const struct media_judged *g = &rec->media[side][i].judged;
			const struct media_verdict_info *in = media_verdict_info((enum media_verdict)g->in);
			const struct media_verdict_info *out = media_verdict_info((enum media_verdict)g->out);
			const char *trunk = side == 0 ? rec->trunk_a : rec->trunk_b;

			if (in->bad)
				say_bad(r, trunk, "what comes from there", in);
			if (out->bad)
				say_bad(r, trunk, "what it hears", out);
		}
}

static void put_media(struct ctl_req *r, const struct call_record *rec)
{
	const char *verdict;

	ctl_table(r, "media", media_json(r, rec), media_cols, ARRAY_LEN(media_cols), "no streams");
	if (rec->n_streams > CALL_STREAMS_MAX)
		ctl_say(r, "%u more streams are not shown\n", rec->n_streams - CALL_STREAMS_MAX);
	say_verdicts(r, rec);
	if (worst_media(rec, &verdict))
		r->code = 2;
}

/* What we are to this call, in the words of RFC 7092: of RTP we read and change headers, T.38 we pass as it is. */
static const char *role_of(const struct call_record *rec)
{
	const char *role = "SDP-modifying signaling-only B2BUA";

	for (unsigned i = 0; i < rec->n_streams && i < CALL_STREAMS_MAX; i++) {
		const struct media_stream_info *a = &rec->media[0][i].info, *b = &rec->media[1][i].info;

		if (!a->active && !b->active)
			continue;
		if (strcmp(a->kind, "image") != 0)
			return "media-aware relay";
		role = "media relay";
	}
	return role;
}

void cmd_call_show(struct ctl_req *r)
{
	static const struct print_col head[] = {
	    {"id", "call", PK_TEXT, 0},
	    {"state", "state", PK_TEXT, 0},
	    {"start_us", "began", PK_WHEN, 0},
	    {"ring_ms", "rang after", PK_MS, 0},
	    {"answer_ms", "answered after", PK_MS, 0},
	    {"length_ms", "length", PK_MS, 0},
	    {"from", "from", PK_TEXT, 0},
	    {"to", "to", PK_TEXT, 0},
	    {"route", "route", PK_TEXT, 0},
	    {"peer", "caller's address", PK_TEXT, 0},
	    {"sip_call_id", "Call-ID of leg A", PK_TEXT, 0},
	    {"role", "our role", PK_TEXT, 0},
	    {"status", "status", PK_NUM, 0},
	    {"released_by", "ended by", PK_TEXT, 0},
	    {"reason_text", "reason", PK_TEXT, 0},
	    {"peer_reason", "far end says", PK_TEXT, 0},
	};
	static const struct print_col tries[] = {
	    {"trunk", "TRIED", PK_TEXT, 0},
	    {"target", "TARGET", PK_TEXT, 0},
	    {"after_ms", "AFTER", PK_MS, 0},
	    {"status", "STATUS", PK_NUM, 0},
	    {"reason", "CODE", PK_TEXT, 0},
	    {"text", "REASON", PK_TEXT, 0},
	};
	const char *phase;
	struct call_record *rec = find_call(r, &phase, NULL);
	char code[REASON_CODE_MAX];
	struct text t = {0};
	json_t *j;

	if (!rec) {
		no_call(r);
		return;
	}
	j = call_json(r, rec, phase);
	text_fmt(&t, "%s %s", rec->trunk_a, rec->calling);
	json_object_set_new(j, "from", print_json(text_get(&t)));
	t.n = 0;
	text_fmt(&t, "%s %s", rec->trunk_b[0] ? rec->trunk_b : "-", rec->called);
	json_object_set_new(j, "to", print_json(text_get(&t)));
	if (rec->ring_us)
		json_object_set_new(j, "ring_ms", json_integer((rec->ring_us - rec->start_us) / 1000));
	if (rec->answer_us)
		json_object_set_new(j, "answer_ms", json_integer((rec->answer_us - rec->start_us) / 1000));
	json_object_set_new(j, "peer", view_peer(rec->proto_a, &rec->peer_a));
	json_object_set_new(j, "sip_call_id", print_jsonz(rec->sip_call_id_a));
	json_object_set_new(j, "role", json_string(role_of(rec)));
	if (!phase) {
		json_object_set_new(j, "released_by",
		    json_string(rec->released_by == 'a'	    ? "caller"
				: rec->released_by == 'b' ? "called side"
							  : "this controller"));
		t.n = 0;
		text_fmt(&t, "%s %s", reason_code(rec->reason, code), reason_info(rec->reason)->text);
		json_object_set_new(j, "reason_text", print_json(text_get(&t)));
	}
	if (rec->peer_reason[0])
		json_object_set_new(j, "peer_reason", print_jsonz(rec->peer_reason));
	text_fini(&t);
	ctl_set(r, "call", j);
	ctl_block(r, "call", head, ARRAY_LEN(head));
	ctl_say(r, "\n");
	ctl_table(r, "tries", tries_json(rec), tries, ARRAY_LEN(tries), "no target was tried");
	ctl_say(r, "\n");
	put_media(r, rec);
	free(rec);
	ctl_end(r);
}

void cmd_call_media(struct ctl_req *r)
{
	const char *phase;
	struct call_record *rec = find_call(r, &phase, NULL);
	struct text t = {0};

	if (!rec) {
		no_call(r);
		return;
	}
	print_duration_ms(&t, length_ms(r, rec));
	ctl_say(r, "call %s  %s <-> %s  %s %s\n", ctl_arg(r, "CALL"), rec->trunk_a, rec->trunk_b[0] ? rec->trunk_b : "-",
	    phase ? phase : "ended,", text_z(&t));
	text_fini(&t);
	put_media(r, rec);
	free(rec);
	ctl_end(r);
}

/* -------------------------------------------------------------------- messages */

#define KEYS_MAX (CALL_TRIES_MAX + 1)

static unsigned wire_keys(const struct call_record *rec, uint64_t keys[KEYS_MAX])
{
	unsigned n = 0;

	keys[n++] = rec->wire_key_a;
	for (unsigned i = 0; i < rec->n_tries && i < CALL_TRIES_MAX; i++)
		if (rec->tries[i].wire_key)
			keys[n++] = rec->tries[i].wire_key;
	return n;
}

struct ladder {
	struct ctl_req *r;
	const struct call_record *rec;
	json_t *rows;
	int64_t first_us;
	unsigned width; /* columns between two life lines */
	bool full;
};

/* "INVITE (SDP)", "200 OK (SDP)" out of the start of a message. */
static void label(struct text *t, struct str m)
{
	struct str line, rest, word;
	bool sdp = str_find(m, S("\r\n\r\nv=")) >= 0;

	str_cut(m, '\r', &line);
	if (str_prefix(line, S("SIP/2.0 "))) {
		ptrdiff_t cseq = str_find(m, S("\r\nCSeq:"));

		text_str(t, str_head(str_from(line, 8), 40));
		if (cseq >= 0) {
			str_cut(str_from(m, (size_t)cseq + 7), '\r', &rest);
			rest = str_trim(str_cut(str_trim(rest), ' ', &word));
			if (rest.n && !str_eq(rest, S("INVITE")) && rest.n < 20)
				text_fmt(t, " /%.*s", STR(rest));
		}
	} else {
		str_cut(line, ' ', &word);
		text_str(t, str_head(word, 20));
	}
	if (sdp)
		text_lit(t, " (SDP)");
	for (size_t i = 0; i < t->n; i++)
		if ((unsigned char)t->p[i] < 0x20 || (unsigned char)t->p[i] >= 0x7f)
			t->p[i] = '?';
}

static void put_full(struct ctl_req *r, const struct tap_msg *m)
{
	struct str rest = m->bytes, line;

	while (!str_empty(rest)) {
		char shown[2048];
		struct buf b;

		rest = str_cut(rest, '\n', &line);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		buf_init(&b, shown, sizeof(shown));
		for (size_t i = 0; i < line.n && i < 1000; i++)
			buf_chr(&b, (unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f ? '?' : line.p[i]);
		ctl_say(r, "          %.*s\n", STR(buf_text(&b)));
	}
	if (m->len > m->bytes.n)
		ctl_say(r, "          (%zu bytes more were not kept)\n", m->len - m->bytes.n);
}

/* "- INVITE (SDP) ------>" in width columns */
static void arrow(struct text *t, struct str label_text, bool rightwards, unsigned width)
{
	struct str shown = str_head(label_text, width - 4);

	text_fmt(t, "%s %.*s ", rightwards ? "-" : "<", STR(shown));
	text_fill(t, '-', width - 4 - shown.n);
	text_fmt(t, "%s", rightwards ? ">" : "-");
}

#define LADDER_TIME 10 /* columns before the first life line */

static void ladder_text(struct ladder *l, const struct tap_msg *m, struct str label_text, bool leg_a)
{
	int64_t ms = (m->mono_us - l->first_us) / 1000;
	bool rightwards = leg_a != m->out;
	struct text line = {0};
	char at[ADDR_TEXT_MAX];

	text_fmt(&line, "%5lld.%03lld |", (long long)(ms / 1000), (long long)(ms % 1000));
	if (leg_a) {
		arrow(&line, label_text, rightwards, l->width);
		text_lit(&line, "|");
		text_fill(&line, ' ', l->width);
	} else {
		text_fill(&line, ' ', l->width);
		text_lit(&line, "|");
		arrow(&line, label_text, rightwards, l->width);
	}
	text_fmt(&line, "| %s", addr_text(&m->path.remote, at));
	ctl_say(l->r, "%s\n", text_z(&line));
	text_fini(&line);
	if (l->full)
		put_full(l->r, m);
}

static bool ladder_line(void *ctx, const struct tap_msg *m)
{
	struct ladder *l = ctx;
	bool leg_a = m->key == l->rec->wire_key_a;
	struct text t = {0};
	json_t *j = json_object();

	if (!l->first_us)
		l->first_us = m->mono_us;
	label(&t, m->bytes);
	json_object_set_new(j, "at_us", json_integer(m->wall_us));
	json_object_set_new(j, "leg", json_string(leg_a ? "a" : "b"));
	json_object_set_new(j, "out", json_boolean(m->out));
	json_object_set_new(j, "peer", view_peer(m->path.proto, &m->path.remote));
	json_object_set_new(j, "label", print_json(text_get(&t)));
	json_object_set_new(j, "bytes", json_integer((json_int_t)m->len));
	if (l->full)
		json_object_set_new(j, "message", print_json(m->bytes));
	json_array_append_new(l->rows, j);
	if (!l->r->json)
		ladder_text(l, m, text_get(&t), leg_a);
	text_fini(&t);
	return json_array_size(l->rows) < 2000;
}

/* Names over the life lines: the caller's left, the called one's right-aligned. */
static void ladder_head(struct ladder *l)
{
	struct str a = str_head(str_z(l->rec->trunk_a[0] ? l->rec->trunk_a : "caller"), l->width - 1);
	struct str b = str_head(str_z(l->rec->trunk_b), l->width - 1);
	size_t middle = LADDER_TIME + l->width + 1 - 4, right = LADDER_TIME + 2 * (l->width + 1) + 1 - b.n;
	struct text t = {0};

	text_fill(&t, ' ', LADDER_TIME);
	text_str(&t, a);
	text_fill(&t, ' ', middle > t.n ? middle - t.n : 1);
	text_lit(&t, "Postern");
	if (b.n) {
		text_fill(&t, ' ', right > t.n ? right - t.n : 1);
		text_str(&t, b);
	}
	ctl_say(l->r, "%s\n", text_z(&t));
	text_fini(&t);
}

void cmd_call_ladder(struct ctl_req *r)
{
	const char *phase;
	struct call_record *rec = find_call(r, &phase, NULL);
	struct ladder l = {.r = r, .rec = rec, .full = ctl_flag(r, "--full")};
	uint64_t keys[KEYS_MAX];
	unsigned n, room = r->view.columns > 80 ? r->view.columns : 80;

	if (!rec) {
		no_call(r);
		return;
	}
	/* three life lines, the time before, an address behind */
	l.width = (room - LADDER_TIME - 3 - 22) / 2;
	if (l.width > 40)
		l.width = 40;
	l.rows = json_array();
	n = wire_keys(rec, keys);
	ladder_head(&l);
	tap_each(r->be->tap, keys, n, 0, ladder_line, &l);
	if (json_array_size(l.rows) == 0)
		ctl_finding(r, 1, "ladder", "postern cdr show ID has the outcome",
		    "its messages are no longer in the ring");
	ctl_set(r, "messages", l.rows);
	free(rec);
	ctl_end(r);
}

/* A capture file is made in order of time: SIP comes from one ring, packets of each worker from another. */
struct piece {
	int64_t wall_us;
	size_t at, n; /* in the text */
};

struct pcap_out {
	struct text t;
	struct piece *piece; /* own */
	size_t n, room, media;
	int64_t mono_to_wall_us;
	bool cut, failed;
};

#define PCAP_MEDIA_MAX ((size_t)12 << 20) /* bytes of one answer; the newest */

static void pcap_add(struct pcap_out *o, const struct tap_msg *m)
{
	char bytes[TAP_PCAP_MSG_MAX(16384)];
	struct piece *more;
	struct buf b;

	if (o->n == o->room) {
		more = realloc(o->piece, (o->room ? 2 * o->room : 256) * sizeof(*more));
		if (!more) {
			o->failed = true;
			return;
		}
		o->piece = more;
		o->room = o->room ? 2 * o->room : 256;
	}
	buf_init(&b, bytes, sizeof(bytes));
	tap_pcap_msg(&b, m);
	if (buf_err(&b))
		return;
	o->piece[o->n++] = (struct piece){.wall_us = m->wall_us, .at = o->t.n, .n = b.n};
	text_put(&o->t, b.p, b.n);
}

static bool pcap_sip(void *ctx, const struct tap_msg *m)
{
	struct pcap_out *o = ctx;

	pcap_add(o, m);
	return !o->failed;
}

static bool pcap_media(void *ctx, const struct capture_packet *p)
{
	struct pcap_out *o = ctx;
	struct tap_msg m = {.wall_us = p->mono_us + o->mono_to_wall_us, .out = p->out, .bytes = p->bytes, .len = p->len,
	    .path = {.proto = NET_UDP, .local = p->local, .remote = p->remote}};

	o->media++;
	o->cut = o->t.n > PCAP_MEDIA_MAX;
	if (!o->cut)
		pcap_add(o, &m);
	return !o->failed && !o->cut;
}

static int by_time(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->wall_us != y->wall_us)
		return x->wall_us < y->wall_us ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void pcap_send(struct ctl_req *r, struct pcap_out *o)
{
	struct text out = {0};
	char head[TAP_PCAP_HEAD];
	struct buf b;

	buf_init(&b, head, sizeof(head));
	tap_pcap_head(&b);
	text_put(&out, b.p, b.n);
	qsort(o->piece, o->n, sizeof(*o->piece), by_time);
	for (size_t i = 0; i < o->n && r->client; i++) {
		text_put(&out, o->t.p + o->piece[i].at, o->piece[i].n);
		if (out.n > 256 * 1024) {
			ctl_binary(r, text_get(&out));
			out.n = 0;
		}
	}
	if (r->client)
		ctl_binary(r, text_get(&out));
	o->failed = o->failed || out.failed;
	text_fini(&out);
}

void cmd_call_pcap(struct ctl_req *r)
{
	const char *phase;
	struct call_record *rec = find_call(r, &phase, NULL);
	const struct clock *now = r->be->env->clock;
	struct pcap_out o = {.mono_to_wall_us = now->wall_us - now->mono_us};
	uint64_t keys[KEYS_MAX];
	unsigned n;

	if (!rec) {
		no_call(r);
		return;
	}
	n = wire_keys(rec, keys);
	tap_each(r->be->tap, keys, n, 0, pcap_sip, &o);
	/* who listens in has more rights than who looks at messages */
	if (r->role >= CTL_ADMIN)
		media_captured(r->be->media, rec->id, pcap_media, &o);
	free(rec);
	if (!o.failed && !o.t.failed)
		pcap_send(r, &o);
	free(o.piece);
	text_fini(&o.t);
	if (o.failed || o.t.failed) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "the capture could not be made");
		return;
	}
	ctl_end(r);
}

/* The next calls of a trunk. */
static void capture_trunk(struct ctl_req *r, enum media_capture mode, const char *name)
{
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "--trunk"));
	const struct log lg = {.to = r->be->env->logger, .area = LOG_CTL};
	unsigned n = ctl_uint(r, "--next", 1);
	enum reason why;

	if (!t)
		return;
	why = b2b_capture_next(r->be->b2b, t->id, n, mode);
	if (why != REASON_NONE) {
		ctl_refuse(r, why, NULL, "its calls cannot be captured: %s", reason_info(why)->text);
		return;
	}
	log_warn(&lg, "call_capture", "uid=%u trunk=%.*s next=%u mode=\"%s\"", r->uid, STR(t->name), n, name);
	ctl_set(r, "capture", json_string(name));
	if (mode == MEDIA_CAPTURE_OFF)
		ctl_say(r, "no further call of %.*s is captured\n", STR(t->name));
	else
		ctl_say(r, "the next %u call%s of %.*s: %s\nto see one: postern call pcap ID -o FILE\n", n, n == 1 ? "" : "s",
		    STR(t->name), name);
	ctl_end(r);
}

void cmd_call_capture(struct ctl_req *r)
{
	enum media_capture mode = ctl_flag(r, "--off")        ? MEDIA_CAPTURE_OFF
	                          : ctl_flag(r, "--decrypted") ? MEDIA_CAPTURE_CLEAR
	                                                       : MEDIA_CAPTURE_WIRE;
	static const char *const names[] = {"off", "as on the wire", "decrypted"};
	const struct log lg = {.to = r->be->env->logger, .area = LOG_CTL};
	struct call_record *rec;
	const char *phase;
	struct call *c;
	enum reason why;

	if (ctl_arg(r, "--trunk")) {
		capture_trunk(r, mode, names[mode]);
		return;
	}
	if (!ctl_arg(r, "CALL")) {
		ctl_refuse(r, REASON_BAD_VALUE, "postern call capture ID, or --trunk TRUNK", "which call? none was named");
		return;
	}
	rec = find_call(r, &phase, &c);
	if (!c) {
		free(rec);
		if (!r->ended)
			ctl_refuse(r, REASON_NO_SUCH, "postern call list shows those in progress", "call '%s' is not in progress",
			    ctl_arg(r, "CALL"));
		return;
	}
	free(rec);
	why = call_capture(c, mode);
	if (why != REASON_NONE) {
		ctl_refuse(r, why, NULL, "its packets cannot be captured: %s", reason_info(why)->text);
		return;
	}
	/* somebody listens in: that is for the record */
	log_warn(&lg, "call_capture", "uid=%u call=%s mode=\"%s\"", r->uid, ctl_arg(r, "CALL"), names[mode]);
	ctl_set(r, "capture", json_string(names[mode]));
	ctl_say(r, "capture of %s: %s\n", ctl_arg(r, "CALL"), names[mode]);
	if (mode != MEDIA_CAPTURE_OFF)
		ctl_say(r, "to see it: postern call pcap %s -o FILE\n", ctl_arg(r, "CALL"));
	ctl_end(r);
}

/* -------------------------------------------------------------------- ending */

void cmd_call_clear(struct ctl_req *r)
{
	bool force = ctl_flag(r, "--force");
	const struct log lg = {.to = r->be->env->logger, .area = LOG_CTL};
	struct call *c = NULL, *next;
	struct call_record *rec;
	unsigned cleared = 0;
	const char *phase;

	if (ctl_arg(r, "CALL")) {
		rec = find_call(r, &phase, &c);
		if (!c) {
			free(rec);
			if (!r->ended)
				ctl_refuse(r, REASON_NO_SUCH, "postern call list shows those in progress",
				    "call '%s' is not in progress", ctl_arg(r, "CALL"));
			return;
		}
		free(rec);
		call_clear(c, REASON_ADMIN_CLEARED, force);
		cleared = 1;
	} else if (!ctl_arg(r, "--trunk") && !ctl_arg(r, "--over")) {
		ctl_refuse(r, REASON_BAD_VALUE, "postern call clear ID, or --trunk TRUNK, or --over TIME",
		    "which call? none was named");
		return;
	} else {
		if (ctl_arg(r, "--trunk") && !ctl_trunk(r, ctl_arg(r, "--trunk")))
			return;
		rec = malloc(sizeof(*rec));
		for (c = b2b_call_next(r->be->b2b, NULL); rec && c; c = next) {
			next = b2b_call_next(r->be->b2b, c);
			call_snapshot(c, rec);
			if (!wanted(r, rec) || call_phase(c) == CALL_ENDING)
				continue;
			call_clear(c, REASON_ADMIN_CLEARED, force);
			cleared++;
		}
		free(rec);
	}
	log_info(&lg, "calls_cleared", "uid=%u calls=%u command=\"%s\"", r->uid, cleared, r->command);
	ctl_set(r, "cleared", json_integer(cleared));
	ctl_say(r, "%u call%s cleared\n", cleared, cleared == 1 ? "" : "s");
	ctl_end(r);
}

/* -------------------------------------------------------------------- why */

static void why_media(struct ctl_req *r, const struct call_record *rec)
{
	const char *verdict;

	if (worst_media(rec, &verdict))
		ctl_finding(r, 2, "media", "postern call media CALL shows both directions", "%s", verdict);
}

static unsigned same_reason(const struct ctl_backend *be, enum reason why, unsigned *ret_ended)
{
	const struct call_record *e;
	unsigned n = 0;

	for (*ret_ended = 0; (e = b2b_ended(be->b2b, *ret_ended)); ++*ret_ended)
		n += e->reason == why;
	return n;
}

/* A line that may wrap; frees it. */
static void say_head(struct ctl_req *r, struct text *head)
{
	if (!r->json)
		text_wrap(&r->out, text_get(head), 0, 9, r->view.columns);
	text_fini(head);
}

static void why_ended(struct ctl_req *r, const struct call_record *rec, const char *phase)
{
	const struct reason_info *i = reason_info(rec->reason);
	char code[REASON_CODE_MAX], at[ADDR_TEXT_MAX];
	struct text when = {0}, t = {0}, head = {0};
	unsigned seen, ended;

	print_time(&when, rec->start_wall_us);
	if (rec->end_us)
		print_duration_ms(&t, (rec->end_us - rec->start_us) / 1000);
	text_fmt(&head, "call %s  %s  %s %s -> %s %s  ", ctl_arg(r, "CALL"), text_z(&when), rec->trunk_a, rec->calling,
	    rec->trunk_b[0] ? rec->trunk_b : "-", rec->called);
	if (phase)
		text_fmt(&head, "is %s", phase);
	else if (rec->answer_us)
		text_fmt(&head, "was answered, ended after %s", text_z(&t));
	else
		text_fmt(&head, "FAILED %u after %s", rec->status, text_z(&t));
	say_head(r, &head);
	text_fini(&when);
	text_fini(&t);
	if (phase && rec->reason == REASON_NONE) {
		ctl_say(r, "Reason   it has not ended\n");
		return;
	}
	ctl_say(r, "Reason   %s %s\n", reason_code(rec->reason, code), i->text);
	ctl_say(r, "Ended by %s\n", rec->released_by == 'a'	 ? "the caller"
			      : rec->released_by == 'b' ? "the called side"
							: "this controller");
	for (unsigned k = 0; k < rec->n_tries && k < CALL_TRIES_MAX; k++) {
		const struct call_try *y = &rec->tries[k];

		text_fmt(&t, "%s %s after %u ms: ", y->trunk, addr_text(&y->addr, at), y->after_ms);
		if (y->status)
			text_fmt(&t, "answered %u", y->status);
		else
			text_lit(&t, "no answer");
		if (y->reason != REASON_NONE)
			text_fmt(&t, ", left because %s", reason_info(y->reason)->text);
		if (y->fragmented)
			text_lit(&t, "; its INVITE was larger than the trunk's mtu and went out in fragments");
		ctl_say_wrapped(r, k ? "" : "Proof", text_z(&t));
		text_fini(&t);
	}
	if (rec->n_tries == 0 && rec->reason != REASON_NORMAL)
		ctl_say(r, "Proof    it was refused before any target was tried\n");
	if (rec->peer_reason[0]) {
		text_fmt(&t, "far end's Reason: %s", rec->peer_reason);
		ctl_say_wrapped(r, "", text_z(&t));
		text_fini(&t);
	}
	if (rec->route[0])
		ctl_say(r, "Rule     %s\n", rec->route);
	if (!rec->answer_us && rec->reason != REASON_CANCELLED) {
		ctl_say_wrapped(r, "Remedy", i->remedy);
		ctl_say(r, "         messages: postern call ladder %s\n", ctl_arg(r, "CALL"));
		seen = same_reason(r->be, rec->reason, &ended);
		ctl_say(r, "Seen     %u of the last %u calls ended so\n", seen, ended);
		r->code = 2;
	}
}

static bool why_row(void *ctx, const struct db_cdr *c)
{
	struct ctl_req *r = ctx;
	char code[REASON_CODE_MAX];

	r->made = json_object();
	json_object_set_new(r->made, "start_us", json_integer(c->start_us));
	json_object_set_new(r->made, "answered", json_boolean(c->answer_us != 0));
	json_object_set_new(r->made, "from_trunk", print_json(c->trunk_a_name));
	json_object_set_new(r->made, "to_trunk", print_json(c->trunk_b_name));
	json_object_set_new(r->made, "calling", print_json(c->calling));
	json_object_set_new(r->made, "called", print_json(c->called));
	json_object_set_new(r->made, "status", json_integer(c->status));
	json_object_set_new(r->made, "reason", json_string(reason_code(c->reason, code)));
	json_object_set_new(r->made, "peer_reason", print_json(c->peer_reason));
	json_object_set_new(r->made, "tries", print_json(c->tries));
	return false;
}

static enum reason why_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = 1};

	if (!call_id_parse(ctl_arg_str(r, "CALL"), &q.call_id))
		return REASON_NONE;
	return db_cdr_find(h, &q, why_row, r, err);
}

static const char *member(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static void why_loaded(struct ctl_req *r)
{
	enum reason why;
	struct text when = {0}, head = {0};
	json_t *m = r->made, *tries, *t;
	size_t i;

	if (!m) {
		no_call(r);
		return;
	}
	why = reason_parse(str_z(member(m, "reason")));
	print_time(&when, (int64_t)json_integer_value(json_object_get(m, "start_us")));
	text_fmt(&head, "call %s  %s  %s %s -> %s %s  %s %lld", ctl_arg(r, "CALL"), text_z(&when), member(m, "from_trunk"),
	    member(m, "calling"), member(m, "to_trunk"), member(m, "called"),
	    json_is_true(json_object_get(m, "answered")) ? "was answered" : "FAILED",
	    (long long)json_integer_value(json_object_get(m, "status")));
	say_head(r, &head);
	text_fini(&when);
	ctl_say(r, "Reason   %s %s\n", member(m, "reason"), reason_info(why)->text);
	tries = json_loads(member(m, "tries"), 0, NULL);
	json_array_foreach(tries, i, t) {
		text_fmt(&head, "%s %s: status %lld %s", member(t, "trunk"), member(t, "target"),
		    (long long)json_integer_value(json_object_get(t, "status")), member(t, "reason"));
		ctl_say_wrapped(r, i ? "" : "Proof", text_z(&head));
		text_fini(&head);
	}
	json_decref(tries);
	if (!json_is_true(json_object_get(m, "answered"))) {
		ctl_say_wrapped(r, "Remedy", reason_info(why)->remedy);
		r->code = 2;
	}
	ctl_set(r, "call", json_incref(m));
	ctl_set(r, "remedy", json_string(reason_info(why)->remedy));
	ctl_end(r);
}

void cmd_why_call(struct ctl_req *r)
{
	const char *phase;
	struct call_record *rec = find_call(r, &phase, NULL);

	if (!rec) {
		if (!r->ended)
			ctl_read(r, why_load, why_loaded);
		return;
	}
	ctl_set(r, "call", call_json(r, rec, phase));
	ctl_set(r, "tries", tries_json(rec));
	ctl_set(r, "remedy", json_string(reason_info(rec->reason)->remedy));
	why_ended(r, rec, phase);
	why_media(r, rec);
	free(rec);
	ctl_end(r);
}
