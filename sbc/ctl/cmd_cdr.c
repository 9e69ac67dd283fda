/* cmd_cdr.c - call records: the last ones, found ones, one in full, as CSV, counted.
 *
 * Records are read by the store thread, so records that still wait in its window are among them. `cdr tail -f` is fed
 * by the application as calls end, without the database.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"

static json_t *cdr_json(const struct db_cdr *c)
{
	char id[CALL_ID_TEXT], code[REASON_CODE_MAX];
	json_t *j = json_object();

	call_id_text(c->id, id);
	json_object_set_new(j, "id", json_string(id));
	json_object_set_new(j, "start_us", json_integer(c->start_us));
	json_object_set_new(j, "answer_us", c->answer_us ? json_integer(c->answer_us) : json_null());
	json_object_set_new(j, "end_us", json_integer(c->end_us));
	json_object_set_new(j, "ring_ms", json_integer(c->ring_ms));
	json_object_set_new(j, "setup_ms", json_integer(c->setup_ms));
	json_object_set_new(j, "talk_ms", json_integer(c->talk_ms));
	json_object_set_new(j, "from_trunk", print_json(c->trunk_a_name));
	json_object_set_new(j, "to_trunk", print_json(c->trunk_b_name.n ? c->trunk_b_name : S("-")));
	json_object_set_new(j, "calling", print_json(c->calling));
	json_object_set_new(j, "called", print_json(c->called));
	json_object_set_new(j, "route", print_json(c->route));
	json_object_set_new(j, "status", json_integer(c->status));
	json_object_set_new(j, "peer_status", json_integer(c->peer_status));
	json_object_set_new(j, "reason", json_string(reason_code(c->reason, code)));
	json_object_set_new(j, "reason_text", json_string(reason_info(c->reason)->text));
	json_object_set_new(j, "released_by",
	    json_string(c->released_by == 'a'	? "caller"
			: c->released_by == 'b' ? "called side"
						: "controller"));
	json_object_set_new(j, "media_bad", json_boolean(c->media_bad));
	json_object_set_new(j, "level", json_integer(0));
	return j;
}

/* What `cdr show` has besides. */
static void cdr_more(json_t *j, const struct db_cdr *c)
{
	static const char *const names[2] = {"media_a", "media_b"};

	json_object_set_new(j, "peer", print_json(c->peer_a));
	json_object_set_new(j, "sip_call_id_a", print_json(c->sip_call_id_a));
	json_object_set_new(j, "sip_call_id_b", print_json(c->sip_call_id_b));
	json_object_set_new(j, "peer_reason", print_json(c->peer_reason));
	json_object_set_new(j, "tries", c->tries.n ? json_loadb(c->tries.p, c->tries.n, 0, NULL) : NULL);
	json_object_set_new(j, "media", c->media.n ? json_loadb(c->media.p, c->media.n, 0, NULL) : NULL);
	for (int side = 0; side < 2; side++) {
		const struct db_cdr_side *s = &c->side[side];
		struct text t = {0};

		if (s->codec.n == 0)
			continue;
		text_fmt(&t, "%.*s  in %llu  out %llu  lost %lld  jitter %.1f ms", STR(s->codec),
		    (unsigned long long)s->rx_packets, (unsigned long long)s->tx_packets, (long long)s->lost,
		    (double)s->jitter_us / 1000);
		json_object_set_new(j, names[side], print_json(text_get(&t)));
		text_fini(&t);
	}
}

struct collect {
	struct ctl_req *r;
	bool more;
};

static bool collect_row(void *ctx, const struct db_cdr *c)
{
	struct collect *k = ctx;
	json_t *j = cdr_json(c);

	if (k->more)
		cdr_more(j, c);
	json_array_append_new(k->r->made, j);
	return true;
}

static int64_t since_us(struct ctl_req *r, uint32_t def_s)
{
	uint32_t s = ctl_seconds(r, "--since", def_s);

	return s ? r->view.now_us - (int64_t)s * 1000000 : 0;
}

static enum reason find(struct db_handle *h, struct ctl_req *r, const struct db_cdr_query *q, bool more, struct db_err *err)
{
	struct collect k = {r, more};

