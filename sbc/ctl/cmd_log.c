/* cmd_log.c - log lines and levels, and the guard: who is turned away.
 *
 * Lines come from the logger's ring; a follower looks every quarter of a second. A level set with --for is put back
 * by a timer of the server. A ban is stored first and in force when it is on disk; lifting one works the same way.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/net/guard.h"

/* -------------------------------------------------------------------- tail */

#define TAIL_MS 250

static bool line_wanted(struct ctl_req *r, const struct log_line *l)
{
	const char *area = ctl_arg(r, "--area"), *level = ctl_arg(r, "--level"), *call = ctl_arg(r, "--call");

	if (area && strcmp(area, "all") && log_area_parse(str_z(area)) != l->area)
		return false;
	if (level && log_level_parse(str_z(level)) < l->level)
		return false;
	if (call) {
		char want[48];
		struct buf b;
		ptrdiff_t at;
		struct str text = str_z(l->text);

		buf_init(&b, want, sizeof(want));
		buf_fmt(&b, "call=%s", call);
		at = str_find(text, buf_text(&b));
		if (at < 0 || ((size_t)at + b.n < text.n && text.p[(size_t)at + b.n] != ' '))
			return false;
	}
	return true;
}

static void put_line(struct ctl_req *r, const struct log_line *l)
{
	struct text t = {0};
	size_t text_n = strlen(l->text);

	if (r->json) {
		json_t *j = json_object();

		json_object_set_new(j, "at_us", json_integer(l->wall_us));
		json_object_set_new(j, "level", json_string(log_level_names[l->level]));
		json_object_set_new(j, "area", json_string(log_area_names[l->area]));
		json_object_set_new(j, "text", print_json(str_n(l->text, text_n)));
		if (r->streaming)
			ctl_json_line(r, j);
		else
			json_array_append_new(r->made, j);
		return;
	}
	print_time(&t, l->wall_us);
	for (size_t i = 0; i < text_n; i++)
		if ((unsigned char)l->text[i] < 0x20 || l->text[i] == 0x7f)
			text_fmt(&r->note, "?");
		else
			text_put(&r->note, &l->text[i], 1);
	ctl_say(r, "%s.%03d %s\n", text_z(&t), (int)(l->wall_us / 1000 % 1000), text_z(&r->note));
	r->note.n = 0;
	text_fini(&t);
}

static unsigned more_lines(struct ctl_req *r, struct log_line *lines)
{
	unsigned n = logger_read_any(r->be->env->logger, r->after, lines, 64), shown = 0;

	for (unsigned i = 0; i < n; i++) {
		r->after = lines[i].seq;
		if (line_wanted(r, &lines[i])) {
			put_line(r, &lines[i]);
			shown++;
		}
	}
	(void)shown;
	return n;
}

static void tail_tick(struct timer *t)
{
	struct ctl_req *r = container_of(t, struct ctl_req, timer);

	/* at most the ring in one go */
	for (int i = 0; i < LOG_RING / 64 + 1 && more_lines(r, r->work) == 64; i++)
		;
	ctl_flush(r);
	if (r->client)
		timer_start_ms(&r->be->loop->timers, &r->timer, TAIL_MS, tail_tick);
}

/* The last n wanted lines of the ring. */
static void last_lines(struct ctl_req *r, unsigned n)
{
	struct log_line *ring = malloc(LOG_RING * sizeof(*ring));
	unsigned have, from;

	if (!ring) {
		r->out.failed = true;
		return;
	}
	have = logger_read_any(r->be->env->logger, 0, ring, LOG_RING);
	for (from = have; from > 0 && n > 0; from--)
		n -= line_wanted(r, &ring[from - 1]);
	for (unsigned i = from; i < have; i++)
		if (line_wanted(r, &ring[i]))
			put_line(r, &ring[i]);
	if (have)
		r->after = ring[have - 1].seq;
	free(ring);
}

void cmd_log_tail(struct ctl_req *r)
{
	r->made = json_array();
	r->streaming = ctl_flag(r, "--follow");
	last_lines(r, ctl_uint(r, "--lines", 20));
	if (!ctl_flag(r, "--follow")) {
		ctl_set(r, "lines", json_incref(r->made));
		ctl_end(r);
		return;
	}
	r->work = malloc(64 * sizeof(struct log_line));
	if (!r->work) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	ctl_stream(r, TAIL_MS, tail_tick);
}

