/* rtp_main.c - RTP load through a relay: CPU per packet, loss, latency. links: media
 *
 * N calls, each two far ends on loopback that send 172-byte packets (G.711, 20 ms) to each other through the relay.
 * The relay is a process of its own on another CPU: ours, forked here with its worker threads, or any other one (-P
 * its pid, -T a table of addresses, one call a line: "END-A RELAY-A END-B RELAY-B" as ip:port). With -s SUITE the A sides
 * speak SRTP and the B sides do not; a line of the table goes on with two keys in base64, what END-A sends with and what
 * RELAY-A does. Both relays are measured the same way, so the figures of one run may be compared:
 *
 *   cpu_ns    CPU clock of the relay's process over the window, all threads, per packet that came out
 *   loss      packets that did not come out within the drain time
 *   p50, p99  from just before the send to the kernel's arrival time at the far end's socket
 *
 * Packets are due one by one at an even rate over all flows; the sender wakes every -k microseconds and sends what is
 * due, which stands for the interrupt coalescing of a network card. Loopback runs the receiving half of the stack in the
 * sender's system call: what the relay sends is charged to the relay down to the far end's socket.
 *
 * -m finds the highest rate without loss, by growing it by an eighth until packets are missing twice.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/net_tstamp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <stdalign.h>

#include "media/relay.h"
#include "sbc/base/base64.h"

#define PACKET 172
#define DRAIN_NS 300000000
#define HIST 20000 /* microseconds */

struct end {
	struct addr addr, relay;
	int fd;
	uint16_t seq;
	uint32_t ssrc;
	struct crypt_key theirs, ours; /* CRYPT_NONE: in clear */
	struct crypt *seal, *open;     /* of the generator */
};

struct bench {
	unsigned calls, workers, tick_us;
	int relay_cpu, gen_cpu;
	double pps, seconds;
	const char *table;
	pid_t pid;
	bool find_max;
	uint8_t suite; /* enum crypt_suite of the A sides */
	unsigned gather_us;
	struct end *end; /* shared with the relay process; 2 of each call, the other one is index ^ 1 */
	int ep;
	uint64_t sent, received, bad, refused;
	uint32_t hist[HIST + 1];
	uint32_t run; /* of the packets that count */
};

struct result {
	double pps, loss, cpu_ns, seconds;
	unsigned p50_us, p99_us;
	uint64_t sent, bad, refused;
	double gen_busy;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t clock_ns(clockid_t clk)
{
	struct timespec ts;

	if (clock_gettime(clk, &ts) < 0)
		die("clock");
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("affinity");
}

/* --- our relay, in a process of its own --- */

static void relay_process(struct bench *b, int ready)
{
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct logger logger;
	struct metrics metrics;
	struct env env = {.clock = &clock, .timers = &timers, .rng = &rng, .logger = &logger, .metrics = &metrics};
	struct media_realm_cfg realm[2] = {{.name = S("a"), .dscp = 46}, {.name = S("b"), .dscp = 46}};
	struct media_cfg cfg = {.realms = realm, .n_realms = 2, .workers = b->workers, .gather_us = b->gather_us};
	struct relay *r;
	enum reason why;
	char ok = 'k';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(b->relay_cpu);
	clock_refresh(&clock);
	timers_init(&timers, &clock);
	rng_init_system(&rng);
	metrics_init(&metrics);
	if (logger_init(&logger, 2, LOG_ERROR) < 0 || addr_parse_ip(S("127.71.0.2"), 0, &realm[0].ip4) < 0 ||
	    addr_parse_ip(S("127.72.0.2"), 0, &realm[1].ip4) < 0)
		exit(1);
	for (unsigned i = 0; i < 2; i++) {
		realm[i].port_min = 10000;
		realm[i].port_max = 29999;
	}
	r = relay_new(&env, &cfg, &why);
	if (!r) {
		fprintf(stderr, "relay: %s\n", reason_info(why)->text);
		exit(1);
	}
	for (unsigned c = 0; c < b->calls; c++) {
		struct relay_pair *p[2];

		for (unsigned s = 0; s < 2; s++) {
			why = relay_pair_get(r, s, AF_INET, &p[s]);
			if (why != REASON_NONE) {
				fprintf(stderr, "relay: %s\n", reason_info(why)->text);
				exit(1);
			}
			b->end[2 * c + s].relay = *relay_pair_local(p[s]);
		}
		for (unsigned s = 0; s < 2; s++) {
			struct relay_program g = {.rtp_on = true};

			memset(g.pt_map, RELAY_PT_DROP, sizeof(g.pt_map));
			g.pt_map[0] = 0;
			g.source_rtp = b->end[2 * c + s].addr;
			g.dest_rtp = b->end[2 * c + !s].addr;
			g.open = b->end[2 * c + s].theirs;
			g.seal = b->end[2 * c + !s].ours;
			if (relay_program_set(p[s], p[!s], &g) != REASON_NONE)
				exit(1);
		}
	}
	if (write(ready, &ok, 1) != 1)
		exit(1);
	for (;;)
		pause();
}

static void relay_start(struct bench *b)
{
	int ready[2];
	char ok;

	if (pipe(ready) < 0)
		die("pipe");
	b->pid = fork();
	if (b->pid < 0)
		die("fork");
	if (b->pid == 0) {
		for (unsigned i = 0; i < 2 * b->calls; i++)
			close(b->end[i].fd);
		close(b->ep);
		close(ready[0]);
		relay_process(b, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &ok, 1) != 1) {
		fprintf(stderr, "the relay did not start\n");
		exit(1);
	}
	close(ready[0]);
}

/* --- far ends --- */

static void end_open(struct bench *b, unsigned i)
{
	struct end *e = &b->end[i];
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};
	socklen_t len = sizeof(e->addr);
	int stamp = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || bind(e->fd, &e->addr.sa, addr_len(&e->addr)) < 0 ||
	    getsockname(e->fd, &e->addr.sa, &len) < 0 ||
	    setsockopt(e->fd, SOL_SOCKET, SO_TIMESTAMPING, &stamp, sizeof(stamp)) < 0 ||
	    epoll_ctl(b->ep, EPOLL_CTL_ADD, e->fd, &ev) < 0)
		die("far end");
	e->ssrc = 0x10000 + i;
}

