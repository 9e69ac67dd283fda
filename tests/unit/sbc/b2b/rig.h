/* rig.h - a B2BUA between a PBX and an ITSP made of text: virtual clock, captured sends, simulated media.
 *
 * lan (realm 0): pbx 198.51.100.10:5060; we are 198.51.100.1:5060. wan (realm 1): itsp with two targets,
 * 203.0.113.20 and .21, port 5060; we are 203.0.113.1:5060. +49301234500..99 belong to pbx; everything else from
 * pbx goes to itsp.
 */
#ifndef TESTS_B2B_RIG_H
#define TESTS_B2B_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sbc/auth/challenge.h"
#include "sbc/base/arena.h"
#include "sbc/b2b/call.h"
#include "sbc/policy/compile.h"
#include "sbc/reg/reg.h"
#include "sbc/sip/header.h"

#define RIG_SENT 2048

struct sent {
	struct net_path to;
	char *text;
	size_t len;
	int64_t at_us;
	uint64_t owner;
};

/* A name and what stands behind it, typed by hand; answers for every watch of that name. */
struct rig_name {
	const char *host;
	struct locate_plan p;
	struct locate_server s[4];
	struct addr a[12];
};

struct location {
	struct rig *r;
	char host[64];
	locate_fn *fn;
	void *ctx;
	bool used;
};

struct rig {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct metrics metrics;
	struct logger logger;
	struct env env;
	struct net net;
	struct sent sent[RIG_SENT];
	unsigned n_sent, at;
	int send_err; /* what the next sends return */
	bool tcp_fails;
	const char *fail_host; /* sends to addresses that begin so return fail_err */
	int fail_err;
	uint8_t rx_proto;      /* what comes in next came over this, on that connection */
	uint32_t rx_conn;
	uint32_t n_conns;      /* connections made for sends */
	uint32_t gone[4];      /* connections that do not stand any more */
	bool not_public;       /* wan: public = no; before rig_compile() */
	bool tls;              /* both realms listen for TLS, as sbc.example.com */
	struct net_local *local[2]; /* what we say of ourselves in that realm instead, NULL: rig_local */
	struct addr raced;     /* alt of the last net_prepare() */
	const char *race_won;  /* the address that is up already, NULL: it is on its way */
	unsigned n_prepared;
	struct net_path prepared; /* by the last net_prepare() */
	struct locator locator;
	struct location loc[8];
	struct rig_name names[8];
	unsigned n_names;
	struct media *media;
	struct auth *auth;
	struct policy *policy;
	struct b2b *b2b;
	struct call_record rec[64];
	unsigned n_rec, n_answered;
	/* rows of the policy */
	struct db_trunk trunks[4];
	struct db_target targets[4][4];
	struct db_setting settings[4][16];
	struct db_source sources[4][4];
	struct db_number numbers[4];
	struct db_route routes[4];
	struct db_route_via via[4][4];
	struct db_rows rows;
	unsigned branch;
	char hdr_text[8][2048];
	unsigned hdr_at;
};

static struct net_local rig_local[4];
static struct net_local rig_tls = {.host = {"sbc.example.com", 15}, .port = 5061};

static int rig_net_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct rig *r = container_of(n, struct rig, net);
	struct sent *s;

	if (r->send_err)
		return r->send_err;
	if (path->proto == NET_TCP && r->tcp_fails)
		return -ECONNREFUSED;
	if (r->fail_host) {
		char to[ADDR_TEXT_MAX];

		if (strncmp(addr_text(&path->remote, to), r->fail_host, strlen(r->fail_host)) == 0)
			return r->fail_err;
	}
	if (path->proto != NET_UDP && path->conn == 0)
		path->conn = 1000 + ++r->n_conns;
	assert_true(r->n_sent < RIG_SENT);
	s = &r->sent[r->n_sent++];
	s->to = *path;
	s->text = malloc(len + 1);
	memcpy(s->text, p, len);
	s->text[len] = '\0';
	s->len = len;
	s->owner = owner;
	s->at_us = r->clock.mono_us;
	return 0;
}

