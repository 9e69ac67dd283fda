/* challenge.c - nonces without memory, credentials checked, guessing slowed down.
 *
 * A nonce is 32 characters: base64 of 8 bytes of time and serial (milliseconds of the monotonic clock in 42 bits,
 * 22 bits of serial) and 16 bytes of HMAC-SHA-256 over them, the source's address and the realm. A restart makes a
 * new key: old nonces are then stale, which costs each client one more round trip.
 *
 * The order of checks: is there a credential for our realm, does it parse, may this source and account be looked at,
 * is the nonce one that this source was sent lately, does the hash fit, and was that count used before. So a guess takes
 * a challenge that reached the one who guesses, and answers with a forged source cost nobody anything.
 */
#include "sbc/auth/challenge.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "sbc/base/base64.h"
#include "sbc/base/list.h"
#include "sbc/sip/header.h"

#define NONCE_RAW 24
#define NONCE_TEXT 32
#define NONCE_MAC 16
#define NC_WINDOW 32           /* counts that may come out of order */
#define SLOW_MAX_S 900
#define ACCOUNT_FACTOR 4       /* failures of an account, from anywhere, before strangers are slowed down */
#define FORGET_S 3600          /* without failures; of a friend: without a right password */
#define PROVED_MAX 4           /* sources that have proved themselves, per account */
#define PROVED_WAIT_S AUTH_WAIT_S /* the longest wait of one of those */
#define LINES_PER_S 10         /* of the log */

/* A nonce that was answered. */
struct seen {
	struct hnode node;
	struct list age;     /* oldest first, in auth->seen_list */
	uint64_t stamp;      /* time and serial of the nonce: unique */
	uint32_t nc;         /* highest count */
	uint32_t window;     /* bit i: nc - 1 - i was used */
};

/* A source that knew the password of an account. */
struct proved {
	uint64_t source;     /* hash */
	uint32_t failures;   /* since then */
	int64_t until_us;
};

/* A source that has shown a right password, to whatever account. */
struct friend {
	struct hnode node;
	struct list age;     /* least recently seen first, in auth->friend_list */
	uint64_t source;     /* hash */
	int64_t last_us;
};

/* Somebody who failed, or an account that is in use. */
struct guess {
	struct hnode node;
	struct list age;     /* least recently touched first, in auth->guess_list; with a proved source: proved_list */
	bool account;
	uint8_t n;           /* of key */
	char key[64];        /* IP bytes, or (beginning of) the account's name */
	uint32_t failures;
	int64_t until_us;    /* not looked at before */
	int64_t last_us;
	uint8_t n_proved;
	struct proved proved[PROVED_MAX];
};

struct auth {
	const struct env *env;
	struct auth_cfg cfg;
	struct log log;
	uint8_t key[32];
	uint32_t serial;
	struct htab seen, guess, friends;
	struct list seen_list, guess_list, proved_list; /* so that guesses do not push out accounts in use */
	struct list friend_list;
	unsigned n_seen, n_guess, n_proved, n_friends;
	int64_t lines_s;     /* second of the clock in which n_lines were written */
	unsigned n_lines;
	uint64_t floor;      /* nonces with an older stamp are stale */
	uint64_t metrics[AUTH_METRICS];
	struct metric_set set;
	EVP_MAC_CTX *mac;
};

static const char *const metric_names[AUTH_METRICS] = {"challenges", "good", "bad", "stale", "not_looked_at"};

/* ------------------------------------------------------------------ life */

struct auth *auth_new(const struct env *env, const struct auth_cfg *cfg)
{
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char[]){"SHA256"}, 0), OSSL_PARAM_construct_end()};
	struct auth *a = calloc(1, sizeof(*a));
	EVP_MAC *hmac;

	if (!a)
		return NULL;
	a->env = env;
	a->cfg = *cfg;
	a->log = (struct log){.to = env->logger, .area = LOG_SIP};
	a->cfg.nonce_s = cfg->nonce_s ? cfg->nonce_s : 300;
	a->cfg.seen_max = cfg->seen_max ? cfg->seen_max : 65536;
	a->cfg.guess_max = cfg->guess_max ? cfg->guess_max : 16384;
	a->cfg.tries = cfg->tries ? cfg->tries : 5;
	list_init(&a->seen_list);
	list_init(&a->guess_list);
	list_init(&a->proved_list);
	list_init(&a->friend_list);
	rng_bytes(env->rng, a->key, sizeof(a->key));
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	a->mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	if (!a->mac || EVP_MAC_init(a->mac, a->key, sizeof(a->key), params) != 1 || htab_init(&a->seen, 64) < 0 ||
	    htab_init(&a->guess, 64) < 0 || htab_init(&a->friends, 64) < 0) {
		auth_free(a);
		return NULL;
	}
	a->set = (struct metric_set){.area = "auth", .names = metric_names, .values = a->metrics, .n = AUTH_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &a->set);
	return a;
}