/* -------------------------------------------------------------------- level */

static void revert(struct timer *t)
{
	struct ctl_log_revert *v = container_of(t, struct ctl_log_revert, timer);
	const struct log lg = {.to = v->logger, .area = LOG_CTL};

	v->logger->level[v->area] = v->level;
	log_info(&lg, "log_level", "area=%s level=%s because=\"its time is over\"", log_area_names[v->area],
	    log_level_names[v->level]);
}

static void set_level(struct ctl_req *r, int area, int level, uint32_t for_s)
{
	struct ctl_log_revert *v = &ctl_log_reverts(r->server)[area];
	struct timers *w = &r->be->loop->timers;
	struct logger *lg = r->be->env->logger;

	if (for_s) {
		/* what it falls back to is what was there before the first --for */
		if (!timer_running(&v->timer))
			v->level = lg->level[area];
		v->logger = lg;
		v->area = (uint8_t)area;
		timer_start_ms(w, &v->timer, (int64_t)for_s * 1000, revert);
	} else {
		timer_stop(w, &v->timer);
	}
	lg->level[area] = (uint8_t)level;
}

void cmd_log_level(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"area", "AREA", PK_TEXT, 0},
	    {"severity", "LEVEL", PK_TEXT, 0},
	    {"falls_back", "FALLS BACK TO", PK_TEXT, 0},
	    {"in_ms", "IN", PK_MS, 0},
	};
	const char *area = ctl_arg(r, "AREA"), *level = ctl_arg(r, "LEVEL");
	int a = area ? log_area_parse(str_z(area)) : -1;
	uint32_t for_s = ctl_seconds(r, "--for", 0);
	json_t *rows = json_array();

	if (area && !level && log_level_parse(str_z(area)) >= 0) {
		json_decref(rows);
		ctl_refuse(r, REASON_BAD_VALUE, "postern log level all debug", "area is missing before '%s'", area);
		return;
	}
	for (int i = 0; i < LOG_AREAS; i++) {
		struct ctl_log_revert *v = &ctl_log_reverts(r->server)[i];
		json_t *j;

		if (a >= 0 && i != a)
			continue;
		if (level)
			set_level(r, i, log_level_parse(str_z(level)), for_s);
		j = json_object();
		json_object_set_new(j, "area", json_string(log_area_names[i]));
		json_object_set_new(j, "severity", json_string(log_level_names[r->be->env->logger->level[i]]));
		if (timer_running(&v->timer)) {
			json_object_set_new(j, "falls_back", json_string(log_level_names[v->level]));
			json_object_set_new(
			    j, "in_ms", json_integer((v->timer.due_us - r->be->env->clock->mono_us) / 1000));
		}
		json_array_append_new(rows, j);
	}
	ctl_table(r, "levels", rows, cols, ARRAY_LEN(cols), NULL);
	if (level && !for_s)
		ctl_say(r, "until the next reload or restart; --for 10m falls back by itself\n");
	ctl_end(r);
}

/* -------------------------------------------------------------------- guard */

const char *view_net(const struct addr_net *net, char text[VIEW_NET_MAX])
{
	unsigned full = addr_is6(&net->base) ? 128 : 32;
	struct buf b;

	buf_init(&b, text, VIEW_NET_MAX);
	addr_put_ip(&b, &net->base);
	if (net->bits != full)
		buf_fmt(&b, "/%u", net->bits);
	return buf_z(&b);
}

