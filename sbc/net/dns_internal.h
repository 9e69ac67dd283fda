/* dns_internal.h - what the files of the DNS share. Nobody else includes it.
 *
 *   dns.c         the interface: watches, views, beginning and end
 *   dns_set.c     record sets: what an answer or a failure does to them, when they are asked again
 *   dns_ask.c     a question under way: which servers, in which order, aliases, answers
 *   dns_server.c  servers: c-ares and its sockets on the loop, who is alive
 */
#ifndef SBC_NET_DNS_INTERNAL_H
#define SBC_NET_DNS_INTERNAL_H

#include <ares.h>

#include "sbc/net/dns.h"

enum dns_count {
	DNS_C_ASKED,     /* questions sent */
	DNS_C_ANSWERED,
	DNS_C_SILENT,    /* no answer within the time for the next server */
	DNS_C_REFUSED,
	DNS_C_SERVFAIL,  /* and other failures a server says itself */
	DNS_C_STRAY,     /* answers to no question of ours: forged, or very late */
	DNS_C_MALFORMED,
	DNS_C_ALIAS_LOOP,
	DNS_C_LEFT_OUT,  /* records more than a set takes, or not readable */
	DNS_C_TRUNCATED, /* asked again by TCP */
	DNS_C_FAILED,    /* questions no server had an answer to */
	DNS_C_TURNED_STALE,
	DNS_C_GIVEN_UP,  /* stale sets dropped */
	DNS_C_NO_ROOM,   /* sets refused: too many */
	DNS_COUNTS
};

struct server {
	struct dns *d;
	struct list node; /* dns->servers */
	struct addr addr;
	ares_channel channel;
	struct htab ids;   /* struct try: what is under way */
	struct list socks;
	struct timer timeout;
	unsigned open_handles;
	unsigned read_left;
	unsigned silent;   /* in a row */
	bool down, probing, no_edns, gone;
	int64_t rest_until_us;
	struct dns_server_view seen;
};

struct sock {
	struct server *s;
	struct list node;
	uv_poll_t poll;
	ares_socket_t fd;
	bool closed;
};

struct try {
	struct hnode by_id; /* server->ids */
	struct list node;   /* ask->tries */
	struct server *s;   /* borrow; NULL: the server is gone, the try is over */
	struct ask *ask;    /* borrow; NULL: nobody waits for it */
	int64_t sent_us;
	uint16_t id, type;
	bool edns, probe, counted, said_no, over;
	char name[];
};

struct ask {
	struct dns_set *set;
	struct list node;  /* dns->waiting[low] or dns->active */
	struct list tries;
	struct timer hedge;
	struct loop_hook step;
	char *name;        /* own: where the aliases led, NULL: the set's name */
	uint32_t alias_ttl_s;
	unsigned follows, sent;
	bool active, low;
	const char *failure;
};

struct dns_set {
	struct hnode node; /* dns->sets */
	struct dns *d;
	char *name;        /* own, lower case */
	enum dns_type type;
	struct list watches;
	unsigned n_watches;
	struct ask *ask;   /* own: question under way */
	struct timer due;
	struct loop_hook tell;
	int64_t linger_until_us; /* unwatched: freed then */
	enum dns_state state;
	struct dns_record *records; /* own: block with the text behind them */
	unsigned n;
	bool no_name;
	const char *failure;
	unsigned failures, unproven; /* in a row */
	int64_t good_until_us, ask_at_us;
	uint32_t ttl_s, revision;
	struct addr server;
};

struct dns_watch {
	struct list node;
	struct dns_set *set;
	dns_fn *fn;
	void *ctx;
};

struct dns {
	struct loop *loop;
	const struct env *env;
	struct dns_cfg cfg;
	struct log log;
	struct htab sets;
	struct list servers;
	unsigned n_servers;
	unsigned open_servers;  /* not freed yet, those that are gone too */
	struct list waiting[2]; /* asks: [1] of sets whose last question failed */
	struct list active;
	unsigned n_active, n_active_low;
	struct loop_hook pump;
	struct timer pump_again;
	struct metric_set metrics;
	uint64_t counts[DNS_COUNTS];
	struct dns_reply *reply; /* own: for reading */
	bool closing;
	loop_fn *closed;
	void *closed_arg;
	struct loop_hook done;
};

static inline int64_t dns_now_us(const struct dns *d)
{
	return d->env->clock->mono_us;
}

/* ---- dns_set.c ---- */

/* The set of that name and type, made when there is none. 0, -ENFILE, -ENOMEM. */
MUST_USE int dns_set_get(struct dns *d, struct str name, enum dns_type type, struct dns_set **ret);
void dns_set_free(struct dns_set *s);
/* when the next thing happens to it by itself */
void dns_set_arm(struct dns_set *s);
int64_t dns_stale_until(const struct dns_set *s);
/* what became of its question; r may be changed */
void dns_set_good(struct dns_set *s, struct dns_reply *r, uint32_t ttl_s, const struct server *from);
void dns_set_empty(struct dns_set *s, const struct dns_reply *r, const struct server *from);
void dns_set_failed(struct dns_set *s, const char *failure);
/* those whose last question failed are asked again soon */
void dns_sets_kick(struct dns *d);

/* ---- dns_ask.c ---- */

void dns_ask_start(struct dns_set *s);
void dns_ask_end(struct ask *a);
/* dns->pump: begins questions that wait for their turn */
void dns_pump(struct loop_hook *h);
struct try *dns_try_by_id(const struct server *s, uint16_t id);

/* ---- dns_server.c ---- */

void dns_server_lives(struct server *s);
void dns_server_silent(struct server *s, const char *why);
/* after c-ares was called */
void dns_server_arm(struct server *s);
void dns_server_close(struct server *s);

#endif