	r->made = json_array();
	return db_cdr_find(h, q, collect_row, &k, err);
}

static const struct print_col list_cols[] = {
    {"start_us", "WHEN", PK_WHEN, 0},
    {"id", "CALL", PK_TEXT, 0},
    {"from_trunk", "FROM", PK_TEXT, 0},
    {"calling", "CALLING", PK_TEXT, 0},
    {"to_trunk", "TO", PK_TEXT, 0},
    {"called", "CALLED", PK_TEXT, 0},
    {"talk_ms", "TALKED", PK_MS, 0},
    {"status", "STATUS", PK_NUM, 2},
    {"reason", "CODE", PK_TEXT, 0},
    {"reason_text", "REASON", PK_TEXT, 1},
};

/* -------------------------------------------------------------------- tail */

static enum reason tail_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = ctl_uint(r, "--lines", 20)};

	if (q.max == 0) {
		r->made = json_array();
		return REASON_NONE;
	}
	return find(h, r, &q, false, err);
}

/* newest last, as a tail */
static json_t *reversed(const json_t *a)
{
	json_t *out = json_array();

	for (size_t i = json_array_size(a); i > 0; i--)
		json_array_append(out, json_array_get(a, i - 1));
	return out;
}

static void tail_line(struct ctl_req *r, json_t *j)
{
	struct text t = {0};
	const struct print_opts o = {.columns = r->view.columns, .abs = true, .now_us = r->view.now_us};

	if (r->json) {
		ctl_json_line(r, j);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(list_cols); i++) {
		const json_t *v = json_object_get(j, list_cols[i].key);

		if (i)
			text_lit(&t, "  ");
		if (v)
			print_value(&t, v, list_cols[i].kind, &o);
	}
	ctl_say(r, "%s\n", text_z(&t));
	text_fini(&t);
	json_decref(j);
}

static void tail_loaded(struct ctl_req *r)
{
	json_t *rows = reversed(r->made), *e;
	size_t i;

	if (!ctl_flag(r, "--follow")) {
		ctl_table(r, "records", rows, list_cols, ARRAY_LEN(list_cols), "no call records");
		ctl_end(r);
		return;
	}
	json_array_foreach(rows, i, e)
		tail_line(r, json_incref(e));
	json_decref(rows);
	ctl_follow_cdrs(r);
}

void cmd_cdr_tail(struct ctl_req *r)
{
	ctl_read(r, tail_load, tail_loaded);
}

void ctl_show_cdr(struct ctl_req *r, const struct call_record *rec)
{
	struct db_cdr c = {.id = rec->id,
	    .start_us = rec->start_wall_us,
	    .answer_us = rec->answer_wall_us,
	    .end_us = rec->end_wall_us,
	    .ring_ms = rec->ring_us ? (uint32_t)((rec->ring_us - rec->start_us) / 1000) : 0,
	    .setup_ms = (uint32_t)(((rec->answer_us ? rec->answer_us : rec->end_us) - rec->start_us) / 1000),
	    .talk_ms = rec->answer_us ? (uint32_t)((rec->end_us - rec->answer_us) / 1000) : 0,
	    .trunk_a_name = str_z(rec->trunk_a),
	    .trunk_b_name = str_z(rec->trunk_b),
	    .calling = str_z(rec->calling),
	    .called = str_z(rec->called),
	    .route = str_z(rec->route),
	    .status = rec->status,
	    .peer_status = rec->peer_status,
	    .reason = rec->reason,
	    .released_by = rec->released_by};

	for (int side = 0; side < 2; side++)
		for (unsigned i = 0; i < rec->n_streams && i < CALL_STREAMS_MAX; i++)
			c.media_bad |= rec->media[side][i].bad;
	tail_line(r, cdr_json(&c));
	ctl_flush(r);
}

/* -------------------------------------------------------------------- find, show, export */