void cmd_guard_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"address", "BANNED", PK_TEXT, 0},
	    {"left_ms", "FOR", PK_MS, 0},
	    {"hits", "REFUSED", PK_NUM, 0},
	    {"by", "BY", PK_TEXT, 0},
	};
	static const struct {
		enum guard_verdict v;
		const char *key, *text;
	} counts[] = {
	    {GUARD_BANNED, "banned", "of banned sources"},
	    {GUARD_KNOWN_RATE, "known_rate", "of trunks over their rate"},
	    {GUARD_STRANGER_RATE, "stranger_rate", "of strangers over their rate"},
	    {GUARD_STRANGERS, "strangers", "over the budget of all strangers"},
	};
	json_t *rows = json_array(), *c = json_object();
	struct guard_ban ban;
	unsigned at = 0;

	while (guard_ban_next(r->be->guard, &at, &ban) && json_array_size(rows) < 10000) {
		json_t *j = json_object();
		char net[VIEW_NET_MAX];

		json_object_set_new(j, "address", json_string(view_net(&ban.net, net)));
		if (ban.until_wall_us == INT64_MAX)
			json_object_set_new(j, "left_ms", json_string("until lifted"));
		else
			json_object_set_new(j, "left_ms", json_integer((ban.until_wall_us - r->view.now_us) / 1000));
		json_object_set_new(j, "hits", json_integer((json_int_t)ban.hits));
		json_object_set_new(j, "by", json_string(ban.by_guard ? "guard" : "administrator"));
		json_array_append_new(rows, j);
	}
	ctl_table(r, "bans", rows, cols, ARRAY_LEN(cols), "no bans");
	ctl_say(r, "%u sources known\n", guard_sources(r->be->guard));
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		uint64_t n = guard_count(r->be->guard, counts[i].v);

		json_object_set_new(c, counts[i].key, json_integer((json_int_t)n));
		if (n)
			ctl_say(r, "%llu message%s turned away %s\n", (unsigned long long)n, n == 1 ? "" : "s",
			    counts[i].text);
	}
	ctl_set(r, "turned_away", c);
	ctl_set(r, "sources", json_integer(guard_sources(r->be->guard)));
	ctl_end(r);
}

/* The network as it is stored: host bits are refused by the parser, so text and value agree. */
static bool parse_net(struct ctl_req *r, struct addr_net *ret)
{
	if (addr_net_parse(ctl_arg_str(r, "ADDRESS"), ret) == 0)
		return true;
	ctl_refuse(r, REASON_BAD_VALUE, "203.0.113.9, 203.0.113.0/24 or 2001:db8::/64", "'%.60s' is no address or network",
	    ctl_arg(r, "ADDRESS"));
	return false;
}

static enum reason ban_store(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	uint32_t s = ctl_seconds(r, "TIME", 0);
	struct addr_net net;
	char text[VIEW_NET_MAX];
	struct db_ban b = {.since_us = r->view.now_us,
	    .until_us = s ? r->view.now_us + (int64_t)s * 1000000 : 0,
	    .reason = REASON_BANNED,
	    .why = ctl_arg(r, "--why") ? ctl_arg_str(r, "--why") : S("by an administrator")};

	if (addr_net_parse(ctl_arg_str(r, "ADDRESS"), &net) < 0)
		return db_fail(err, REASON_BAD_VALUE, "", "'%.60s' is no address", ctl_arg(r, "ADDRESS"));
	b.address = str_z(view_net(&net, text));
	return db_ban_put(h, &b, err);
}

static void ban_stored(struct ctl_req *r)
{
	uint32_t s = ctl_seconds(r, "TIME", 0);
	const struct policy *p = b2b_policy(r->be->b2b);
	struct addr_net net;
	char text[VIEW_NET_MAX];

	if (!parse_net(r, &net))
		return;
	if (guard_ban(r->be->guard, &net, s) < 0) {
		ctl_refuse(r, REASON_NO_MEMORY, "lift some: postern guard list", "the table of bans is full");
		return;
	}
	ctl_set(r, "address", json_string(view_net(&net, text)));
	ctl_say(r, "%s is banned %s%s\n", text, s ? "for " : "until it is lifted", s ? ctl_arg(r, "TIME") : "");
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		for (unsigned k = 0; k < t->n_targets; k++)
			if (!addr_none(&t->targets[k].addr) && addr_in_net(&t->targets[k].addr, &net)) {
				ctl_finding(r, 1, "guard", "postern guard allow ADDRESS lifts it",
				    "this also turns away trunk %.*s", STR(t->name));
				break;
			}
	}
	ctl_end(r);
}

void cmd_guard_ban(struct ctl_req *r)
{
	struct addr_net net;

	if (!parse_net(r, &net))
		return;
	if (net.bits == 0) {
		ctl_refuse(r, REASON_BAD_VALUE, "name an address or a network", "that would ban everybody");
		return;
	}
	ctl_change(r, false, ban_store, ban_stored);
}