static const struct net_local *rig_net_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	const struct rig *r = container_of(n, struct rig, net);

	if (proto == NET_TLS && r->tls)
		return &rig_tls;
	if (proto != NET_UDP && proto != NET_TCP)
		return NULL;
	if (realm < 2 && family == AF_INET && r->local[realm])
		return r->local[realm];
	return realm < 2 ? &rig_local[realm + (family == AF_INET6 ? 2 : 0)] : NULL;
}

static void rig_net_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static bool rig_net_alive(struct net *n, const struct net_path *path)
{
	const struct rig *r = container_of(n, struct rig, net);

	for (unsigned i = 0; i < ARRAY_LEN(r->gone); i++)
		if (r->gone[i] == path->conn)
			return false; /* 0 is none */
	return true;
}

static struct addr rig_addr(const char *text);

static int rig_net_prepare(struct net *n, struct net_path *path, const struct addr *alt)
{
	struct rig *r = container_of(n, struct rig, net);

	r->n_prepared++;
	r->raced = *alt;
	path->conn = 1000 + ++r->n_conns;
	if (r->race_won)
		path->remote = rig_addr(r->race_won);
	r->prepared = *path;
	return r->race_won != NULL;
}

/* what was prepared last is up, and leads there */
__attribute__((unused)) static void rig_flow_up(struct rig *r, const char *addr)
{
	struct net_path flow = r->prepared;

	flow.remote = rig_addr(addr);
	b2b_on_flow_up(r->b2b, &flow);
}

static const struct net_ops rig_net_ops = {
    .send = rig_net_send, .local = rig_net_local, .close = rig_net_close, .prepare = rig_net_prepare, .alive = rig_net_alive};

static struct rig_name *rig_name_of(struct rig *r, const char *host)
{
	for (unsigned i = 0; i < r->n_names; i++)
		if (strcmp(r->names[i].host, host) == 0)
			return &r->names[i];
	return NULL;
}

static int rig_watch(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct rig *r = container_of(lr, struct rig, locator);

	for (unsigned i = 0; i < ARRAY_LEN(r->loc); i++) {
		if (r->loc[i].used)
			continue;
		r->loc[i] = (struct location){.r = r, .fn = fn, .ctx = ctx, .used = true};
		snprintf(r->loc[i].host, sizeof(r->loc[i].host), "%.*s", STR(d->host));
		*ret = &r->loc[i];
		return 0;
	}
	return -ENOMEM;
}

static void rig_unwatch(struct location *l)
{
	l->used = false;
}

static const struct locate_plan *rig_plan_of(const struct location *l)
{
	static const struct locate_plan pending = {.refs = 1, .state = LOCATE_PENDING, .how = "naptr"};
	const struct rig_name *n = rig_name_of(l->r, l->host);

	return n ? &n->p : &pending;
}

static const struct locator_ops rig_locator_ops = {rig_watch, rig_unwatch, rig_plan_of};

static void rig_on_record(void *ctx, const struct call_record *rec)
{
	struct rig *r = ctx;

	assert_true(r->n_rec < ARRAY_LEN(r->rec));
	r->rec[r->n_rec++] = *rec;
}

static void rig_on_answered(void *ctx, const struct call_record *rec)
{
	struct rig *r = ctx;

	(void)rec;
	r->n_answered++;
}

static struct addr rig_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(text), 5060, &a), 0);
	return a;
}

static bool rig_is_local(void *ctx, unsigned realm, const struct addr *a)
{
	(void)ctx;
	return (addr_eq_ip(&rig_local[realm].bound, a) || addr_eq_ip(&rig_local[realm + 2].bound, a)) &&
	       (addr_port(a) == 0 || addr_port(a) == 5060);
}

/* of a registrar: what it stores is stored */
static inline int rig_store(void *ctx, const struct reg_change *ch, uint64_t token)
{
	(void)ctx;
	(void)ch;
	(void)token;
	return 0;
}