static enum reason find_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = ctl_uint(r, "--lines", 100),
	    .trunk = ctl_arg_str(r, "--trunk"),
	    .failed_only = ctl_flag(r, "--failed"),
	    .since_us = since_us(r, 0)};
	const char *what = ctl_arg(r, "WHAT"), *code = ctl_arg(r, "--reason");
	uint64_t id;
	enum reason why;

	if (code && (q.reason = reason_parse(str_z(code))) == REASON_NONE)
		return db_fail(err, REASON_BAD_VALUE, "postern error list shows all", "no reason '%.20s'", code);
	if (!what)
		return find(h, r, &q, false, err);
	if (strchr(what, '@') || strlen(what) > 20) {
		q.sip_call_id = str_z(what);
		return find(h, r, &q, false, err);
	}
	q.number = str_z(what);
	why = find(h, r, &q, false, err);
	if (why != REASON_NONE || json_array_size(r->made))
		return why;
	/* no number: the id of a call, or a Call-ID without a host */
	q.number = STR_NONE;
	if (call_id_parse(str_z(what), &id)) {
		q.call_id = id;
		json_decref(r->made);
		why = find(h, r, &q, false, err);
		if (why != REASON_NONE || json_array_size(r->made))
			return why;
		q.call_id = 0;
	}
	q.sip_call_id = str_z(what);
	json_decref(r->made);
	return find(h, r, &q, false, err);
}

static void find_loaded(struct ctl_req *r)
{
	ctl_table(r, "records", json_incref(r->made), list_cols, ARRAY_LEN(list_cols), "no call record matches");
	if (json_array_size(r->made) == ctl_uint(r, "--lines", 100))
		ctl_say(r, "there may be more: --lines N\n");
}

void cmd_cdr_find(struct ctl_req *r)
{
	ctl_read_and_show(r, find_load, find_loaded);
}

static enum reason show_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = 1};

	if (!call_id_parse(ctl_arg_str(r, "CALL"), &q.call_id))
		return db_fail(err, REASON_BAD_VALUE, "postern cdr tail shows the ids", "'%.40s' is no id of a call",
		    ctl_arg(r, "CALL"));
	return find(h, r, &q, true, err);
}

static void show_loaded(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"id", "call", PK_TEXT, 0},
	    {"start_us", "began", PK_WHEN, 0},
	    {"setup_ms", "set-up", PK_MS, 0},
	    {"ring_ms", "rang after", PK_MS, 0},
	    {"talk_ms", "talked", PK_MS, 0},
	    {"from_trunk", "from trunk", PK_TEXT, 0},
	    {"calling", "calling", PK_TEXT, 0},
	    {"to_trunk", "to trunk", PK_TEXT, 0},
	    {"called", "called", PK_TEXT, 0},
	    {"route", "route", PK_TEXT, 0},
	    {"status", "status", PK_NUM, 0},
	    {"reason", "code", PK_TEXT, 0},
	    {"reason_text", "reason", PK_TEXT, 0},
	    {"released_by", "ended by", PK_TEXT, 0},
	    {"peer_reason", "far end says", PK_TEXT, 0},
	    {"peer", "caller's address", PK_TEXT, 0},
	    {"sip_call_id_a", "Call-ID, leg A", PK_TEXT, 0},
	    {"sip_call_id_b", "Call-ID, leg B", PK_TEXT, 0},
	    {"media_a", "media, leg A", PK_TEXT, 0},
	    {"media_b", "media, leg B", PK_TEXT, 0},
	};
	static const struct print_col tries[] = {
	    {"trunk", "TRIED", PK_TEXT, 0},
	    {"target", "TARGET", PK_TEXT, 0},
	    {"after_ms", "AFTER", PK_MS, 0},
	    {"status", "STATUS", PK_NUM, 0},
	    {"reason", "CODE", PK_TEXT, 0},
	};
	json_t *rec = json_array_get(r->made, 0), *t;

	if (!rec) {
		ctl_fail(r, REASON_NO_SUCH, "postern cdr tail; a call in progress has no record yet: postern call show",
		    "no record of call '%s'", ctl_arg(r, "CALL"));
		return;
	}
	ctl_set(r, "record", json_incref(rec));
	ctl_block(r, "record", cols, ARRAY_LEN(cols));
	t = json_object_get(rec, "tries");
	if (!r->json && json_array_size(t)) {
		ctl_say(r, "\n");
		print_table(&r->out, t, tries, ARRAY_LEN(tries), &r->view);
	}
}