static enum reason ban_remove(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct addr_net net;
	char text[VIEW_NET_MAX];
	struct db_err mine = {0};
	enum reason why;

	if (addr_net_parse(ctl_arg_str(r, "ADDRESS"), &net) < 0)
		return db_fail(err, REASON_BAD_VALUE, "", "'%.60s' is no address", ctl_arg(r, "ADDRESS"));
	why = db_ban_del(h, str_z(view_net(&net, text)), &mine);
	/* a ban by the guard itself need not be stored */
	if (why == REASON_NO_SUCH)
		return REASON_NONE;
	if (why != REASON_NONE)
		return db_fail(err, why, mine.hint, "%s", mine.text);
	text_lit(&r->note, "stored");
	return REASON_NONE;
}

static void ban_removed(struct ctl_req *r)
{
	struct addr_net net;
	char text[VIEW_NET_MAX];
	bool was;

	if (!parse_net(r, &net))
		return;
	was = guard_unban(r->be->guard, &net);
	if (!was && r->note.n == 0) {
		const struct guard_ban *wider = guard_banned(r->be->guard, &net.base);
		char hint[120], wide[VIEW_NET_MAX];
		struct buf b;

		buf_init(&b, hint, sizeof(hint));
		if (wider)
			buf_fmt(&b, "it is covered by %s: postern guard allow %s", view_net(&wider->net, wide), wide);
		else
			buf_lit(&b, "postern guard list shows what is banned");
		ctl_refuse(r, REASON_NO_SUCH, buf_z(&b), "%s is not banned", view_net(&net, text));
		return;
	}
	ctl_set(r, "address", json_string(view_net(&net, text)));
	ctl_say(r, "%s is no longer banned\n", text);
	ctl_end(r);
}

void cmd_guard_allow(struct ctl_req *r)
{
	struct addr_net net;

	if (parse_net(r, &net))
		ctl_change(r, false, ban_remove, ban_removed);
}

/* Whom TLS turned away, and for which reason: kept apart from the log, which forgets and is quiet about repetitions. */
static void say_events(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"address", "REFUSED", PK_TEXT, 0},
	    {"code", "CODE", PK_TEXT, 0},
	    {"times", "TIMES", PK_NUM, 0},
	    {"last_us", "LAST", PK_WHEN, 0},
	    {"because", "BECAUSE", PK_TEXT, 0},
	};
	json_t *rows = json_array();
	struct guard_event e;
	unsigned at = 0;

	while (guard_event_next(r->be->guard, &at, &e)) {
		json_t *j = json_object();
		char code[REASON_CODE_MAX], ip[ADDR_TEXT_MAX];
		struct buf b;

		buf_init(&b, ip, sizeof(ip) - 1);
		addr_put_ip(&b, &e.from);
		json_object_set_new(j, "address", json_string(buf_z(&b)));
		json_object_set_new(j, "code", json_string(reason_code(e.why, code)));
		json_object_set_new(j, "times", json_integer((json_int_t)e.n));
		json_object_set_new(j, "first_us", json_integer(e.first_us));
		json_object_set_new(j, "last_us", json_integer(e.last_us));
		json_object_set_new(j, "because", print_json(str_z(e.text[0] ? e.text : reason_info(e.why)->text)));
		json_array_append_new(rows, j);
	}
	if (json_array_size(rows))
		ctl_table(r, "refused", rows, cols, ARRAY_LEN(cols), NULL);
	else
		ctl_set(r, "refused", rows);
}

void cmd_guard_events(struct ctl_req *r)
{
	static const char *const words[] = {" ban", "guard", "conn_refused", "stranger", "framing_lost", "tls_unproven", "side=server"};
	struct log_line *ring = malloc(LOG_RING * sizeof(*ring));
	unsigned left = ctl_uint(r, "--lines", 50), have, from;

	say_events(r);
	r->made = json_array();
	if (!ring) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	have = logger_read_any(r->be->env->logger, 0, ring, LOG_RING);
	for (unsigned i = 0; i < have; i++) {
		bool hit = false;

		for (size_t k = 0; k < ARRAY_LEN(words); k++)
			hit |= strstr(ring[i].text, words[k]) != NULL;
		ring[i].seq = hit;
	}
	for (from = have; from > 0 && left > 0; from--)
		left -= ring[from - 1].seq != 0;
	for (unsigned i = from; i < have; i++)
		if (ring[i].seq)
			put_line(r, &ring[i]);
	free(ring);
	if (r->out.n == 0)
		ctl_say(r, "nothing in the log; counters: postern guard list\n");
	ctl_set(r, "lines", json_incref(r->made));
	ctl_end(r);
}