static void seen_free(struct auth *a, struct seen *s)
{
	htab_del(&a->seen, &s->node);
	list_del(&s->age);
	a->n_seen--;
	free(s);
}

static void guess_free(struct auth *a, struct guess *g)
{
	htab_del(&a->guess, &g->node);
	list_del(&g->age);
	if (g->n_proved)
		a->n_proved--;
	else
		a->n_guess--;
	free(g);
}

static void friend_free(struct auth *a, struct friend *f)
{
	htab_del(&a->friends, &f->node);
	list_del(&f->age);
	a->n_friends--;
	free(f);
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	list_each(l, &a->seen_list)
	{
		seen_free(a, container_of(l, struct seen, age));
	}
	list_each(m, &a->guess_list)
	{
		guess_free(a, container_of(m, struct guess, age));
	}
	list_each(p, &a->proved_list)
	{
		guess_free(a, container_of(p, struct guess, age));
	}
	list_each(f, &a->friend_list)
	{
		friend_free(a, container_of(f, struct friend, age));
	}
	metrics_del(&a->set);
	htab_fini(&a->seen);
	htab_fini(&a->guess);
	htab_fini(&a->friends);
	EVP_MAC_CTX_free(a->mac);
	OPENSSL_cleanse(a->key, sizeof(a->key));
	free(a);
}

uint64_t auth_metric(const struct auth *a, enum auth_metric m)
{
	return a->metrics[m];
}

/* ------------------------------------------------------------------ nonces */

static bool nonce_mac(
    struct auth *a, const uint8_t stamp[8], struct str realm, const struct addr *source, uint8_t ret[NONCE_MAC])
{
	struct str ip = source ? addr_ip_bytes(source) : STR_NONE;
	uint8_t full[32], n = (uint8_t)ip.n;
	size_t got;

	if (EVP_MAC_init(a->mac, NULL, 0, NULL) != 1 || EVP_MAC_update(a->mac, stamp, 8) != 1 ||
	    EVP_MAC_update(a->mac, &n, 1) != 1 || (n && EVP_MAC_update(a->mac, (const uint8_t *)ip.p, n) != 1) ||
	    (realm.n && EVP_MAC_update(a->mac, (const uint8_t *)realm.p, realm.n) != 1) ||
	    EVP_MAC_final(a->mac, full, &got, sizeof(full)) != 1)
		return false;
	memcpy(ret, full, NONCE_MAC);
	return true;
}

static void put_nonce(struct auth *a, struct str realm, const struct addr *source, struct buf *b)
{
	uint64_t stamp = (uint64_t)(a->env->clock->mono_us / 1000) << 22 | (a->serial++ & 0x3fffff);
	uint8_t raw[NONCE_RAW];

	for (int i = 0; i < 8; i++)
		raw[i] = (uint8_t)(stamp >> (56 - 8 * i));
	if (!nonce_mac(a, raw, realm, source, raw + 8)) {
		buf_fail(b);
		return;
	}
	base64_put(b, raw, sizeof(raw));
}

/* Ours, for this realm and source, and not too old. */
static bool nonce_fresh(
    struct auth *a, struct str nonce, struct str realm, const struct addr *source, uint64_t *ret_stamp)
{
	uint8_t raw[NONCE_RAW], mac[NONCE_MAC];
	uint64_t stamp = 0;
	int64_t age_ms;
	size_t n;

	if (nonce.n != NONCE_TEXT || !base64_get(nonce, raw, sizeof(raw), &n) || !nonce_mac(a, raw, realm, source, mac) ||
	    CRYPTO_memcmp(mac, raw + 8, NONCE_MAC) != 0)
		return false;
	for (int i = 0; i < 8; i++)
		stamp = stamp << 8 | raw[i];
	age_ms = a->env->clock->mono_us / 1000 - (int64_t)(stamp >> 22);
	*ret_stamp = stamp;
	return age_ms >= 0 && age_ms <= (int64_t)a->cfg.nonce_s * 1000 && stamp >= a->floor;
}