static void end_keys(struct end *e)
{
	e->seal = e->theirs.suite ? crypt_new(&e->theirs, true) : NULL;
	e->open = e->ours.suite ? crypt_new(&e->ours, false) : NULL;
	if ((e->theirs.suite && !e->seal) || (e->ours.suite && !e->open))
		die("keys");
}

static void key_read(struct str text, uint8_t suite, struct crypt_key *ret)
{
	size_t n = 0;

	ret->suite = suite;
	if (!base64_get(base64_unpad(text), ret->key, sizeof(ret->key), &n) || n != crypt_suites[suite].key_len) {
		fprintf(stderr, "no key of %s: %.*s\n", crypt_suites[suite].name, STR(text));
		exit(1);
	}
}

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static struct str next_word(struct str *s)
{
	struct str word;

	*s = str_cut(str_trim(*s), ' ', &word);
	return word;
}

static void table_load(struct bench *b)
{
	FILE *f = fopen(b->table, "r");
	char line[512];
	unsigned c = 0;

	if (!f)
		die(b->table);
	while (c < b->calls && fgets(line, sizeof(line), f)) {
		struct str s = str_z(line);

		for (unsigned i = 0; i < 2; i++)
			if (addr_parse(next_word(&s), 0, &b->end[2 * c + i].addr) < 0 ||
			    addr_parse(next_word(&s), 0, &b->end[2 * c + i].relay) < 0) {
				fprintf(stderr, "%s: bad line: %s", b->table, line);
				exit(1);
			}
		if (b->suite) {
			key_read(next_word(&s), b->suite, &b->end[2 * c].theirs);
			key_read(next_word(&s), b->suite, &b->end[2 * c].ours);
		}
		c++;
	}
	fclose(f);
	b->calls = c;
	for (unsigned i = 0; i < 2 * c; i++)
		end_open(b, i);
}

static void setup(struct bench *b)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	b->ep = epoll_create1(EPOLL_CLOEXEC);
	b->end = shared(2 * (size_t)b->calls * sizeof(*b->end));
	if (b->table) {
		table_load(b);
	} else {
		for (unsigned i = 0; i < 2 * b->calls; i++) {
			if (addr_parse_ip(i % 2 ? S("127.72.0.1") : S("127.71.0.1"), 0, &b->end[i].addr) < 0)
				exit(1);
			end_open(b, i);
			if (b->suite && i % 2 == 0) {
				b->end[i].theirs.suite = b->end[i].ours.suite = b->suite;
				for (unsigned k = 0; k < crypt_suites[b->suite].key_len; k++) {
					b->end[i].theirs.key[k] = (uint8_t)(i * 7 + k);
					b->end[i].ours.key[k] = (uint8_t)(i * 11 + k * 3 + 1);
				}
			}
		}
		relay_start(b);
	}
	if (b->suite && !crypt_start())
		die("libsrtp");
	for (unsigned i = 0; i < 2 * b->calls; i++)
		end_keys(&b->end[i]);
	pin(b->gen_cpu);
}

