/* cmd_test.c - looking at the far end: `tls probe` for any host, `trunk test` for all ways of a
 * trunk.
 *
 * A look is one address: a connection of its own for TCP and TLS (net/probe.h), which no call
 * shares and which shows a certificate that calls would refuse, then OPTIONS: for a trunk through
 * the same transactions and connections its calls take (targets_probe), else over the connection of
 * the look. All looks of a request run side by side; each ends by itself or with the time of the
 * request. When the client leaves, its connections are closed; an OPTIONS that is under way ends by
 * itself and finds nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/ctl/server.h"
#include "sbc/ctl/view.h"
#include "sbc/net/netio.h"
#include "sbc/net/probe.h"
#include "sbc/net/resolve.h"
#include "sbc/sip/frame.h"
#include "sbc/target/target.h"

#define LOOKS_MAX  32
#define CONNECT_MS 6000
#define OPTIONS_MS 6000
#define ALL_MS     14000
#define PLACE_MAX  (ADDR_TEXT_MAX + 8)

struct looks;

struct look {
	struct looks *all;
	unsigned target; /* of a trunk */
	struct net_path path;
	char server[256];
	char name[256];               /* expected of its certificate */
	struct net_probe *probe;      /* own; TCP and TLS */
	struct net_probe_result *got; /* own: copy of what it found */
	bool probing, asking, asked;
	uint16_t status; /* of OPTIONS; 0: none */
	int err;
	uint32_t rtt_us;
	enum reason opt_reason;
	char opt_error[200];
	int level; /* 0 well, 1 warning, 2 does not work */
};

struct looks {
	struct ctl_req *r;
	const struct ctl_backend *be; /* borrow: as long as r waits */
	bool trunk;                   /* of a trunk: OPTIONS by targets_probe() */
	uint32_t trunk_id;
	uint8_t verify;
	unsigned realm;
	char cert[64];
	struct location *l; /* own; `tls probe`: the name being looked up */
	struct locate_dest dest;
	unsigned n, pending;
	bool over; /* shown, or nobody waits */
	struct look look[LOOKS_MAX];
};

/* -------------------------------------------------------------------- life */

static void looks_free(struct looks *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->look[i].got);
	free(s);
}

/* Stops what can be stopped. What cannot (an OPTIONS) holds the memory until it has ended. */
static void looks_stop(struct looks *s)
{
	if (s->over)
		return;
	s->over = true;
	if (s->l)
		locate_unwatch(s->be->locator, s->l);
	s->l = NULL;
	for (unsigned i = 0; i < s->n; i++) {
		net_probe_free(s->look[i].probe);
		s->look[i].probe = NULL;
		if (s->look[i].probing) {
			s->look[i].probing = false;
			s->pending--;
		}
	}
}

static void left(struct ctl_req *r)
{
	struct looks *s = *(struct looks **)r->work;

	looks_stop(s);
	if (s->pending == 0)
		looks_free(s);
}

static void show(struct looks *s);

/* Shows when that was the last. */
static void one_less(struct looks *s)
{
	s->pending--;
	if (s->pending)
		return;
	if (s->over) {
		looks_free(s);
		return;
	}
	show(s);
}

static void late(struct timer *t)
{
	struct ctl_req *r = container_of(t, struct ctl_req, timer);
	struct looks *s = *(struct looks **)r->work;

	show(s);
}

static struct looks *looks_new(struct ctl_req *r)
{
	struct looks *s = calloc(1, sizeof(*s));
	struct looks **at = malloc(sizeof(struct looks *));

	if (!s || !at) {
		free(s);
		free(at);
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return NULL;
	}
	*at = s;
	r->work = at;
	s->r = r;
	s->be = r->be;
	return s;
}

/* -------------------------------------------------------------------- OPTIONS over the look's own
 * connection */

