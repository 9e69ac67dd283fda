/* world.h - a media room with a fake relay, one call, and short verbs for offers and answers. */
#ifndef TESTS_MEDIA_WORLD_H
#define TESTS_MEDIA_WORLD_H

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "fake_relay.h"
#include "media/session.h"

#define A MEDIA_A
#define B MEDIA_B

struct world {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct env env;
	struct media_realm_cfg realms[2];
	struct media_cfg cfg;
	struct media *m;
	struct media_call *mc;
	struct media_side_cfg side[2];
	char text[2][70000]; /* last SDP we made for each side, with a NUL */
};

static inline struct addr ip(const char *z)
{
	struct addr a;

	if (addr_parse_ip(str_z(z), 0, &a) < 0)
		abort();
	return a;
}

/* realm 0: 203.0.113.1 and 2001:db8:1::1 (side A), realm 1: 198.51.100.1 and 2001:db8:2::1 (side B) */
static inline void world_init(struct world *w)
{
	enum reason why = REASON_NONE;

	memset(w, 0, sizeof(*w));
	w->clock.mono_us = 1000000;
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, 7);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng};
	w->realms[0] = (struct media_realm_cfg){.name = S("pbx"), .ip4 = ip("203.0.113.1"),
	    .ip6 = ip("2001:db8:1::1"), .port_min = 20000, .port_max = 30001};
	w->realms[1] = (struct media_realm_cfg){.name = S("itsp"), .ip4 = ip("198.51.100.1"),
	    .ip6 = ip("2001:db8:2::1"), .port_min = 20000, .port_max = 30001};
	w->cfg = (struct media_cfg){.realms = w->realms, .n_realms = 2};
	w->m = media_new(&w->env, &w->cfg, &why);
	assert_non_null(w->m);
	w->side[A] = (struct media_side_cfg){.realm = 0, .family = AF_INET, .signalling = ip("192.0.2.10"),
	    .timeout_s = 60};
	w->side[B] = (struct media_side_cfg){.realm = 1, .family = AF_INET, .signalling = ip("192.0.2.20"),
	    .timeout_s = 60};
	w->mc = media_call_new(w->m, S("c1"));
	assert_non_null(w->mc);
}

static inline void world_open(struct world *w)
{
	assert_int_equal(media_side_open(w->mc, A, &w->side[A]), REASON_NONE);
	assert_int_equal(media_side_open(w->mc, B, &w->side[B]), REASON_NONE);
}

static inline void world_fini(struct world *w)
{
	media_call_free(w->mc);
	assert_int_equal(media_call_count(w->m), 0);
	assert_int_equal(media_pairs_in_use(w->m), 0);
	assert_int_equal(w->m->exchanges.live_bytes, 0);
	assert_int_equal(w->m->view_bytes, 0);
	media_free(w->m);
}

/* a whole description from its lines behind t=, one per \n; "c=" first when wanted */
static inline struct str sdp_of(char *text, size_t cap, const char *host, const char *rest)
{
	int n = snprintf(text, cap, "v=0\r\no=ua 1 1 IN IP%c %s\r\ns=secret-name\r\nc=IN IP%c %s\r\nt=0 0\r\n%s",
	    strchr(host, ':') ? '6' : '4', host, strchr(host, ':') ? '6' : '4', host, rest);

	return str_n(text, (size_t)n);
}

#define SDP(host, rest) sdp_of((char[4096]){0}, 4096, host, rest)

static inline enum reason local(struct world *w, enum media_side s, bool offer)
{
	struct buf b;
	enum reason r;

	buf_init(&b, w->text[s], sizeof(w->text[s]) - 1);
	r = offer ? media_local_offer(w->mc, s, &b) : media_local_answer(w->mc, s, &b);
	w->text[s][b.n] = '\0';
	return r;
}

static inline enum reason reoffer(struct world *w, enum media_side s)
{
	struct buf b;
	enum reason r;

	buf_init(&b, w->text[s], sizeof(w->text[s]) - 1);
	r = media_reoffer(w->mc, s, &b);
	w->text[s][b.n] = '\0';
	return r;
}

/* offer from x through to an answer at x, not committed */
static inline void exchange(struct world *w, enum media_side x, struct str offer, struct str answer)
{
	enum media_side y = media_other(x);

	assert_int_equal(media_remote_offer(w->mc, x, offer), REASON_NONE);
	assert_int_equal(local(w, y, true), REASON_NONE);
	assert_int_equal(media_remote_answer(w->mc, y, answer), REASON_NONE);
	assert_int_equal(local(w, x, false), REASON_NONE);
}

static inline bool has(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = strstr(text, line); p; p = strstr(p + 1, line))
		if ((p == text || p[-1] == '\n') && p[n] == '\r' && p[n + 1] == '\n')
			return true;
	return false;
}

#define assert_line(text, line) \
	do { \
		if (!has((text), (line))) { \
			print_message("missing \"%s\" in:\n%s", (line), (text)); \
			fail(); \
		} \
	} while (0)
#define assert_no_line(text, line) assert_false(has((text), (line)))

static inline unsigned lines(const char *text, const char *prefix)
{
	unsigned n = 0;

	for (const char *p = strstr(text, prefix); p; p = strstr(p + 1, prefix))
		n += p == text || p[-1] == '\n';
	return n;
}

/* keeps a text for later comparison */
static inline void keep(char *to, size_t cap, const char *text)
{
	size_t n = strlen(text);

	assert_true(n < cap);
	memcpy(to, text, n + 1);
}

/* version in our o= line */
static inline unsigned version_of(const char *text)
{
	unsigned long long session;
	unsigned v = 0;
	const char *o = strstr(text, "o=- ");
	char *end;

	assert_non_null(o);
	session = strtoull(o + 4, &end, 10);
	(void)session;
	v = (unsigned)strtoul(end, NULL, 10);
	return v;
}

/* what happens to packets that come from side s on a stream; NULL: nothing passes */
static inline const struct relay_program *program(struct world *w, enum media_side s, unsigned stream)
{
	const struct view *v = media_view(w->mc);
	struct relay_pair *p = stream < v->n_streams ? v->streams[stream].pair[s] : NULL;

	return p && p->has_program ? &p->prog : NULL;
}

#endif