static const struct b2b_user rig_user = {.on_record = rig_on_record, .on_answered = rig_on_answered, .is_local = rig_is_local, .on_wire = NULL};

/* a setting of trunk i as the CLI would store it; before rig_start() or followed by rig_compile() */
__attribute__((unused)) static void rig_set(struct rig *r, int trunk, const char *key, const char *value)
{
	struct db_trunk *t = &r->trunks[trunk];

	for (unsigned i = 0; i < t->n_settings; i++)
		if (str_eq(r->settings[trunk][i].key, str_z(key))) {
			r->settings[trunk][i].value = str_z(value);
			return;
		}
	assert_true(t->n_settings < 16);
	r->settings[trunk][t->n_settings++] = (struct db_setting){str_z(key), str_z(value)};
}

static void rig_compile(struct rig *r)
{
	const struct pol_realm realms[2] = {{.name = {"lan", 3}, .strangers = POL_STRANGER_DROP},
	    {.name = {"wan", 3}, .strangers = POL_STRANGER_REFUSE, .not_public = r->not_public}};
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy *p = NULL;
	int e = policy_compile(&(struct policy_input){.realms = realms,
	                           .n_realms = 2,
	                           .rows = &r->rows,
	                           .hash_key = r->env.hash_key},
	    &p, errs);

	if (e < 0)
		print_error("policy: %s: %s\n", errs->e[0].object, errs->e[0].text);
	assert_int_equal(e, 0);
	free(errs);
	b2b_set_policy(r->b2b, p);
	policy_unref(r->policy);
	r->policy = p;
}

enum { PBX, ITSP };

static struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	static const char *const us[4] = {"198.51.100.1", "203.0.113.1", "[2001:db8:a::1]", "[2001:db8:b::1]"};
	struct media_realm_cfg realms[2];
	enum reason why;

	r->clock.mono_us = 1000000000;
	r->clock.wall_us = 1700000000000000;
	timers_init(&r->timers, &r->clock);
	rng_init_seeded(&r->rng, 7);
	metrics_init(&r->metrics);
	assert_int_equal(logger_init(&r->logger, getenv("RIG_LOG") ? 2 : -1, LOG_DEBUG), 0);
	r->env = (struct env){.clock = &r->clock, .timers = &r->timers, .rng = &r->rng, .logger = &r->logger,
	    .metrics = &r->metrics, .hash_key = {1, 2}};
	r->net.ops = &rig_net_ops;
	r->locator.ops = &rig_locator_ops;
	memset(realms, 0, sizeof(realms));
	for (int i = 0; i < 4; i++) {
		rig_local[i] = (struct net_local){.bound = rig_addr(us[i]), .host = str_z(us[i]), .port = 5060};
		if (i < 2)
			realms[i] = (struct media_realm_cfg){.name = i ? S("wan") : S("lan"), .ip4 = rig_addr(us[i]),
			    .ip6 = rig_addr(us[i + 2]), .port_min = (uint16_t)(20000 + i * 1000),
			    .port_max = (uint16_t)(20099 + i * 1000), .dscp = 46};
	}
	r->media = media_new(&r->env, &(struct media_cfg){.realms = realms, .n_realms = 2, .workers = 0}, &why);
	assert_non_null(r->media);

	for (int i = 0; i < 2; i++) {
		struct db_trunk *t = &r->trunks[i];

		*t = (struct db_trunk){.id = (uint32_t)i + 1, .name = i ? S("itsp") : S("pbx"), .role = i ? S("itsp") : S("pbx"),
		    .realm = i ? S("wan") : S("lan"), .admin = DB_ENABLED, .settings = r->settings[i], .targets = r->targets[i],
		    .sources = r->sources[i], .n_targets = 1};
		r->targets[i][0] = (struct db_target){.host = i ? S("203.0.113.20") : S("198.51.100.10"), .port = 5060,
		    .transport = S("udp"), .priority = 1, .weight = 1};
		rig_set(r, i, "trusted", "yes");
		rig_set(r, i, "probe", "off"); /* a test that wants probes says so */
		rig_set(r, i, "failover-codes", "480,500");
	}
	r->trunks[1].n_targets = 2;
	r->targets[1][1] = r->targets[1][0];
	r->targets[1][1].host = S("203.0.113.21");
	r->targets[1][1].priority = 2;
	r->numbers[0].trunk_id = 1;
	snprintf(r->numbers[0].first, sizeof(r->numbers[0].first), "+49301234500");
	snprintf(r->numbers[0].last, sizeof(r->numbers[0].last), "+49301234599");
	r->via[0][0] = (struct db_route_via){.trunk_id = 2, .priority = 1, .weight = 1};
	r->routes[0] = (struct db_route){.id = 1, .name = S("out"), .position = 1, .from_trunk = 1, .from = S("*"), .to = S("*"),
	    .via = r->via[0], .n_via = 1};
	r->rows = (struct db_rows){.revision = 1, .trunks = r->trunks, .n_trunks = 2, .numbers = r->numbers, .n_numbers = 1,
	    .routes = r->routes, .n_routes = 1};

	r->auth = auth_new(&r->env, &(struct auth_cfg){0});
	assert_non_null(r->auth);
	r->b2b = b2b_new(&r->env, &r->net, r->media,
	    &(struct b2b_cfg){.user_agent = S("Postern/test"), .locator = &r->locator, .auth = r->auth, .digest_realm = S("usual")},
	    &rig_user, r);
	assert_non_null(r->b2b);
	rig_compile(r);
	return r;
}