static void put_options(void *ctx, const struct net_probe_result *pr, struct buf *b)
{
	struct look *k = ctx;
	struct looks *s = k->all;
	struct rng *rng = s->be->env->rng;
	struct str proto = net_proto_name((enum net_proto)k->path.proto), to = str_z(k->name);

	buf_fmt(b, "OPTIONS sip:%.*s SIP/2.0\r\nVia: SIP/2.0/%.*s ", STR(to), STR(proto));
	addr_put(b, &pr->local);
	buf_lit(b, ";rport;branch=z9hG4bK");
	rng_put_token(rng, b, 16);
	buf_lit(b, "\r\nMax-Forwards: 0\r\nFrom: <sip:postern@");
	addr_put_host(b, &pr->local);
	buf_lit(b, ">;tag=");
	rng_put_token(rng, b, 12);
	buf_fmt(b, "\r\nTo: <sip:%.*s>\r\nCall-ID: ", STR(to));
	rng_put_token(rng, b, 20);
	buf_lit(b, "\r\nCSeq: 1 OPTIONS\r\nContact: <sip:postern@");
	addr_put(b, &pr->local);
	buf_fmt(b, "%s>\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n",
	    k->path.proto == NET_TLS ? ";transport=tls" : ";transport=tcp");
}

/* The first final answer; what else comes before it is passed over. */
static bool answered(void *ctx, const char *p, size_t n, enum reason *ret_reason)
{
	struct look *k = ctx;

	while (n) {
		struct sip_framer f = {0};
		enum reason why = REASON_NONE;
		size_t len = 0;
		uint32_t status;

		switch (sip_frame(&f, p, n, &len, &why)) {
		case SIP_FRAME_MORE:
			return false;
		case SIP_FRAME_BAD:
			*ret_reason = why;
			return false;
		case SIP_FRAME_MSG:
			if (str_prefix(str_n(p, len), S("SIP/2.0 ")) && len > 11 &&
			    str_u32(str_n(p + 8, 3), 699, &status) == 0 && status >= 200) {
				k->status = (uint16_t)status;
				return true;
			}
			break;
		default:
			break;
		}
		p += len;
		n -= len;
	}
	return false;
}

/* -------------------------------------------------------------------- the steps of a look */

static void options_done(
    void *arg, const struct net_path *path, uint16_t status, int err, uint32_t rtt_us)
{
	struct look *k = arg;

	(void)path;
	k->asking = false;
	k->status = status;
	k->err = err;
	k->rtt_us = rtt_us;
	if (!status) {
		k->opt_reason = err == -ETIMEDOUT ? REASON_PEER_SILENT : net_error_reason(err);
		snprintf(
		    k->opt_error, sizeof(k->opt_error), "%s", reason_info(k->opt_reason)->text);
	}
	one_less(k->all);
}

static void start_options(struct look *k)
{
	struct looks *s = k->all;
	const struct pol_trunk *t = policy_trunk(b2b_policy(s->be->b2b), s->trunk_id);
	int e;

	k->asked = true;
	e = t ? targets_probe(b2b_targets(s->be->b2b), t, &k->path, options_done, k) : -ENOENT;
	if (e < 0) {
		k->opt_reason = e == -ENOMEM ? REASON_NO_MEMORY : net_error_reason(e);
		snprintf(
		    k->opt_error, sizeof(k->opt_error), "%s", reason_info(k->opt_reason)->text);
		return;
	}
	k->asking = true;
	s->pending++;
}

static void probed(void *ctx, const struct net_probe_result *pr)
{
	struct look *k = ctx;
	struct looks *s = k->all;

	k->probing = false;
	k->got = malloc(sizeof(*k->got));
	if (k->got) {
		*k->got = *pr;
		k->got->answer = NULL; /* goes with the probe */
	}
	if (!s->trunk) {
		k->asked = pr->step >= NET_PROBE_ASK;
		k->rtt_us = pr->answer_us > 0 ? (uint32_t)pr->answer_us : 0;
		if (!k->status && k->asked) {
			k->opt_reason = pr->reason;
			snprintf(k->opt_error, sizeof(k->opt_error), "%s", pr->error);
		}
	}
	net_probe_free(k->probe);
	k->probe = NULL;
	if (s->trunk && !s->over && pr->step == NET_PROBE_DONE)
		start_options(k);
	one_less(s);
}