static uint64_t stamp_hash(const struct auth *a, uint64_t stamp)
{
	return hash_bytes(&a->env->hash_key, &stamp, sizeof(stamp));
}

static struct seen *seen_find(const struct auth *a, uint64_t stamp)
{
	for (struct hnode *n = htab_first(&a->seen, stamp_hash(a, stamp)); n; n = htab_next(n)) {
		struct seen *s = container_of(n, struct seen, node);

		if (s->stamp == stamp)
			return s;
	}
	return NULL;
}

static void seen_trim(struct auth *a)
{
	int64_t now_ms = a->env->clock->mono_us / 1000;

	while (!list_empty(&a->seen_list)) {
		struct seen *s = container_of(a->seen_list.next, struct seen, age);
		bool over = now_ms - (int64_t)(s->stamp >> 22) > (int64_t)a->cfg.nonce_s * 1000;

		if (!over && a->n_seen < a->cfg.seen_max)
			return;
		/* it could be used again unless all of its age are refused */
		if (!over && s->stamp >= a->floor)
			a->floor = s->stamp + 1;
		seen_free(a, s);
	}
}

/* This count of this nonce was not used before, and is now. nc 0: a client without counts, once per nonce. */
static bool nonce_use(struct auth *a, uint64_t stamp, uint32_t nc)
{
	struct seen *s = seen_find(a, stamp);
	uint32_t behind;

	if (!s) {
		seen_trim(a);
		if (stamp < a->floor)
			return false;
		s = calloc(1, sizeof(*s));
		if (!s)
			return false;
		s->stamp = stamp;
		s->nc = nc;
		htab_add(&a->seen, &s->node, stamp_hash(a, stamp));
		list_push(&a->seen_list, &s->age);
		a->n_seen++;
		return true;
	}
	if (nc > s->nc) {
		uint32_t by = nc - s->nc;

		s->window = by >= NC_WINDOW ? (by == NC_WINDOW ? 1u << (NC_WINDOW - 1) : 0) : s->window << by | 1u << (by - 1);
		s->nc = nc;
		return true;
	}
	behind = s->nc - nc;
	if (behind == 0 || behind > NC_WINDOW || (s->window >> (behind - 1) & 1))
		return false;
	s->window |= 1u << (behind - 1);
	return true;
}

/* ------------------------------------------------------------------ challenges */

void auth_challenge(struct auth *a, const struct auth_ask *ask, struct buf *headers)
{
	static const struct str qops[] = {[AUTH_INT_OFF] = {"auth", 4}, [AUTH_INT_PREFER] = {"auth,auth-int", 13},
	    [AUTH_INT_REQUIRE] = {"auth-int", 8}};

	a->metrics[AUTH_CHALLENGES]++;
	for (int i = DIGEST_ALGS - 1; i >= 0; i--) {
		if (!(ask->algs & AUTH_ALG(i)))
			continue;
		buf_str(headers, ask->proxy ? S("Proxy-Authenticate: Digest realm=\"") : S("WWW-Authenticate: Digest realm=\""));
		buf_str(headers, ask->realm);
		buf_lit(headers, "\", nonce=\"");
		put_nonce(a, ask->realm, ask->source, headers);
		buf_lit(headers, "\", qop=\"");
		buf_str(headers, qops[ask->integrity]);
		buf_lit(headers, "\", algorithm=");
		buf_str(headers, digest_alg_name((enum digest_alg)i));
		if (ask->stale)
			buf_lit(headers, ", stale=true");
		buf_lit(headers, "\r\n");
	}
}

/* ------------------------------------------------------------------ guessing */

static uint64_t guess_hash(const struct auth *a, bool account, struct str key)
{
	return hash_str(&a->env->hash_key, key) ^ (account ? 0x9e3779b97f4a7c15ull : 0);
}

static struct guess *guess_find(const struct auth *a, bool account, struct str key)
{
	key = str_head(key, sizeof(((struct guess *)NULL)->key));
	for (struct hnode *n = htab_first(&a->guess, guess_hash(a, account, key)); n; n = htab_next(n)) {
		struct guess *g = container_of(n, struct guess, node);

		if (g->account == account && str_eq(str_n(g->key, g->n), key))
			return g;
	}
	return NULL;
}

/* Made when there is none; NULL only without memory. The one that was quiet for the longest makes room. */
static struct guess *guess_get(struct auth *a, bool account, struct str key)
{
	struct guess *g = guess_find(a, account, key);