void cmd_cdr_show(struct ctl_req *r)
{
	ctl_read_and_show(r, show_load, show_loaded);
}

static enum reason export_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = ctl_uint(r, "--lines", 10000),
	    .trunk = ctl_arg_str(r, "--trunk"),
	    .since_us = since_us(r, 0)};

	return find(h, r, &q, true, err);
}

static void put_iso(struct text *t, const json_t *v)
{
	if (json_is_integer(v))
		print_time(t, (int64_t)json_integer_value(v));
}

static void export_loaded(struct ctl_req *r)
{
	static const char *const cols[] = {"id", "start_us", "answer_us", "end_us", "setup_ms", "talk_ms", "from_trunk",
	    "calling", "to_trunk", "called", "route", "status", "reason", "reason_text", "released_by", "peer",
	    "sip_call_id_a", "sip_call_id_b", "media_bad"};
	struct print_opts o = {.columns = 100, .abs = true};
	json_t *e;
	size_t i;

	if (!r->json) {
		for (size_t k = 0; k < ARRAY_LEN(cols); k++) {
			size_t n = strlen(cols[k]);
			bool time = n > 3 && !strcmp(cols[k] + n - 3, "_us");

			text_fmt(&r->out, "%s%.*s", k ? "," : "", (int)(time ? n - 3 : n), cols[k]);
		}
		text_lit(&r->out, "\n");
		json_array_foreach(r->made, i, e) {
			for (size_t k = 0; k < ARRAY_LEN(cols); k++) {
				const json_t *v = json_object_get(e, cols[k]);
				size_t n = strlen(cols[k]);
				struct text t = {0};

				if (n > 3 && !strcmp(cols[k] + n - 3, "_us"))
					put_iso(&t, v);
				else if (v && !json_is_null(v))
					print_value(&t, v, PK_NUM, &o);
				if (k)
					text_lit(&r->out, ",");
				print_csv_field(&r->out, text_get(&t));
				text_fini(&t);
			}
			text_lit(&r->out, "\n");
		}
	}
	ctl_set(r, "records", json_incref(r->made));
}

void cmd_cdr_export(struct ctl_req *r)
{
	ctl_read_and_show(r, export_load, export_loaded);
}

/* -------------------------------------------------------------------- stats */

struct count {
	char trunk[32];
	uint64_t calls, answered, talk_ms;
};

#define TRUNKS_MAX 512

struct counts {
	struct count trunk[TRUNKS_MAX];
	unsigned n_trunks;
	uint64_t reason[REASON_COUNT];
	uint64_t calls, answered, talk_ms;
};

static void count_trunk(struct counts *k, struct str name, const struct db_cdr *c)
{
	unsigned i = 0;

	if (name.n == 0 || name.n >= sizeof(k->trunk[0].trunk))
		return;
	while (i < k->n_trunks && !str_eq(str_z(k->trunk[i].trunk), name))
		i++;
	if (i == TRUNKS_MAX)
		return;
	if (i == k->n_trunks) {
		memcpy(k->trunk[i].trunk, name.p, name.n);
		k->trunk[i].trunk[name.n] = '\0';
		k->n_trunks++;
	}
	k->trunk[i].calls++;
	k->trunk[i].answered += c->answer_us != 0;
	k->trunk[i].talk_ms += c->talk_ms;
}

static bool count_row(void *ctx, const struct db_cdr *c)
{
	struct counts *k = ctx;

	k->calls++;
	k->answered += c->answer_us != 0;
	k->talk_ms += c->talk_ms;
	if ((unsigned)c->reason < REASON_COUNT)
		k->reason[c->reason]++;
	count_trunk(k, c->trunk_a_name, c);
	if (!str_eq(c->trunk_a_name, c->trunk_b_name))
		count_trunk(k, c->trunk_b_name, c);
	return true;
}