static void start_look(struct look *k)
{
	struct looks *s = k->all;
	const struct pol_trunk *t =
	    s->trunk ? policy_trunk(b2b_policy(s->be->b2b), s->trunk_id) : NULL;
	struct net_peer peer = {.name = str_z(k->name),
	    .names = t ? t->tls.names : NULL,
	    .n_names = t ? t->tls.n_names : 0,
	    .certificate = str_z(s->cert),
	    .verify = s->verify};
	struct net_probe_cfg cfg = {.to = k->path.remote,
	    .proto = k->path.proto,
	    .peer = &peer,
	    .store = s->be->ops->tls ? s->be->ops->tls(s->be->ctx)->store : NULL,
	    .timeout_ms = CONNECT_MS,
	    .done = probed,
	    .ctx = k};
	const struct net_local *l;
	int e;

	if (k->path.proto == NET_UDP) {
		if (s->trunk)
			start_options(k);
		return;
	}
	if (s->be->net) {
		l = net_local(netio_net(s->be->net), k->path.realm, (enum net_proto)k->path.proto,
		    k->path.remote.sa.sa_family);
		if (l && !addr_is_any(&l->bound)) {
			cfg.from = l->bound;
			addr_set_port(&cfg.from, 0);
		}
	}
	if (!s->trunk) {
		cfg.question = put_options;
		cfg.answered = answered;
	}
	e = net_probe_start(s->be->loop, s->be->env, &cfg, &k->probe);
	if (e < 0) {
		k->got = calloc(1, sizeof(*k->got));
		if (k->got) {
			k->got->reason = e == -ENOMEM ? REASON_NO_MEMORY : e == -ENOENT ? REASON_NO_SUCH : REASON_TRANSPORT;
			k->got->tcp_us = k->got->tls_us = k->got->answer_us = -1;
			if (e == -ENOENT)
				snprintf(k->got->error, sizeof(k->got->error),
				    "certificate %s cannot be shown: there is none of that name", s->cert);
			else
				(void)uv_strerror_r(e, k->got->error, sizeof(k->got->error));
		}
		return;
	}
	k->probing = true;
	s->pending++;
}

/* All at once; shows at once what could not even begin. */
static void start_all(struct looks *s)
{
	for (unsigned i = 0; i < s->n; i++)
		start_look(&s->look[i]);
	if (s->pending == 0)
		show(s);
	else if (!s->r->leave)
		ctl_wait(s->r, ALL_MS, late, left);
}

static void keep(char *ret, size_t max, struct str s)
{
	snprintf(ret, max, "%.*s", STR(str_head(s, max - 1)));
}

static struct look *add_look(
    struct looks *s, const struct net_path *path, struct str server, struct str name)
{
	struct look *k;

	if (s->n == LOOKS_MAX)
		return NULL;
	k = &s->look[s->n++];
	k->all = s;
	k->path = *path;
	keep(k->server, sizeof(k->server), str_empty(server) ? name : server);
	keep(k->name, sizeof(k->name), name);
	return k;
}

/* -------------------------------------------------------------------- showing */

static void worse(struct look *k, int level)
{
	if (level > k->level)
		k->level = level;
}

static void put_ms(struct text *t, int64_t us)
{
	if (us < 10000)
		text_fmt(t, "%lld.%lld ms", (long long)(us / 1000), (long long)(us % 1000 / 100));
	else
		text_fmt(t, "%lld ms", (long long)(us / 1000));
}

static void say_step(struct ctl_req *r, const char *step, const struct text *t, int level)
{
	static const char *const word[] = {"ok", "WARN", "FAIL"};
	struct text line = {0};

	if (!r->json) {
		text_fmt(&line, "%s   %s", text_z(t), word[level]);
		text_fmt(&r->out, "  %-5s ", step);
		text_wrap(&r->out, text_get(&line), 8, 8, r->view.columns);
	}
	text_fini(&line);
}