/* One server behind a name with these addresses ("192.0.2.1:5060", NULL at the end); called again: one more server, of
 * the next priority. Whoever watches the name hears of it. */
__attribute__((unused)) static void rig_server(
    struct rig *r, const char *host, const char *server, uint8_t proto, const char *const *addrs)
{
	struct rig_name *n = rig_name_of(r, host);
	struct locate_server *s;

	if (!n) {
		n = &r->names[r->n_names++];
		n->host = host;
		n->p = (struct locate_plan){.refs = 1, .state = LOCATE_GOOD, .how = "srv", .fresh_until_us = INT64_MAX,
		    .stale_until_us = INT64_MAX, .servers = n->s, .addrs = n->a};
	}
	s = &n->s[n->p.n_servers++];
	*s = (struct locate_server){
	    .name = str_z(server), .proto = proto, .priority = (uint16_t)n->p.n_servers, .first = n->p.n_addrs};
	for (; *addrs; addrs++, s->n++)
		n->a[n->p.n_addrs++] = rig_addr(*addrs);
	for (unsigned i = 0; i < ARRAY_LEN(r->loc); i++)
		if (r->loc[i].used && strcmp(r->loc[i].host, host) == 0)
			r->loc[i].fn(r->loc[i].ctx, &r->loc[i]);
}

/* the ITSP's one target becomes that name; its settings are as they were */
__attribute__((unused)) static void rig_named(struct rig *r, const char *host, const char *transport)
{
	r->targets[1][0].host = str_z(host);
	r->targets[1][0].port = 0;
	r->targets[1][0].transport = str_z(transport);
	r->trunks[1].n_targets = 1;
	rig_compile(r);
}

/* lets ms pass, running every timer at its own time */
static void rig_pass(struct rig *r, int64_t ms)
{
	int64_t end = r->clock.mono_us + ms * 1000;

	for (;;) {
		int64_t next = timers_next_us(&r->timers);

		if (next > end)
			break;
		if (next > r->clock.mono_us) {
			r->clock.wall_us += next - r->clock.mono_us;
			r->clock.mono_us = next;
		}
		timers_advance(&r->timers);
	}
	r->clock.wall_us += end - r->clock.mono_us;
	r->clock.mono_us = end;
	timers_advance(&r->timers);
}