/* --- packets --- */

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void send_one(struct bench *b, unsigned i, uint8_t *p)
{
	struct end *e = &b->end[i];
	alignas(16) uint8_t sealed[PACKET + CRYPT_TAIL];
	size_t n = PACKET;
	int64_t now;

	p[2] = (uint8_t)(e->seq >> 8);
	p[3] = (uint8_t)e->seq;
	put32(p + 4, e->seq * 160u);
	put32(p + 8, e->ssrc);
	put32(p + 20, b->run);
	e->seq++;
	now = clock_ns(CLOCK_REALTIME); /* that of the kernel's stamps */
	memcpy(p + 12, &now, sizeof(now));
	b->sent++;
	if (e->seal) {
		memcpy(sealed, p, PACKET);
		p = sealed;
		if (crypt_seal_rtp(e->seal, NULL, p, &n, sizeof(sealed)) != CRYPT_OK)
			b->refused++;
	}
	if (sendto(e->fd, p, n, 0, &e->relay.sa, addr_len(&e->relay)) != (ssize_t)n)
		b->refused++;
}

static void take_one(struct bench *b, unsigned i)
{
	const struct end *e = &b->end[i], *other = &b->end[i ^ 1];
	union {
		struct cmsghdr align;
		uint8_t b[128];
	} control;
	alignas(16) uint8_t p[2048];
	uint8_t want[4];
	size_t opened;
	int64_t at = 0, sent;
	struct iovec iov = {p, sizeof(p)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(e->fd, &m, 0);

	if (n < 24)
		return;
	opened = (size_t)n;
	if (e->open && (p[1] < 192 || p[1] > 223)) {
		if (crypt_open_rtp(e->open, NULL, p, &opened) != CRYPT_OK)
			b->bad++;
		n = (ssize_t)opened;
	}
	put32(want, b->run);
	if (memcmp(p + 20, want, 4) != 0)
		return; /* of a run before, or RTCP */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			at = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
		}
	put32(want, other->ssrc);
	if (n != PACKET || p[0] != 0x80 || p[1] != 0 || memcmp(p + 8, want, 4) != 0 || !at) {
		b->bad++;
		return;
	}
	memcpy(&sent, p + 12, sizeof(sent));
	at = (at - sent) / 1000;
	b->hist[at < 0 ? 0 : at > HIST ? HIST : at]++;
	b->received++;
}

static void take_all(struct bench *b)
{
	struct epoll_event ev[512];

	for (int rounds = 0; rounds < 8; rounds++) {
		int n = epoll_wait(b->ep, ev, (int)ARRAY_LEN(ev), 0);

		for (int i = 0; i < n; i++)
			take_one(b, ev[i].data.u32);
		if (n < (int)ARRAY_LEN(ev) / 8)
			return;
	}
}

static unsigned percentile(const struct bench *b, double q)
{
	uint64_t want = (uint64_t)((double)b->received * q), sum = 0;

	for (unsigned i = 0; i <= HIST; i++) {
		sum += b->hist[i];
		if (sum > want)
			return i;
	}
	return HIST;
}