static json_t *names_json(const struct net_probe_result *g)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < g->n_names; i++)
		json_array_append_new(a, print_jsonz(g->names[i]));
	return a;
}

static json_t *chain_json(const struct net_probe_result *g)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < g->n_chain; i++) {
		json_t *c = json_object();

		json_object_set_new(c, "subject", print_jsonz(g->chain[i].subject));
		json_object_set_new(c, "issuer", print_jsonz(g->chain[i].issuer));
		json_object_set_new(c, "key", print_jsonz(g->chain[i].key_type));
		json_object_set_new(c, "not_before_us", json_integer(g->chain[i].not_before_us));
		json_object_set_new(c, "not_after_us", json_integer(g->chain[i].not_after_us));
		json_array_append_new(a, c);
	}
	return a;
}

static void show_tls(struct look *k, json_t *j)
{
	struct ctl_req *r = k->all->r;
	const struct net_probe_result *g = k->got;
	int64_t now = r->view.now_us;
	struct text t = {0};

	json_object_set_new(j, "version", print_jsonz(g->version));
	json_object_set_new(j, "cipher", print_jsonz(g->cipher));
	json_object_set_new(j, "tls_us", json_integer(g->tls_us));
	json_object_set_new(j, "names", names_json(g));
	json_object_set_new(j, "chain", chain_json(g));
	json_object_set_new(j, "verdict", view_code(g->verdict));
	json_object_set_new(j, "verdict_text", print_jsonz(g->verdict_text));
	json_object_set_new(j, "asks_for_certificate", json_boolean(g->asked));
	json_object_set_new(j, "shown", g->shown[0] ? print_jsonz(g->shown) : json_null());
	put_ms(&t, g->tls_us);
	text_fmt(&t, "  %s %s", g->version, g->cipher);
	say_step(r, "tls", &t, 0);
	t.n = 0;
	for (unsigned i = 0; i < g->n_names; i++)
		text_fmt(&t, "%s%s", i ? " " : "", g->names[i]);
	if (!g->n_names)
		text_lit(&t, "no SIP domain");
	if (g->verdict == REASON_NONE) {
		if (k->all->verify >= NET_VERIFY_CHAIN)
			text_fmt(&t, "  (not compared with %s: tls-verify of the trunk)", k->name);
		else
			text_fmt(&t, "  (is %s, RFC 5922)", k->name);
		say_step(r, "name", &t, 0);
	} else {
		char code[REASON_CODE_MAX];

		worse(k, 2);
		text_fmt(&t, "; %s: %s [%s]", reason_info(g->verdict)->text, g->verdict_text,
		    reason_code(g->verdict, code));
		say_step(r, "name", &t, 2);
	}
	for (unsigned i = 0; i < g->n_chain; i++) {
		int level = g->chain[i].not_after_us < now                               ? 2
		            : g->chain[i].not_after_us < now + (int64_t)30 * 86400000000 ? 1
		                                                                         : 0;

		t.n = 0;
		text_fmt(&t, "%s, %s, expires ", g->chain[i].subject, g->chain[i].key_type);
		view_expiry(&t, g->chain[i].not_after_us, now);
		say_step(r, i ? "by" : "cert", &t, level);
		worse(k, level ? 1 : 0);
	}
	if (g->asked) {
		t.n = 0;
		if (g->shown[0])
			text_fmt(&t, "it asks for our certificate: shown %s", g->shown);
		else
			text_lit(&t, "it asks for our certificate: none was shown (--cert NAME)");
		say_step(r, "ours", &t, g->shown[0] ? 0 : 1);
		worse(k, g->shown[0] ? 0 : 1);
	}
	text_fini(&t);
}