/* everything is over: nothing may be left behind */
static void rig_end(struct rig *r)
{
	rig_pass(r, 70000);
	assert_int_equal(b2b_call_count(r->b2b), 0);
	assert_int_equal(b2b_leg_count(r->b2b), 0);
	assert_int_equal(txn_count_srv(b2b_txn(r->b2b)), 0);
	assert_int_equal(txn_count_cli(b2b_txn(r->b2b)), 0);
	assert_int_equal(media_call_count(r->media), 0);
	assert_int_equal(media_pairs_in_use(r->media), 0);
	assert_int_equal(r->timers.n, 0);
	b2b_free(r->b2b);
	auth_free(r->auth);
	media_free(r->media);
	policy_unref(r->policy);
	logger_fini(&r->logger);
	for (unsigned i = 0; i < r->n_sent; i++)
		free(r->sent[i].text);
	free(r);
}

static void rig_rx_raw(struct rig *r, int realm, const char *from, const char *text, size_t len)
{
	struct net_path p = {.proto = r->rx_proto, .conn = r->rx_conn, .realm = (uint8_t)realm, .remote = rig_addr(from),
	    .local = rig_local[realm + (from[0] == '[' ? 2 : 0)].bound};
	char *copy = malloc(len + 1);

	memcpy(copy, text, len);
	b2b_on_message(r->b2b, &p, copy, len, REASON_NONE);
	free(copy);
}