	key = str_head(key, sizeof(g->key));
	if (!g) {
		if (a->n_guess >= a->cfg.guess_max)
			guess_free(a, container_of(a->guess_list.next, struct guess, age));
		g = calloc(1, sizeof(*g));
		if (!g)
			return NULL;
		g->account = account;
		g->n = (uint8_t)key.n;
		if (key.n)
			memcpy(g->key, key.p, key.n);
		htab_add(&a->guess, &g->node, guess_hash(a, account, key));
		a->n_guess++;
	} else {
		list_del(&g->age);
	}
	list_push(g->n_proved ? &a->proved_list : &a->guess_list, &g->age);
	if (a->env->clock->mono_us - g->last_us > (int64_t)FORGET_S * 1000000)
		g->failures = 0;
	return g;
}

static uint64_t source_id(const struct auth *a, const struct addr *source)
{
	return hash_str(&a->env->hash_key, addr_ip_bytes(source));
}

static struct proved *proved(struct guess *g, uint64_t source)
{
	for (unsigned i = 0; g && i < g->n_proved; i++)
		if (g->proved[i].source == source)
			return &g->proved[i];
	return NULL;
}

static bool waits(const struct auth *a, const struct guess *g)
{
	return g && a->env->clock->mono_us < g->until_us;
}

/* Not looked at: the source guessed too often; or the account was guessed at too often and this source has never
 * proved itself there. A source that has is judged by its own failures at that account alone: *ret_own then. */
static bool slowed(const struct auth *a, const struct addr *source, struct str user, bool *ret_own)
{
	struct guess *acct = guess_find(a, true, user);
	const struct guess *src = guess_find(a, false, addr_ip_bytes(source));
	const struct proved *own = proved(acct, source_id(a, source));

	*ret_own = own;
	if (own)
		return a->env->clock->mono_us < own->until_us;
	return waits(a, src) || waits(a, acct);
}

static bool may_log(struct auth *a)
{
	int64_t now_s = a->env->clock->mono_us / 1000000;

	if (a->lines_s != now_s) {
		a->lines_s = now_s;
		a->n_lines = 0;
	}
	return a->n_lines++ < LINES_PER_S;
}

/* after `over` failures too many */
static uint32_t wait_after(uint32_t over, uint32_t most_s)
{
	return over >= 10 || 1u << over > most_s ? most_s : 1u << over;
}

static void note_failure(struct auth *a, struct guess *g, uint32_t tries, struct str shown)
{
	uint32_t over, wait_s;
	struct log_quote q;

	if (!g)
		return;
	g->failures++;
	g->last_us = a->env->clock->mono_us;
	if (g->failures < tries)
		return;
	over = g->failures - tries;
	wait_s = wait_after(over, SLOW_MAX_S);
	g->until_us = g->last_us + (int64_t)wait_s * 1000000;
	if (may_log(a))
		log_warn(&a->log, "auth_slowed", "%s=%s failures=%u wait_s=%u", g->account ? "account" : "source",
		    log_quoted(&q, shown), g->failures, wait_s);
}

static void failed(struct auth *a, const struct addr *source, struct str user)
{
	struct guess *acct = guess_get(a, true, user);
	uint64_t id = source_id(a, source);
	struct proved *own = proved(acct, id);
	char text[ADDR_TEXT_MAX];

	a->metrics[AUTH_BAD]++;
	if (own) { /* its own trunk with a changed password, or a neighbour behind the same address */
		struct log_quote q;

		if (++own->failures < a->cfg.tries)
			return;
		own->until_us =
		    a->env->clock->mono_us + (int64_t)wait_after(own->failures - a->cfg.tries, PROVED_WAIT_S) * 1000000;
		if (may_log(a))
			log_warn(&a->log, "auth_slowed", "account=%s at_home=%s failures=%u", log_quoted(&q, user),
			    addr_text(source, text), own->failures);
		return;
	}
	note_failure(a, acct, a->cfg.tries * ACCOUNT_FACTOR, user);
	note_failure(a, guess_get(a, false, addr_ip_bytes(source)), a->cfg.tries, str_z(addr_text(source, text)));
}

static struct friend *friend_find(const struct auth *a, uint64_t source)
{
	for (struct hnode *n = htab_first(&a->friends, source); n; n = htab_next(n)) {
		struct friend *f = container_of(n, struct friend, node);

		if (f->source == source)
			return f;
	}
	return NULL;
}

