/* client_rig.h - a registration client with a registrar that answers as told, in virtual time. */
#ifndef TESTS_UNIT_SBC_REG_CLIENT_RIG_H
#define TESTS_UNIT_SBC_REG_CLIENT_RIG_H

#include "rig.h"

#include "sbc/reg/client.h"

#define PROV "role=itsp realm=wan target=192.0.2.50@1,192.0.2.51@2 domain=itsp.example.com probe=off expires=600s "

struct world {
	struct rig r;
	struct net_ops ops;
	/* what the network was asked besides sending */
	struct {
		struct net_path path;
		uint32_t ms;
	} kept[32];
	unsigned n_kept, n_closed;
	struct targets *ts;
	struct reg_clients *cs;
	uint32_t id;
	char log[2048]; /* events */
	size_t n_log;
	unsigned n_moved; /* on_moved() */
	char last[8192]; /* the newest REGISTER */
	const char *seen_as; /* what the registrar's answers add to our Via; NULL: nothing */
};

static UNUSED void on_event(void *ctx, uint32_t trunk_id, const struct net_path *at, struct str contact, enum reason why)
{
	struct world *w = ctx;

	(void)at;
	(void)contact;
	w->n_log += (size_t)snprintf(w->log + w->n_log, sizeof(w->log) - w->n_log, "%u:%s ", trunk_id,
	    why == REASON_NONE ? "registered" : reason_info(why)->name);
}

static UNUSED void on_moved(void *ctx, uint32_t trunk_id)
{
	struct world *w = ctx;

	w->n_moved += trunk_id == w->id;
}

static const struct reg_client_user user = {on_event, on_moved};

static UNUSED int on_keep(struct net *n, const struct net_path *path, uint32_t ms)
{
	struct world *w = container_of(container_of(n, struct rig, net), struct world, r);

	assert_true(w->n_kept < ARRAY_LEN(w->kept));
	w->kept[w->n_kept].path = *path;
	w->kept[w->n_kept++].ms = ms;
	return 0;
}

static UNUSED void on_close(struct net *n, const struct net_path *path, bool now)
{
	(void)path;
	(void)now;
	container_of(container_of(n, struct rig, net), struct world, r)->n_closed++;
}

static UNUSED void use_policy(struct world *w)
{
	struct policy *p = fix_compile(&w->r.fix);

	reg_set_policy(w->r.reg, p);
	targets_set_policy(w->ts, p);
	reg_clients_set_policy(w->cs, p);
}

static UNUSED void world_init(struct world *w, const char *settings)
{
	memset(w, 0, sizeof(*w));
	rig_init(&w->r);
	w->ops = *w->r.net.ops;
	w->ops.keep = on_keep;
	w->ops.close = on_close;
	w->r.net.ops = &w->ops;
	w->id = fix_trunk(&w->r.fix, "prov", settings);
	rig_ha1(&w->r, w->id - 1, "trunk42", "itsp.example.com", "a long secret");
	w->ts = targets_new(&w->r.env, &w->r.net, w->r.txn, NULL);
	w->cs = reg_clients_new(&w->r.env, S("Postern/test"), &user, w);
	assert_non_null(w->ts);
	assert_non_null(w->cs);
	use_policy(w);
	reg_clients_set_secret(w->cs, &(struct reg_secret){{7}});
	reg_clients_start(w->cs, &w->r.net, w->r.txn, w->ts);
}

static UNUSED void world_fini(struct world *w)
{
	reg_clients_free(w->cs);
	targets_free(w->ts);
	rig_fini(&w->r);
}

/* milliseconds; what goes out is kept from 0 on */
static UNUSED void run_ms(struct world *w, int64_t ms)
{
	int64_t until = w->r.clock.mono_us + ms * 1000;

	while (w->r.clock.mono_us < until) {
		int64_t step = until - w->r.clock.mono_us < 20000 ? until - w->r.clock.mono_us : 20000;

		w->r.clock.mono_us += step;
		w->r.clock.wall_us += step;
		timers_advance(&w->r.timers);
	}
}

/* The next REGISTER within ms, or NULL; copies of one that is repeated do not count. */
static UNUSED const char *next_register(struct world *w, int64_t ms)
{
	for (int64_t t = 0; t <= ms; t += 20) {
		for (unsigned i = 0; i < w->r.n_sent; i++) {
			if (strncmp(w->r.sent[i], "REGISTER", 8) == 0 && strcmp(w->r.sent[i], w->last) != 0) {
				memcpy(w->last, w->r.sent[i], sizeof(w->last));
				w->r.sent_to[0] = w->r.sent_to[i];
				w->r.n_sent = 0;
				return w->last;
			}
		}
		w->r.n_sent = 0;
		run_ms(w, 20);
	}
	return NULL;
}

static UNUSED const char *must_register(struct world *w, int64_t ms)
{
	const char *m = next_register(w, ms);

	if (!m)
		fail_msg("no REGISTER within %lld ms", (long long)ms);
	return m;
}

/* "Name: value" of a message, without its line end */
static UNUSED struct str field(const char *m, const char *name)
{
	const char *p = strstr(m, name), *e;

	if (!p)
		return STR_NONE;
	p += strlen(name);
	e = strstr(p, "\r\n");
	return str_n(p, (size_t)(e - p));
}

static UNUSED struct str kept(struct world *w, struct str s)
{
	return str_dup(w->r.arena, s);
}

/* The registrar answers the newest REGISTER. */
static UNUSED void answer(struct world *w, const char *status, const char *lines)
{
	char text[4096];
	const char *m = w->last;
	struct net_path from = w->r.sent_to[0];
	int n = snprintf(text, sizeof(text),
	    "SIP/2.0 %s\r\nVia: %.*s%s\r\nFrom: %.*s\r\nTo: %.*s;tag=s1\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: "
	    "0\r\n\r\n",
	    status, STR(field(m, "\r\nVia: ")), w->seen_as ? w->seen_as : "", STR(field(m, "\r\nFrom: ")), STR(field(m, "\r\nTo: ")),
	    STR(field(m, "\r\nCall-ID: ")), STR(field(m, "\r\nCSeq: ")), lines);

	txn_on_message(w->r.txn, &from, text, (size_t)n, REASON_NONE);
}

#define CHALLENGE(nonce, more) \
	"WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"" nonce "\", qop=\"auth\", algorithm=SHA-256" more "\r\n"

/* 200 with our own Contact, that long */
static UNUSED void ok(struct world *w, unsigned expires, const char *more)
{
	char lines[1024];
	struct str c = field(w->last, "\r\nContact: ");
	struct str uri;

	str_cut(c, '>', &uri);
	snprintf(lines, sizeof(lines), "Contact: %.*s>;expires=%u\r\n%s", STR(uri), expires, more);
	answer(w, "200 OK", lines);
}

static UNUSED struct reg_client_view view(struct world *w)
{
	struct reg_client_view v;

	assert_true(reg_client_view(w->cs, w->id, 1, &v));
	return v;
}

#define assert_state(w, want) assert_string_equal(reg_client_state_names[view(w).state], (want))
#define assert_has(m, what) \
	do { \
		const char *ah_m = (m); \
		if (!strstr(ah_m, (what))) \
			fail_msg("no '%s' in: %s", (what), ah_m); \
	} while (0)
#define assert_lacks(m, what) assert_null(strstr((m), (what)))

static UNUSED unsigned cseq(const char *m)
{
	return (unsigned)atoi(field(m, "\r\nCSeq: ").p);
}

static UNUSED int64_t until_next_ms(struct world *w)
{
	return (view(w).next_us - w->r.clock.mono_us) / 1000;
}


#endif