static void show_options(struct look *k, json_t *j)
{
	struct ctl_req *r = k->all->r;
	char code[REASON_CODE_MAX];
	struct text t = {0};

	json_object_set_new(j, "options_status", k->status ? json_integer(k->status) : json_null());
	if (k->status) {
		/* whatever it says, it is alive; only this says that it takes no calls */
		int level = k->status == 503 || k->status == 408 ? 2 : 0;

		json_object_set_new(j, "options_us", json_integer(k->rtt_us));
		text_fmt(&t, "%u in ", k->status);
		put_ms(&t, k->rtt_us);
		worse(k, level);
		say_step(r, "opt", &t, level);
	} else if (k->asking) {
		text_lit(&t, "no answer to OPTIONS in time");
		json_object_set_new(j, "options_reason", view_code(REASON_PEER_SILENT));
		worse(k, 2);
		say_step(r, "opt", &t, 2);
	} else {
		json_object_set_new(j, "options_reason", view_code(k->opt_reason));
		text_fmt(&t, "%s [%s]", k->opt_error, reason_code(k->opt_reason, code));
		worse(k, 2);
		say_step(r, "opt", &t, 2);
	}
	text_fini(&t);
}

static json_t *show_look(struct look *k, unsigned number)
{
	struct ctl_req *r = k->all->r;
	const struct net_probe_result *g = k->got;
	json_t *j = json_object(), *place = view_peer(k->path.proto, &k->path.remote);
	char code[REASON_CODE_MAX];
	struct text t = {0};

	ctl_say(r, "[%u] %s  %s\n", number, k->server, json_string_value(place));
	json_object_set_new(j, "server", print_jsonz(k->server));
	json_object_set_new(j, "place", place);
	if (k->path.proto != NET_UDP) {
		json_object_set_new(j, "tcp_us", json_integer(g ? g->tcp_us : -1));
		if (g && g->tcp_us >= 0) {
			put_ms(&t, g->tcp_us);
			say_step(r, "tcp", &t, 0);
			t.n = 0;
		}
		if (g && g->tls_us >= 0)
			show_tls(k, j);
		if (!g || (g->step != NET_PROBE_DONE && g->step != NET_PROBE_ASK)) {
			enum reason why = g ? g->reason : REASON_TRANSPORT;

			json_object_set_new(j, "reason", view_code(why));
			json_object_set_new(
			    j, "error", print_jsonz(g ? g->error : "no answer in time"));
			text_fmt(&t, "%s [%s]", g ? g->error : "no answer in time",
			    reason_code(why, code));
			worse(k, 2);
			say_step(r, g && g->step == NET_PROBE_TLS ? "tls" : "tcp", &t, 2);
		}
	}
	if (k->asked)
		show_options(k, j);
	json_object_set_new(j, "level", json_integer(k->level));
	text_fini(&t);
	return j;
}

/* Why a look did not work. */
static enum reason why_not(const struct look *k)
{
	const struct net_probe_result *g = k->got;

	if (k->path.proto != NET_UDP && (!g || g->step < NET_PROBE_ASK))
		return g ? g->reason : REASON_TRANSPORT;
	if (g && g->verdict != REASON_NONE)
		return g->verdict;
	if (k->status == 503)
		return REASON_PEER_ERROR;
	if (k->status == 408 || k->asking)
		return REASON_PEER_SILENT;
	return k->opt_reason;
}