#define STATS_MAX 1000000 /* records counted at most */

static json_t *count_json(uint64_t calls, uint64_t answered, uint64_t talk_ms)
{
	json_t *j = json_object();

	json_object_set_new(j, "calls", json_integer((json_int_t)calls));
	json_object_set_new(j, "answered", json_integer((json_int_t)answered));
	json_object_set_new(j, "asr", json_real(calls ? 100.0 * (double)answered / (double)calls : 0));
	json_object_set_new(j, "acd_ms", json_integer((json_int_t)(answered ? talk_ms / answered : 0)));
	json_object_set_new(j, "talk_ms", json_integer((json_int_t)talk_ms));
	return j;
}

static enum reason stats_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_cdr_query q = {.max = STATS_MAX, .since_us = since_us(r, 3600)};
	struct counts *k = calloc(1, sizeof(*k));
	json_t *trunks, *reasons;
	enum reason why;

	if (!k)
		return db_fail(err, REASON_NO_MEMORY, "", "out of memory");
	why = db_cdr_find(h, &q, count_row, k, err);
	if (why == REASON_NONE) {
		trunks = json_array();
		reasons = json_array();
		for (unsigned i = 0; i < k->n_trunks; i++) {
			json_t *j = count_json(k->trunk[i].calls, k->trunk[i].answered, k->trunk[i].talk_ms);

			json_object_set_new(j, "trunk", print_jsonz(k->trunk[i].trunk));
			json_array_append_new(trunks, j);
		}
		/* the most frequent first */
		for (;;) {
			unsigned best = 0;
			uint64_t most = 0;
			json_t *j;

			for (unsigned i = 0; i < REASON_COUNT; i++)
				if (k->reason[i] > most) {
					most = k->reason[i];
					best = i;
				}
			if (!most)
				break;
			k->reason[best] = 0;
			j = json_object();
			json_object_set_new(j, "code", view_code((enum reason)best));
			json_object_set_new(j, "text", json_string(reason_info((enum reason)best)->text));
			json_object_set_new(j, "calls", json_integer((json_int_t)most));
			json_array_append_new(reasons, j);
		}
		r->made = count_json(k->calls, k->answered, k->talk_ms);
		json_object_set_new(r->made, "trunks", trunks);
		json_object_set_new(r->made, "reasons", reasons);
	}
	free(k);
	return why;
}

static void stats_loaded(struct ctl_req *r)
{
	static const struct print_col trunks[] = {
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"calls", "CALLS", PK_NUM, 0},
	    {"answered", "ANSWERED", PK_NUM, 0},
	    {"asr", "ASR", PK_PCT, 0},
	    {"acd_ms", "ACD", PK_MS, 0},
	    {"talk_ms", "TALKED", PK_MS, 0},
	};
	static const struct print_col reasons[] = {
	    {"calls", "CALLS", PK_NUM, 0},
	    {"code", "CODE", PK_TEXT, 0},
	    {"text", "REASON", PK_TEXT, 0},
	};
	struct print_opts *o = &r->view;

	ctl_set(r, "stats", json_incref(r->made));
	if (!r->json) {
		text_lit(&r->out, "calls ");
		print_value(&r->out, json_object_get(r->made, "calls"), PK_NUM, o);
		text_lit(&r->out, "   answered ");
		print_value(&r->out, json_object_get(r->made, "asr"), PK_PCT, o);
		text_lit(&r->out, "   average ");
		print_value(&r->out, json_object_get(r->made, "acd_ms"), PK_MS, o);
		text_lit(&r->out, "\n");
		if (json_integer_value(json_object_get(r->made, "calls"))) {
			text_lit(&r->out, "\n");
			print_table(&r->out, json_object_get(r->made, "trunks"), trunks, ARRAY_LEN(trunks), o);
			text_lit(&r->out, "\n");
			print_table(&r->out, json_object_get(r->made, "reasons"), reasons, ARRAY_LEN(reasons), o);
		}
	}
}

void cmd_cdr_stats(struct ctl_req *r)
{
	ctl_read_and_show(r, stats_load, stats_loaded);
}
