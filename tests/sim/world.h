/* world.h - a B2BUA on a virtual network: links that delay, lose, double and reorder, connections that break,
 * hosts that answer with ICMP, and a clock that jumps from event to event. Everything hangs on one seed.
 *
 * Two timer wheels share the clock: that of the box, which must be empty when all is over, and that of the world
 * (packets on their way, user agents). Randomness is split the same way, so that the box drawing one number more
 * does not change the weather.
 *
 * lan (realm 0): the box is 198.51.100.1, its trunk "pbx" one host. wan (realm 1): 203.0.113.1, trunk "itsp" with
 * two targets.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "sbc/b2b/call.h"
#include "sbc/policy/compile.h"

struct world;
struct sim_host;

struct sim_weather {
	uint32_t delay_us, jitter_us;
	uint32_t loss_ppm, double_ppm;
};

/* A connection between the box and a host. */
struct sim_conn {
	struct list node;
	uint32_t id;
	struct sim_host *host;
	uint16_t port;      /* the host's end */
	bool up;
	bool ours; /* the box connected */
	int64_t last_us[2]; /* arrival of the last bytes each way: a stream keeps its order */
};

enum sim_dead {
	SIM_ALIVE,
	SIM_SILENT, /* takes everything, answers nothing */
	SIM_ICMP,   /* port unreachable, connections refused */
};

struct sim_host {
	struct world *w;
	struct list node;
	struct addr addr;
	struct addr addr6; /* so the DNS says, and what is sent there is never heard of again; none: it has no such address */
	uint8_t realm;
	bool tcp; /* listens there too, and is called by TCP when the trunk says so */
	enum sim_dead dead;
	/* text is a copy with a NUL that lives until return; conn NULL for a datagram */
	void (*on_message)(struct sim_host *h, struct sim_conn *conn, char *text, size_t n);
	/* a message from or to h was on its way when its connection was cut; as text above. NULL: nobody asks */
	void (*on_lost)(struct sim_host *h, char *text);
	void *ctx;
};

#define SIM_RECORDS 64

/* The one name of the virtual DNS: both hosts of the ITSP stand behind it, as one server or as two. */
#define SIM_NAME "trunk.sim"

struct location {
	struct world *w;
	bool used;
};

struct world {
	struct clock clock;
	struct timers box_timers, timers;
	struct rng box_rng, rng;
	struct metrics metrics;
	struct logger logger;
	struct env env;
	struct net net;
	struct net_local local[2], local6[2];
	struct locator locator;
	struct location loc[4];
	struct locate_plan plan;
	struct locate_server server[2];
	struct addr addr[2];
	struct media *media;
	struct policy *policy;
	struct b2b *b2b;
	struct sim_weather weather[2];
	struct list hosts, packets, conns;
	uint32_t next_conn;
	struct call_record records[SIM_RECORDS];
	unsigned n_records, n_answered;
	bool verbose;
	bool refused; /* a connection was, so that its request went again by UDP, behind others */
	unsigned failures;
	uint64_t packets_sent, packets_lost;
	unsigned races; /* connections that were prepared */
};

enum { SIM_PBX, SIM_ITSP_1, SIM_ITSP_2, SIM_HOSTS };
extern const char *const sim_addr[SIM_HOSTS];

/* rows may be changed between world_rows() and world_start() */
struct sim_rows {
	struct db_trunk trunks[2];
	struct db_target targets[2][2];
	struct db_setting settings[2][8];
	struct db_source sources[2];
	struct db_number number;
	struct db_route route;
	struct db_route_via via;
	struct db_rows rows;
};
void world_rows(struct sim_rows *r);
void sim_set(struct sim_rows *r, unsigned trunk, const char *key, const char *value);

/* The ITSP's one target is SIM_NAME, by that transport. */
void sim_named(struct sim_rows *r, const char *transport);

/* servers: what stands behind SIM_NAME, 0: nobody asks; tcp: over TCP.
 * aborts when out of memory: the simulation of failing allocations is elsewhere */
struct world *world_new(uint64_t seed, const struct sim_rows *rows, unsigned servers, bool tcp, bool verbose);
void world_free(struct world *w);
/* Behind SIM_NAME stands h alone, with an IPv6 address that leads nowhere before its other one. Before the first call. */
void world_dual(struct world *w, struct sim_host *h);
void world_add_host(struct world *w, struct sim_host *h);

/* Host to box. conn NULL: a datagram; else that connection, or nothing when it is down. */
void sim_send(struct sim_host *h, struct sim_conn *conn, const char *text, size_t n);
/* a living connection of h, or a new one */
struct sim_conn *sim_connect(struct sim_host *h);
/* Cuts every connection of h; what is on its way is lost. The box is told which of its messages were, as the network
 * layer tells what the peer's TCP has not acknowledged; unless they were (acked), and lost in the host all the same. told:
 * it hears as well that the connection is gone; a box that loses its host without a word does not. */
void sim_cut(struct sim_host *h, bool acked, bool told);

/* Until that time (or until nothing is left to happen), event by event; checks the box's invariants after each. */
void world_run(struct world *w, int64_t until_us);

uint32_t sim_below(struct world *w, uint32_t n);
/* true with that probability, in percent */
static inline bool sim_chance(struct world *w, uint32_t percent)
{
	return sim_below(w, 100) < percent;
}

void sim_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define SIM_CHECK(w, x, ...) \
	do { \
		if (!(x)) \
			sim_fail((w), __VA_ARGS__); \
	} while (0)

#endif