/* Each cause once, with what to do about it. */
static void conclude(struct looks *s)
{
	unsigned good = 0, bad = 0;
	enum reason said[LOOKS_MAX];
	unsigned n_said = 0;

	for (unsigned i = 0; i < s->n; i++) {
		good += s->look[i].level < 2;
		bad += s->look[i].level == 2;
	}
	for (unsigned i = 0; i < s->n; i++) {
		const struct look *k = &s->look[i];
		enum reason why = why_not(k);
		char text[ADDR_TEXT_MAX];
		unsigned n = 0;
		bool known = false;

		if (k->level < 2) {
			if (k->level > s->r->code)
				s->r->code = k->level;
			continue;
		}
		for (unsigned m = 0; m < n_said; m++)
			known |= said[m] == why;
		if (known)
			continue;
		said[n_said++] = why;
		for (unsigned m = i + 1; m < s->n; m++)
			n += s->look[m].level == 2 && why_not(&s->look[m]) == why;
		if (n)
			ctl_finding(s->r, good ? 1 : 2, "way", reason_info(why)->remedy,
			    "%s and %u more: %s", addr_text(&k->path.remote, text), n,
			    reason_info(why)->text);
		else
			ctl_finding(s->r, good ? 1 : 2, "way", reason_info(why)->remedy, "%s: %s",
			    addr_text(&k->path.remote, text), reason_info(why)->text);
	}
	if (s->n && !bad)
		ctl_say(s->r, "%s\n", s->n == 1 ? "it works" : "all of them work");
	else if (good)
		ctl_say(s->r, "%u of %u work\n", good, s->n);
}

static void show_targets(struct looks *s, json_t *ways)
{
	struct ctl_req *r = s->r;
	struct targets *ts = b2b_targets(r->be->b2b);
	json_t *targets = json_array();
	struct target_view v;

	for (unsigned i = 0; targets_view(ts, s->trunk_id, i, &v); i++) {
		json_t *j = json_object();
		struct text head = {0};
		char host[300];
		struct buf b;

		buf_init(&b, host, sizeof(host));
		buf_fmt(&b, "%.*s", STR(str_head(v.target->host, 255)));
		if (v.target->port)
			buf_fmt(&b, ":%u", v.target->port);
		json_object_set_new(j, "target", print_json(buf_text(&b)));
		json_object_set_new(j, "dns", json_string(locate_state_names[v.plan->state]));
		view_plan_head(&head, v.plan, r->be->env->clock->mono_us);
		ctl_say(r, "target %.*s  ", STR(buf_text(&b)));
		if (v.plan->state == LOCATE_EMPTY || v.plan->state == LOCATE_FAILED ||
		    v.plan->state == LOCATE_PENDING) {
			enum reason why =
			    v.plan->reason != REASON_NONE ? v.plan->reason : REASON_NAME_UNRESOLVED;

			ctl_say(r, "\n");
			json_object_set_new(j, "reason", view_code(why));
			ctl_finding(r, 2, "dns", NULL, "%.*s: %s", STR(buf_text(&b)),
			    v.plan->state == LOCATE_PENDING ? "the DNS has not answered yet"
			                                    : reason_info(why)->text);
		} else {
			ctl_say(r, "%s\n", text_z(&head));
		}
		text_fini(&head);
		json_array_append_new(targets, j);
		for (unsigned k = 0; k < s->n; k++)
			if (s->look[k].target == i)
				json_array_append_new(ways, show_look(&s->look[k], k + 1));
	}
	ctl_set(r, "targets", targets);
}

static void show(struct looks *s)
{
	struct ctl_req *r = s->r;
	json_t *ways = json_array();

	if (s->trunk) {
		show_targets(s, ways);
	} else {
		for (unsigned i = 0; i < s->n; i++)
			json_array_append_new(ways, show_look(&s->look[i], i + 1));
	}
	ctl_set(r, "ways", ways);
	conclude(s);
	looks_stop(s);
	if (s->pending == 0)
		looks_free(s);
	ctl_end(r);
}

/* -------------------------------------------------------------------- tls probe */

static void tls_located(struct looks *s)
{
	const struct locate_plan *p = locate_plan(s->be->locator, s->l);
	struct net_path path = {.proto = NET_TLS, .realm = (uint8_t)s->realm};
	struct str name = ctl_arg_str(s->r, "--name");

	if (p->state == LOCATE_EMPTY || p->state == LOCATE_FAILED) {
		struct ctl_req *r = s->r;
		enum reason why = p->reason;

		looks_stop(s);
		ctl_refuse(r, why, NULL, "%s: %s", ctl_arg(r, "HOST:PORT"), reason_info(why)->text);
		looks_free(s);
		return;
	}
	for (unsigned i = 0; i < p->n_servers; i++)
		for (unsigned k = 0; k < p->servers[i].n; k++) {
			path.remote = p->addrs[p->servers[i].first + k];
			(void)add_look(
			    s, &path, p->servers[i].name, str_empty(name) ? s->dest.host : name);
		}
	start_all(s);
}