static void befriend(struct auth *a, uint64_t source)
{
	struct friend *f = friend_find(a, source);

	if (!f) {
		if (a->n_friends >= a->cfg.guess_max)
			friend_free(a, container_of(a->friend_list.next, struct friend, age));
		f = calloc(1, sizeof(*f));
		if (!f)
			return;
		f->source = source;
		htab_add(&a->friends, &f->node, source);
		a->n_friends++;
	} else {
		list_del(&f->age);
	}
	f->last_us = a->env->clock->mono_us;
	list_push(&a->friend_list, &f->age);
}

bool auth_knows(const struct auth *a, const struct addr *source)
{
	const struct friend *f = friend_find(a, source_id(a, source));

	return f && a->env->clock->mono_us - f->last_us <= (int64_t)FORGET_S * 1000000;
}

void auth_prove(struct auth *a, const struct addr *source, struct str user)
{
	uint64_t id = source_id(a, source);
	struct guess *acct = guess_get(a, true, user);
	struct proved *own = proved(acct, id);

	befriend(a, id);
	if (!acct)
		return;
	if (own) {
		own->failures = 0;
		own->until_us = 0;
		return;
	}
	if (acct->n_proved == 0) {
		if (a->n_proved >= a->cfg.guess_max)
			guess_free(a, container_of(a->proved_list.next, struct guess, age));
		list_del(&acct->age);
		list_push(&a->proved_list, &acct->age);
		a->n_guess--;
		a->n_proved++;
	}
	acct->last_us = a->env->clock->mono_us;
	if (acct->n_proved == PROVED_MAX)
		memmove(acct->proved, acct->proved + 1, sizeof(acct->proved[0]) * --acct->n_proved);
	acct->proved[acct->n_proved++] = (struct proved){.source = id};
}

static void succeeded(struct auth *a, const struct addr *source, struct str user)
{
	struct guess *src = guess_find(a, false, addr_ip_bytes(source));

	a->metrics[AUTH_GOOD]++;
	if (src)
		guess_free(a, src);
	auth_prove(a, source, user);
}

/* the i-th of the list; *i: less by those there are */
static bool slowed_at(const struct auth *a, const struct list *all, unsigned *i, struct auth_slowed *ret)
{
	for (const struct list *l = all->next; l != all; l = l->next) {
		const struct guess *g = container_of(l, struct guess, age);
		struct buf b;

		const struct proved *own = NULL;

		for (unsigned k = 0; k < g->n_proved && !own; k++)
			if (a->env->clock->mono_us < g->proved[k].until_us)
				own = &g->proved[k];
		if ((!own && !waits(a, g)) || (*i)-- > 0)
			continue;
		memset(ret, 0, sizeof(*ret));
		buf_init(&b, ret->who, sizeof(ret->who) - 1);
		if (g->account) {
			buf_lit(&b, "account ");
			buf_escaped(&b, str_n(g->key, g->n), 40);
			if (own)
				buf_lit(&b, " at its own address");
		} else {
			struct addr addr;

			memset(&addr, 0, sizeof(addr));
			addr.sa.sa_family = g->n == 16 ? AF_INET6 : AF_INET;
			if (g->n == 16)
				memcpy(&addr.in6.sin6_addr, g->key, 16);
			else
				memcpy(&addr.in4.sin_addr, g->key, 4);
			buf_lit(&b, "source ");
			addr_put_ip(&b, &addr);
		}
		ret->failures = own ? own->failures : g->failures;
		ret->until_us = own ? own->until_us : g->until_us;
		return true;
	}
	return false;
}

bool auth_slowed(const struct auth *a, unsigned i, struct auth_slowed *ret)
{
	return slowed_at(a, &a->guess_list, &i, ret) || slowed_at(a, &a->proved_list, &i, ret);
}

/* ------------------------------------------------------------------ credentials */

/* host of "sip:user@host:port;params" */
static bool uri_host(struct str uri, struct str *ret)
{
	struct sip_uri u;

	if (sip_uri_parse(uri, &u) < 0)
		return false;
	*ret = u.host;
	return true;
}

/* The credentials for our realm; -ENOENT, -EBADMSG */
static int find(const struct auth_check *c, struct digest_fields *ret)
{
	enum sip_hdr_id id = c->proxy ? SIP_H_PROXY_AUTHORIZATION : SIP_H_AUTHORIZATION;

	for (const struct sip_hdr *h = sip_hdr(c->msg, id); h; h = sip_hdr_next(c->msg, h)) {
		int e = digest_parse(h->value, ret);

		if (e == -ENOTSUP) /* Bearer, NoOneKnows: as if it were not there (AUT-16) */
			continue;
		if (e < 0)
			return e;
		if (str_eq(ret->realm, c->realm))
			return 0;
	}
	return -ENOENT;
}