static void wait_until(int64_t ns)
{
	struct timespec ts = {ns / 1000000000, ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* Sends at an even rate; what comes back within the drain time counts. */
static struct result run(struct bench *b, double pps, double seconds)
{
	int64_t tick_ns = (int64_t)b->tick_us * 1000, start, now, end, cpu, own;
	uint8_t p[PACKET] = {0x80};
	unsigned flow = 0, flows = 2 * b->calls;
	clockid_t clk;
	struct result r = {0};

	if (clock_getcpuclockid(b->pid, &clk) != 0) {
		fprintf(stderr, "no process %d\n", (int)b->pid);
		exit(1);
	}
	b->sent = b->received = b->bad = b->refused = 0;
	b->run++;
	memset(b->hist, 0, sizeof(b->hist));
	for (unsigned i = 24; i < PACKET; i++)
		p[i] = (uint8_t)(i * 7);
	cpu = clock_ns(clk);
	own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	start = now = clock_ns(CLOCK_MONOTONIC);
	end = start + (int64_t)(seconds * 1e9);
	for (int64_t due = start; now < end; due += tick_ns) {
		uint64_t want;

		now = clock_ns(CLOCK_MONOTONIC);
		if (now < due) {
			wait_until(due);
			now = clock_ns(CLOCK_MONOTONIC);
		}
		want = (uint64_t)((double)(now - start) * pps / 1e9);
		/* a stall of this machine is not made up for by one burst */
		for (unsigned n = 0; b->sent < want && n < 64; n++) {
			send_one(b, flow, p);
			flow = flow + 1 == flows ? 0 : flow + 1;
		}
		take_all(b);
	}
	r.seconds = (double)(now - start) / 1e9;
	r.gen_busy = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own) / (double)(now - start);
	for (end = now + DRAIN_NS; b->received + b->bad < b->sent && now < end; now = clock_ns(CLOCK_MONOTONIC)) {
		wait_until(now + tick_ns);
		take_all(b);
	}
	cpu = clock_ns(clk) - cpu;
	r.pps = (double)b->sent / r.seconds;
	r.loss = b->sent ? 1 - (double)b->received / (double)b->sent : 0;
	r.cpu_ns = b->received ? (double)cpu / (double)b->received : 0;
	r.p50_us = percentile(b, 0.5);
	r.p99_us = percentile(b, 0.99);
	r.sent = b->sent;
	r.bad = b->bad;
	r.refused = b->refused;
	return r;
}

static void print(const struct bench *b, const struct result *r, const char *what)
{
	printf("{\"what\":\"%s\",\"suite\":\"%s\",\"calls\":%u,\"pps\":%.0f,\"sent\":%llu,\"loss\":%.6f,\"bad\":%llu,\"refused\":%llu,"
	       "\"cpu_ns\":%.0f,\"p50_us\":%u,\"p99_us\":%u,\"gen_busy\":%.2f}\n",
	    what, crypt_suites[b->suite].name, b->calls, r->pps, (unsigned long long)r->sent, r->loss, (unsigned long long)r->bad,
	    (unsigned long long)r->refused, r->cpu_ns, r->p50_us, r->p99_us, r->gen_busy);
	fflush(stdout);
}

static void find_max(struct bench *b)
{
	struct result best = {0};

	for (double pps = b->pps;; pps *= 1.125) {
		struct result r = {0};
		bool good = false;

		for (int tries = 0; tries < 2 && !good; tries++) {
			r = run(b, pps, b->seconds);
			good = r.loss == 0 && r.bad == 0 && r.pps > 0.97 * pps;
		}
		if (!good) {
			/* either packets were lost, or this generator cannot send as fast: then best is a floor */
			print(b, &best, r.loss > 0 ? "max" : "max-of-generator");
			return;
		}
		best = r;
	}
}

static void usage(void)
{
	fputs("usage: bench_rtp [-n calls] [-r packets/s] [-t seconds] [-m] [-w workers] [-k tick-us]\n"
	      "                 [-c relay-cpu] [-g generator-cpu] [-G gather-us] [-T table -P pid] [-s suite]\n",
	    stderr);
	exit(2);
}

static double number(const char *text, double min, double max)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || !(v >= min && v <= max))
		usage();
	return v;
}

int main(int argc, char **argv)
{
	struct bench b = {.calls = 500, .workers = 1, .pps = 50000, .seconds = 3, .tick_us = 200, .relay_cpu = 1, .gather_us = 500};
	struct result r;
	bool own;
	int o;

	while ((o = getopt(argc, argv, "n:r:t:mw:k:c:g:G:T:P:s:")) != -1) {
		switch (o) {
		case 'n': b.calls = (unsigned)number(optarg, 1, 9000); break;
		case 'r': b.pps = number(optarg, 1, 1e7); break;
		case 't': b.seconds = number(optarg, 0.1, 600); break;
		case 'm': b.find_max = true; break;
		case 'w': b.workers = (unsigned)number(optarg, 1, 64); break;
		case 'k': b.tick_us = (unsigned)number(optarg, 10, 20000); break;
		case 'c': b.relay_cpu = (int)number(optarg, -1, 1023); break;
		case 'g': b.gen_cpu = (int)number(optarg, -1, 1023); break;
		case 'G': b.gather_us = (unsigned)number(optarg, 0, 2000); break;
		case 'T': b.table = optarg; break;
		case 'P': b.pid = (pid_t)number(optarg, 1, 1e9); break;
		case 's':
			while (++b.suite < CRYPT_SUITES && strcmp(optarg, crypt_suites[b.suite].name) != 0)
				;
			if (b.suite == CRYPT_SUITES)
				usage();
			break;
		default: usage();
		}
	}
	if (optind != argc || (b.table != NULL) != (b.pid != 0))
		usage();
	own = !b.table;
	setup(&b);
	run(&b, b.pps < 20000 ? b.pps : 20000, 0.5); /* warm: sockets, routes, the far end's sources */
	if (b.find_max) {
		find_max(&b);
	} else {
		r = run(&b, b.pps, b.seconds);
		print(&b, &r, "cost");
	}
	if (own) {
		kill(b.pid, SIGTERM);
		waitpid(b.pid, NULL, 0);
	}
	return 0;
}