static void tls_answer(void *ctx, struct location *l)
{
	struct looks *s = ctx;

	/* later news of the DNS come while the looks run: of no use now */
	if (s->n == 0 && locate_plan(s->be->locator, l)->state != LOCATE_PENDING)
		tls_located(s);
}

void cmd_tls_probe(struct ctl_req *r)
{
	const char *realm = ctl_arg(r, "--realm"), *name = ctl_arg(r, "--name");
	struct net_path path = {.proto = NET_TLS};
	struct looks *s = looks_new(r);
	const char *wrong;
	int i = realm ? conf_realm_find(r->be->ops->conf(r->be->ctx), str_z(realm)) : 0, e;

	if (!s)
		return;
	wrong = view_dest(ctl_arg_str(r, "HOST:PORT"), &s->dest);
	if (!wrong && s->dest.proto != LOCATE_ANY && s->dest.proto != NET_TLS)
		wrong = "this is about TLS";
	if (wrong || i < 0) {
		if (wrong)
			ctl_refuse(r, REASON_BAD_VALUE,
			    "for example sip.itsp.example:5061 or 192.0.2.7:5061", "'%s': %s",
			    ctl_arg(r, "HOST:PORT"), wrong);
		else
			ctl_refuse(r, REASON_NO_SUCH, "postern realm list shows all",
			    "no realm '%s'", realm);
		looks_free(s);
		return;
	}
	s->realm = (unsigned)i;
	s->dest.proto = NET_TLS;
	s->dest.protos = 1u << NET_TLS;
	s->dest.families = RESOLVE_V4 | RESOLVE_V6;
	keep(s->cert, sizeof(s->cert), ctl_arg_str(r, "--cert"));
	if (addr_parse_ip(s->dest.host, s->dest.port ? s->dest.port : 5061, &path.remote) == 0) {
		path.realm = (uint8_t)i;
		(void)add_look(s, &path, STR_NONE, name ? str_z(name) : s->dest.host);
		start_all(s);
		return;
	}
	if (!s->be->locator) {
		ctl_refuse(r, REASON_DNS_FAILED, "", "this daemon runs without DNS");
		looks_free(s);
		return;
	}
	e = locate_watch(s->be->locator, &s->dest, tls_answer, s, &s->l);
	if (e < 0) {
		ctl_refuse(r, e == -EINVAL ? REASON_BAD_VALUE : REASON_NO_MEMORY, NULL,
		    "'%s' cannot be asked for", ctl_arg(r, "HOST:PORT"));
		looks_free(s);
		return;
	}
	if (locate_plan(s->be->locator, s->l)->state != LOCATE_PENDING)
		tls_located(s);
	else
		ctl_wait(r, ALL_MS, late, left);
}

/* -------------------------------------------------------------------- trunk test */

void cmd_trunk_test(struct ctl_req *r)
{
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));
	struct targets *ts = b2b_targets(r->be->b2b);
	struct looks *s = t ? looks_new(r) : NULL;
	struct target_addr_view a;
	struct target_view v;

	if (!s)
		return;
	s->trunk = true;
	s->trunk_id = t->id;
	s->realm = t->realm;
	s->verify = (uint8_t)t->tls.verify;
	keep(s->cert, sizeof(s->cert), t->tls.cert);
	ctl_set(r, "trunk", print_json(t->name));
	for (unsigned i = 0; targets_view(ts, t->id, i, &v); i++)
		for (unsigned k = 0; targets_addr_view(ts, t->id, i, k, &a); k++) {
			struct look *look = add_look(s, &a.path, a.server, v.target->host);

			if (look)
				look->target = i;
		}
	start_all(s);
}