/* A message in C text: "\n" becomes CRLF, then Content-Length and the body are added. from "host" or "host:port". */
static void rig_rx(struct rig *r, int realm, const char *from, const char *body, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static void rig_rx(struct rig *r, int realm, const char *from, const char *body, const char *fmt, ...)
{
	char head[8192], out[20000];
	struct buf b;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	buf_init(&b, out, sizeof(out));
	for (const char *p = head; *p; p++) {
		if (*p == '\n')
			buf_chr(&b, '\r');
		buf_chr(&b, *p);
	}
	if (body && body[0] && !strstr(head, "\nContent-Type:"))
		buf_lit(&b, "Content-Type: application/sdp\r\n");
	buf_fmt(&b, "Content-Length: %zu\r\n\r\n", body ? strlen(body) : 0);
	if (body)
		buf_str(&b, str_z(body));
	assert_int_equal(buf_err(&b), 0);
	rig_rx_raw(r, realm, from, out, b.n);
}

/* next message on the wire; its start line must begin with start */
static struct sent *rig_tx(struct rig *r, const char *start)
{
	struct sent *s;

	if (r->at >= r->n_sent)
		fail_msg("nothing was sent, expected %s", start);
	s = &r->sent[r->at++];
	if (strncmp(s->text, start, strlen(start)) != 0)
		fail_msg("expected %s, sent:\n%s", start, s->text);
	return s;
}

__attribute__((unused)) static void rig_quiet(struct rig *r)
{
	if (r->at < r->n_sent)
		fail_msg("not expected:\n%s", r->sent[r->at].text);
}

/* value of the n-th header of that long name in a sent message, which may stand in its short form (RFC 3261 7.3.3);
 * "" when absent */
static const char *rig_hdr_n(struct rig *r, const struct sent *s, const char *name, int n)
{
	char *out = r->hdr_text[r->hdr_at++ % 8];
	static const char *const small[][2] = {{"Via", "v"}, {"From", "f"}, {"To", "t"}, {"Call-ID", "i"}, {"Contact", "m"},
	    {"Content-Type", "c"}, {"Content-Length", "l"}, {"Supported", "k"}};
	char key[80];
	const char *p = s->text;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	for (size_t i = 0; i < ARRAY_LEN(small) && !strstr(p, key); i++)
		if (strcmp(small[i][0], name) == 0)
			snprintf(key, sizeof(key), "\r\n%s: ", small[i][1]);
	out[0] = '\0';
	while ((p = strstr(p, key)) != NULL) {
		p += strlen(key);
		if (n-- == 0) {
			snprintf(out, sizeof(r->hdr_text[0]), "%.*s", (int)strcspn(p, "\r"), p);
			break;
		}
	}
	return out;
}

static const char *rig_hdr(struct rig *r, const struct sent *s, const char *name)
{
	return rig_hdr_n(r, s, name, 0);
}

__attribute__((unused)) static const char *rig_body(const struct sent *s)
{
	const char *p = strstr(s->text, "\r\n\r\n");

	return p ? p + 4 : "";
}

/* tag of a From or To value */
__attribute__((unused)) static const char *rig_tag(struct rig *r, const char *value)
{
	char *out = r->hdr_text[r->hdr_at++ % 8];
	const char *p = strstr(value, ";tag=");

	snprintf(out, sizeof(r->hdr_text[0]), "%s", p ? p + 5 : "");
	return out;
}

/* The far end answers a request we sent: Via, From, To (with tag), Call-ID, CSeq as they stand in it. */
static void rig_answer(struct rig *r, const struct sent *req, const char *status, const char *to_tag,
    const char *extra, const char *body)
{
	char from[ADDR_TEXT_MAX];
	const char *to = rig_hdr(r, req, "To");
	uint8_t proto = r->rx_proto;
	uint32_t conn = r->rx_conn;

	r->rx_proto = req->to.proto;
	r->rx_conn = req->to.conn;
	addr_text(&req->to.remote, from);
	rig_rx(r, req->to.realm, from, body, "SIP/2.0 %s\nVia: %s\nFrom: %s\nTo: %s%s%s\nCall-ID: %s\nCSeq: %s\n%s", status,
	    rig_hdr(r, req, "Via"), rig_hdr(r, req, "From"), to, to_tag[0] && !strstr(to, ";tag=") ? ";tag=" : "",
	    strstr(to, ";tag=") ? "" : to_tag, rig_hdr(r, req, "Call-ID"), rig_hdr(r, req, "CSeq"), extra);
	r->rx_proto = proto;
	r->rx_conn = conn;
}

static const char sdp_a[] = "v=0\r\no=alice 1 1 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
                            "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
                            "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
static const char sdp_b[] = "v=0\r\no=bob 9 9 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
                            "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                            "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

#define INVITE_HEAD(branch, call_id) \
	"INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bK" branch "\n" \
	"From: \"Alice A.\" <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: " call_id \
	"\nCSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:alice@198.51.100.10:5060>\n"

/* An established call pbx -> itsp. */
struct up {
	struct sent *invite_b, *ok_a, *ack_b;
	char a_to_tag[64]; /* our tag on leg A */
};

__attribute__((unused)) static struct up rig_call_up(struct rig *r, const char *call_id)
{
	struct up u;

	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKi%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: %s\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:alice@198.51.100.10:5060>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE\n",
	    ++r->branch, call_id);
	u.invite_b = rig_tx(r, "INVITE ");
	rig_answer(r, u.invite_b, "180 Ringing", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_answer(r, u.invite_b, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\nAllow: INVITE, ACK, BYE, CANCEL\n", sdp_b);
	/* either order of the two is fine */
	for (int i = 0; i < 2; i++) {
		struct sent *s = &r->sent[r->at + (unsigned)i];

		assert_true(r->at + (unsigned)i < r->n_sent);
		if (strncmp(s->text, "ACK ", 4) == 0)
			u.ack_b = s;
		else
			u.ok_a = s;
	}
	r->at += 2;
	assert_memory_equal(u.ok_a->text, "SIP/2.0 200", 11);
	snprintf(u.a_to_tag, sizeof(u.a_to_tag), "%s", rig_tag(r, rig_hdr(r, u.ok_a, "To")));
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKk%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: %s\n"
	    "CSeq: 1 ACK\nMax-Forwards: 70\n",
	    ++r->branch, u.a_to_tag, call_id);
	rig_quiet(r);
	return u;
}

/* A request of the PBX in that call; extra lines with "\n". */
__attribute__((unused)) static void rig_a_request(struct rig *r, const struct up *u, const char *call_id, const char *method, unsigned cseq,
    const char *extra, const char *body)
{
	rig_rx(r, 0, "198.51.100.10", body,
	    "%s sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKr%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: %s\n"
	    "CSeq: %u %s\nMax-Forwards: 70\n%s",
	    method, ++r->branch, u->a_to_tag, call_id, cseq, method, extra);
}

/* A request of the ITSP in that call. */
__attribute__((unused)) static void rig_b_request(struct rig *r, const struct up *u, const char *method, unsigned cseq, const char *extra,
    const char *body)
{
	rig_rx(r, 1, "203.0.113.20", body,
	    "%s sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKs%u\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: %u %s\nMax-Forwards: 70\n%s",
	    method, ++r->branch, rig_hdr(r, u->invite_b, "To"), rig_hdr(r, u->invite_b, "From"),
	    rig_hdr(r, u->invite_b, "Call-ID"), cseq, method, extra);
}

/* ACK to a non-2xx: same branch as the last request of that side, when that was the last one made here */
__attribute__((unused)) static void rig_ack_failure(struct rig *r, const struct up *u, bool from_a, const char *call_id,
    unsigned cseq)
{
	r->branch--;
	if (from_a)
		rig_a_request(r, u, call_id, "ACK", cseq, "", NULL);
	else
		rig_b_request(r, u, "ACK", cseq, "", NULL);
}

/* ends the call from the PBX */
__attribute__((unused)) static void rig_hang_up(struct rig *r, const struct up *u, const char *call_id, unsigned cseq)
{
	struct sent *bye = NULL;

	rig_a_request(r, u, call_id, "BYE", cseq, "", NULL);
	for (; r->at < r->n_sent; r->at++)
		if (strncmp(r->sent[r->at].text, "BYE ", 4) == 0)
			bye = &r->sent[r->at];
	assert_non_null(bye);
	rig_answer(r, bye, "200 OK", "", "", NULL);
}

/* next message with that start among those not looked at yet; the ones before it are skipped */
__attribute__((unused)) static struct sent *rig_find(struct rig *r, const char *start)
{
	while (r->at < r->n_sent && strncmp(r->sent[r->at].text, start, strlen(start)) != 0)
		r->at++;
	return rig_tx(r, start);
}

/* how many messages with that start were sent since message number `since` */
__attribute__((unused)) static unsigned rig_count(const struct rig *r, unsigned since, const char *start)
{
	unsigned n = 0;

	for (; since < r->n_sent; since++)
		n += strncmp(r->sent[since].text, start, strlen(start)) == 0;
	return n;
}

/* An INVITE of the PBX outside of any dialog; its branch is z9hG4bKv and r->branch. */
__attribute__((unused)) static void rig_invite(struct rig *r, const char *call_id, const char *extra, const char *body)
{
	rig_rx(r, 0, "198.51.100.10", body,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/%s 198.51.100.10:5060;branch=z9hG4bKv%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: %s\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:alice@198.51.100.10:5060>\n%s",
	    r->rx_proto == NET_TCP ? "TCP" : "UDP", ++r->branch, call_id, extra);
}

/* CANCEL for the INVITE that rig_invite() sent with that branch */
__attribute__((unused)) static void rig_cancel(struct rig *r, unsigned branch, const char *call_id, const char *extra)
{
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "CANCEL sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKv%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: %s\n"
	    "CSeq: 1 CANCEL\nMax-Forwards: 70\n%s",
	    branch, call_id, extra);
}

/* remembers our tag of an answer to the PBX and the INVITE to the ITSP, for requests in the dialogs */
__attribute__((unused)) static struct up rig_up(struct rig *r, struct sent *invite_b, struct sent *answer_a)
{
	struct up u = {.invite_b = invite_b, .ok_a = answer_a};

	snprintf(u.a_to_tag, sizeof(u.a_to_tag), "%s", rig_tag(r, rig_hdr(r, answer_a, "To")));
	return u;
}

#endif