static bool read_nc(struct str s, uint32_t *ret)
{
	uint32_t v = 0;

	if (s.n != 8)
		return false;
	for (size_t i = 0; i < 8; i++) {
		char c = chr_lower(s.p[i]);

		if (!chr_digit(c) && (c < 'a' || c > 'f'))
			return false;
		v = v << 4 | (uint32_t)(chr_digit(c) ? c - '0' : c - 'a' + 10);
	}
	*ret = v;
	return v > 0;
}

enum auth_verdict auth_check(struct auth *a, const struct auth_check *c, struct str *ret_user)
{
	struct auth_account account;
	struct digest_fields f;
	struct digest_in in;
	struct digest_hex want;
	struct str host;
	uint64_t stamp = 0;
	uint32_t nc = 0;
	bool known, good, open, own, home;
	int e = find(c, &f);

	*ret_user = STR_NONE;
	if (e == -ENOENT)
		return AUTH_ABSENT;
	if (e < 0 || !f.username.n || !f.nonce.n || !f.uri.n || !f.response.n || f.userhash)
		return AUTH_MALFORMED;
	memset(&in, 0, sizeof(in));
	if (f.qop.n == 0) {
		if (!c->allow_no_qop)
			return AUTH_MALFORMED;
		in.qop = DIGEST_QOP_NONE;
	} else {
		if (!str_ieq(f.qop, S("auth")) && !str_ieq(f.qop, S("auth-int")))
			return AUTH_MALFORMED;
		in.qop = str_ieq(f.qop, S("auth")) ? DIGEST_QOP_AUTH : DIGEST_QOP_AUTH_INT;
		if (!read_nc(f.nc, &nc) || !f.cnonce.n)
			return AUTH_MALFORMED;
	}
	if (digest_alg_parse(f.algorithm, &in.alg) < 0 || !(c->algs & AUTH_ALG(in.alg)))
		return AUTH_MALFORMED; /* none that was offered */
	if (!uri_host(f.uri, &host) || (c->uri_ok && !c->uri_ok(c->ctx, host)))
		return AUTH_MALFORMED;
	*ret_user = f.username;
	home = slowed(a, c->source, f.username, &own);
	if (home && !(c->at_home && c->at_home(c->ctx, f.username))) {
		a->metrics[AUTH_NOT_LOOKED_AT]++;
		return own ? AUTH_WAIT : AUTH_SLOWED;
	}
	/* An answer to a nonce that was not sent to this source, or long ago, says nothing: it may be forged or recorded. It
	 * is not looked at, so that its failure slows nobody down and nobody learns whether the password was right. */
	if (!nonce_fresh(a, f.nonce, c->realm, c->source, &stamp)) {
		a->metrics[AUTH_STALES]++;
		return AUTH_STALE;
	}
	memset(&account, 0, sizeof(account));
	known = c->lookup(c->ctx, f.username, &account);
	/* an account without a hash of that kind, or none at all, is computed all the same */
	in.ha1 = account.ha1[in.alg];
	if (!known || in.ha1.n == 0) {
		known = false;
		in.ha1.n = in.alg == DIGEST_MD5 ? 32 : 64;
		memset(in.ha1.hex, '0', in.ha1.n);
	}
	in.method = c->msg->method_name;
	in.uri = f.uri;
	in.nonce = f.nonce;
	in.nc = f.nc;
	in.cnonce = f.cnonce;
	in.body = c->msg->body;
	good = digest_response(&in, &want) == 0 && digest_eq(f.response, &want) && known;
	open = account.integrity == AUTH_INT_REQUIRE && in.qop != DIGEST_QOP_AUTH_INT;
	OPENSSL_cleanse(&account, sizeof(account));
	OPENSSL_cleanse(&in.ha1, sizeof(in.ha1));
	OPENSSL_cleanse(&want, sizeof(want));
	if (!good) {
		failed(a, c->source, f.username);
		return AUTH_WRONG;
	}
	if (open)
		return AUTH_MALFORMED; /* that was not offered: who made it so? */
	if (!nonce_use(a, stamp, nc)) {
		a->metrics[AUTH_STALES]++;
		return AUTH_STALE;
	}
	if (home) /* says nothing of who else is at that address: that one waits on */
		a->metrics[AUTH_GOOD]++;
	else
		succeeded(a, c->source, f.username);
	return AUTH_OK;
}
