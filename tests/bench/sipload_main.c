/* sipload_main.c - SIP load: calls through any peer, both sides in one process. links: m ssl crypto
 *
 * The calling side sends INVITE to the peer, the peer sends it on to the called side (-b), which answers 100, 180
 * and 200; ACK, hold, BYE, 200: seven messages a leg, fourteen in all. The calling side keeps real dialog state
 * (tags, Contact, Record-Route) and retransmits; the called side keeps none, so a 200 lost on the way shows as
 * a failed call.
 *
 * Closed loop (-w): so many calls are in flight all the time: calls/s at saturation, CPU per call.
 * Open loop (-r): calls start by the clock; set-up latency counts from the moment a call was due, so that a slow
 * peer (or a slow generator) cannot hide.
 * Held (-i): so many calls are set up and held: memory per call.
 *
 * What is measured of the peer (-P) is the CPU clock of its processes over the window, and its PSS.
 */
#include <getopt.h>
#include <math.h>
#include <signal.h>

#include "sipio.h"

enum { UAC, UAS };
enum { FREE, CALLING, UP, ENDING };

#define KEEP 1000
struct slot {
	uint32_t gen;
	uint8_t state;
	bool in_window;
	unsigned tries;
	int64_t due_ns, next_ns, up_ns, limit_ns;
	struct io *io;
	char *dialog;            /* To value, Contact URI, Route lines: what ACK and BYE need */
	uint16_t to_n, uri_n, routes_n;
};

#define HIST_SUB 32
struct hist {
	uint64_t n[40 * HIST_SUB], count, max;
	double sum;
};

struct load {
	struct io_set io;
	struct sockaddr_storage target;
	socklen_t target_n;
	char target_text[64];
	bool tcp;                    /* or TLS: streams */
	const char *proto, *param;   /* "TCP", ";transport=tcp" */
	struct io *uac[64];
	unsigned n_uac, next_uac;
	struct slot *slots;
	unsigned n_slots, live, up;
	unsigned *free_list, n_free;
	const char *called, *calling;
	unsigned numbers;            /* called number counts up through that many */
	uint64_t started;
	double rate;
	unsigned window, idle;
	int64_t hold_ns;
	bool stopping, in_window, no_100;
	uint64_t done, ok_window, failed, busy, resent, bad;
	uint64_t status[700];
	struct hist setup, bye;
	int pids[64];
	unsigned n_pids;
	unsigned salt;
};

static struct load L; /* one program, one load */

static void hist_add(struct hist *h, int64_t us)
{
	uint64_t v = us < 0 ? 0 : (uint64_t)us;
	unsigned top = v < HIST_SUB ? 0 : 63u - (unsigned)__builtin_clzll(v) - 4u;
	size_t i = (size_t)top * HIST_SUB + (top ? (v >> top) & (HIST_SUB - 1) : v);

	if (i >= sizeof(h->n) / sizeof(h->n[0]))
		i = sizeof(h->n) / sizeof(h->n[0]) - 1;
	h->n[i]++;
	h->count++;
	h->sum += (double)v;
	if (v > h->max)
		h->max = v;
}

/* Upper edge of the bucket that holds the p-th percentile, microseconds. */
static uint64_t hist_at(const struct hist *h, double p)
{
	uint64_t want = (uint64_t)((double)h->count * p / 100.0), seen = 0;

	for (size_t i = 0; i < sizeof(h->n) / sizeof(h->n[0]); i++) {
		seen += h->n[i];
		if (h->n[i] && seen > want) {
			size_t top = i / HIST_SUB;
			return top ? (((uint64_t)i % HIST_SUB) + 1) << top : i;
		}
	}
	return h->max;
}

/* ------------------------------------------------------------------ the calling side */

static char *head(char *p, const struct slot *s, const char *method, unsigned cseq, unsigned branch)
{
	unsigned i = (unsigned)(s - L.slots);
	int n = snprintf(p, 1024,
	    "Via: SIP/2.0/%s %s;branch=z9hG4bK%08x%08x%x%u;rport\r\nMax-Forwards: 70\r\n"
	    "From: \"Load\" <sip:%s@%s>;tag=%08x%08x\r\nCall-ID: %08x.%08x.%08x@load\r\nCSeq: %u %s\r\n",
	    L.proto, s->io->text, i, s->gen, L.salt, branch, L.calling, s->io->text, i, s->gen, i, s->gen,
	    L.salt, cseq, method);
	return p + n;
}

static const char sdp_text[] = "v=0\r\no=- 4711 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
			       "m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
			       "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

static char *with_sdp(char *p)
{
	p += snprintf(p, 128, "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n", sizeof(sdp_text) - 1);
	return put(p, sdp_text, sizeof(sdp_text) - 1);
}

static void send_invite(struct slot *s)
{
	char *b = io_room(&L.io, s->io), *p = b;
	char to[32];
	unsigned i = (unsigned)(s - L.slots);

	snprintf(to, sizeof(to), "%s%04u", L.called, i % L.numbers);
	p += snprintf(p, 256, "INVITE sip:%s@%s SIP/2.0\r\n", to, L.target_text);
	p = head(p, s, "INVITE", 1, 1);
	p += snprintf(p, 1024,
	    "To: <sip:%s@%s>\r\nContact: <sip:%s@%s%s>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n"
	    "Supported: timer, 100rel, replaces\r\nUser-Agent: sipload\r\nP-Asserted-Identity: <sip:%s@%s>\r\n",
	    to, L.target_text, L.calling, s->io->text, L.param, L.calling, s->io->text);
	p = with_sdp(p);
	io_sent(&L.io, s->io, (size_t)(p - b), &L.target);
}

/* ACK and BYE: to the far Contact by the route set, over the same hop. */
static void send_inside(struct slot *s, const char *method, unsigned cseq)
{
	char *b = io_room(&L.io, s->io), *p = b;
	const char *d = s->dialog;

	p = puts_(p, method);
	p = puts_(p, " ");
	p = put(p, d + s->to_n, s->uri_n);
	p = puts_(p, " SIP/2.0\r\n");
	p = put(p, d + s->to_n + s->uri_n, s->routes_n);
	p = head(p, s, method, cseq, method[0] == 'A' ? 2 : 3);
	p = put_piece(p, "To: ", (struct piece){d, s->to_n});
	p = puts_(p, "Content-Length: 0\r\n\r\n");
	io_sent(&L.io, s->io, (size_t)(p - b), &L.target);
}

static void ack_refusal(struct slot *s, const struct scan *m)
{
	char *b = io_room(&L.io, s->io), *p = b;

	p += snprintf(p, 256, "ACK sip:%s%04u@%s SIP/2.0\r\n", L.called, (unsigned)(s - L.slots) % L.numbers, L.target_text);
	p = head(p, s, "ACK", 1, 1);
	p = put_piece(p, "To: ", m->to);
	p = puts_(p, "Content-Length: 0\r\n\r\n");
	io_sent(&L.io, s->io, (size_t)(p - b), &L.target);
}

static void end_call(struct slot *s, bool ok)
{
	if (s->state == UP || s->state == ENDING)
		L.up--;
	s->state = FREE;
	s->gen++;
	L.free_list[L.n_free++] = (unsigned)(s - L.slots);
	L.live--;
	L.done++;
	if (!ok)
		L.failed++;
	else if (L.in_window)
		L.ok_window++;
}

static bool start_call(int64_t due)
{
	if (!L.n_free) {
		L.busy++;
		return false;
	}
	struct slot *s = &L.slots[L.free_list[--L.n_free]];
	int64_t now = now_ns();

	s->state = CALLING;
	s->in_window = L.in_window;
	s->tries = 0;
	s->due_ns = due ? due : now;
	s->next_ns = now + 500000000;
	s->limit_ns = now + 32000000000;
	s->io = L.uac[L.next_uac++ % L.n_uac];
	L.live++;
	L.started++;
	send_invite(s);
	return true;
}

static void hang_up(struct slot *s, int64_t now)
{
	s->state = ENDING;
	s->tries = 0;
	s->up_ns = now;
	s->next_ns = now + 500000000;
	s->limit_ns = now + 32000000000;
	send_inside(s, "BYE", 2);
}

static void keep_dialog(struct slot *s, const struct scan *m)
{
	char *p;
	const char *u = memchr(m->contact.p ? m->contact.p : "", '<', m->contact.n), *e = NULL;

	if (!s->dialog)
		s->dialog = xalloc(KEEP);
	if (u)
		e = memchr(u, '>', m->contact.n - (size_t)(u - m->contact.p));
	if (!u || !e || m->to.n + (size_t)(e - u) > KEEP / 2) {
		L.bad++;
		u = "<sip:nobody@127.0.0.1>";
		e = u + 21;
	}
	p = put(s->dialog, m->to.p, m->to.n);
	s->to_n = (uint16_t)m->to.n;
	p = put(p, u + 1, (size_t)(e - u - 1));
	s->uri_n = (uint16_t)(e - u - 1);
	char *r = p;
	for (unsigned i = m->n_rr; i-- > 0;)
		if ((size_t)(p - s->dialog) + m->rr[i].n + 10 < KEEP)
			p = put_piece(p, "Route: ", m->rr[i]);
	s->routes_n = (uint16_t)(p - r);
}

static void on_answer(const struct scan *m)
{
	char id[3][9] = {{0}};
	uint32_t v[3];
	int64_t now = now_ns();

	if (m->call_id.n < 26)
		return;
	for (int i = 0; i < 3; i++) {
		memcpy(id[i], m->call_id.p + 9 * i, 8);
		v[i] = (uint32_t)strtoul(id[i], NULL, 16);
	}
	if (v[0] >= L.n_slots || v[2] != L.salt)
		return;
	struct slot *s = &L.slots[v[0]];
	bool invite = m->cseq.n > 3 && memcmp(m->cseq.p + m->cseq.n - 6, "INVITE", 6) == 0;
	if (s->gen != v[1] || s->state == FREE)
		return;
	if (invite && m->status < 200) {
		s->next_ns = INT64_MAX;
	} else if (invite && m->status < 300) {
		if (s->state != CALLING) {
			send_inside(s, "ACK", 1); /* the peer did not see the first */
			return;
		}
		keep_dialog(s, m);
		send_inside(s, "ACK", 1);
		s->state = UP;
		L.up++;
		s->up_ns = now;
		s->next_ns = INT64_MAX;
		if (s->in_window)
			hist_add(&L.setup, (now - s->due_ns) / 1000);
		if (!L.idle && !L.hold_ns)
			hang_up(s, now);
	} else if (invite && s->state == CALLING) {
		ack_refusal(s, m);
		if (m->status < 700)
			L.status[m->status]++;
		end_call(s, false);
	} else if (!invite && s->state == ENDING && m->status >= 200) {
		if (s->in_window)
			hist_add(&L.bye, (now - s->up_ns) / 1000);
		end_call(s, m->status < 300);
		if (L.window && !L.stopping && !L.idle)
			start_call(0);
	}
}

/* ------------------------------------------------------------------ the called side */

static char *answer(char *p, const struct scan *m, const char *status, bool tag)
{
	p = puts_(p, "SIP/2.0 ");
	p = puts_(p, status);
	p = puts_(p, "\r\n");
	for (unsigned i = 0; i < m->n_via; i++)
		p = put_piece(p, "Via: ", m->via[i]);
	if (tag)
		for (unsigned i = 0; i < m->n_rr; i++)
			p = put_piece(p, "Record-Route: ", m->rr[i]);
	p = put_piece(p, "From: ", m->from);
	p = puts_(p, "To: ");
	p = put(p, m->to.p, m->to.n);
	if (tag)
		p = puts_(p, ";tag=uas");
	p = put_piece(puts_(p, "\r\n"), "Call-ID: ", m->call_id);
	return put_piece(p, "CSeq: ", m->cseq);
}

static void on_request(struct io *io, const struct scan *m, const struct sockaddr_storage *from)
{
	static const char *const ring[] = {"100 Trying", "180 Ringing", "200 OK"};

	if (m->start.n > 6 && memcmp(m->start.p, "INVITE", 6) == 0) {
		for (int i = L.no_100 ? 1 : 0; i < 3; i++) {
			char *b = io_room(&L.io, io), *p = answer(b, m, ring[i], i > 0);
			if (i > 0)
				p += snprintf(p, 256, "Contact: <sip:uas@%s%s>\r\n", io->text, L.param);
			p = i == 2 ? with_sdp(p) : puts_(p, "Content-Length: 0\r\n\r\n");
			io_sent(&L.io, io, (size_t)(p - b), from);
		}
	} else if (m->start.n > 3 && memcmp(m->start.p, "ACK", 3) != 0) {
		char *b = io_room(&L.io, io), *p = answer(b, m, "200 OK", false);
		p = puts_(p, "Content-Length: 0\r\n\r\n");
		io_sent(&L.io, io, (size_t)(p - b), from);
	}
}

static void on_msg(struct io *io, char *b, size_t n, const struct sockaddr_storage *from)
{
	struct scan m;

	if (!scan_msg(&m, b, n)) {
		L.bad++;
		return;
	}
	if (m.status)
		on_answer(&m);
	else
		on_request(io, &m, from);
}

/* ------------------------------------------------------------------ time */

/* Every 100 ms over all calls: what waits too long is sent again or given up, what has talked enough ends. */
static void tick(int64_t now)
{
	for (unsigned i = 0; i < L.n_slots && L.live; i++) {
		struct slot *s = &L.slots[i];
		if (s->state == FREE)
			continue;
		if (s->state == UP) {
			if (!L.idle && now >= s->up_ns + L.hold_ns)
				hang_up(s, now);
		} else if (now >= s->limit_ns) {
			end_call(s, false);
			L.status[408]++;
			if (L.window && !L.stopping && !L.idle)
				start_call(0);
		} else if (!L.tcp && now >= s->next_ns) {
			L.resent++;
			s->next_ns = now + (500000000ll << (s->tries < 3 ? ++s->tries : 3));
			if (s->state == CALLING)
				send_invite(s);
			else
				send_inside(s, "BYE", 2);
		}
	}
}

static int64_t cpu_ns(void)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < L.n_pids; i++) {
		clockid_t c;
		struct timespec t;
		if (clock_getcpuclockid(L.pids[i], &c) == 0 && clock_gettime(c, &t) == 0)
			sum += (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	}
	return sum;
}

static long pss_kb(void)
{
	long sum = 0;

	for (unsigned i = 0; i < L.n_pids; i++) {
		char line[256];
		snprintf(line, sizeof(line), "/proc/%d/smaps_rollup", L.pids[i]);
		FILE *f = fopen(line, "r");
		while (f && fgets(line, sizeof(line), f))
			if (strncmp(line, "Pss:", 4) == 0)
				sum += strtol(line + 4, NULL, 10);
		if (f)
			fclose(f);
	}
	return sum;
}

static void run_until(int64_t end, bool (*enough)(void))
{
	static int64_t last_tick;
	static double next_due;

	for (;;) {
		int64_t now = now_ns();
		if (now >= end || (enough && enough()))
			break;
		if (now - last_tick >= 100000000) {
			tick(now);
			last_tick = now;
		}
		int wait = 50;
		if (L.rate > 0 && !L.stopping) {
			if (next_due < (double)now - 1e9)
				next_due = (double)now; /* a start, or more than a second behind */
			while (next_due <= (double)now) {
				start_call((int64_t)next_due);
				next_due += 1e9 / L.rate;
			}
			wait = next_due - (double)now < 1e6 ? 0 : 1;
		}
		io_flush_all(&L.io);
		io_poll(&L.io, wait);
		io_flush_all(&L.io);
	}
}

static bool none_live(void)
{
	return L.live == 0;
}

static bool idle_up(void)
{
	while (L.live - L.up < 64 && L.live < L.idle && L.n_free)
		start_call(0);
	return L.up + (unsigned)L.failed >= L.idle;
}

static const char usage[] =
    "usage: bench_sipload [options] PEER:PORT\n"
    "  -b ADDR:PORT   the called side listens here (127.0.0.1:5080); the peer must send calls there\n"
    "  -a ADDR:PORT   the calling side's address (127.0.0.1:5070)\n"
    "  -t udp|tcp|tls transport (udp)          -n N  connections of the calling side over tcp and tls (4)\n"
    "  -T CHAIN,KEY,ROOT   of tls: PEM files of our certificate, which both sides show, and of the peer's root\n"
    "  -w N           closed loop, N calls in flight (64)\n"
    "  -r N           open loop, N calls/s\n"
    "  -i N           set up and hold N calls, then end them: memory per call\n"
    "  -W S -d S      warm-up and measured seconds (1, 5)      -h MS  hold time (0)\n"
    "  -P PID[,PID]   processes of the peer\n"
    "  -N PREFIX      called number without its last four digits (+498999)     -R N  how many of them (1000)\n"
    "  -C NUMBER      calling number (+49301234501)           -1     the called side sends no 100\n"
    "Prints one line of JSON. Exit status 0: no call failed, 1: some did, 2: wrong use or a system error.\n";

int main(int argc, char **argv)
{
	const char *from = "127.0.0.1:5070", *at = "127.0.0.1:5080";
	double warm = 1, measure = 5;
	char *tls[3] = {NULL, NULL, NULL};
	unsigned n_conn = 4, n_tls = 0;
	int o;

	L.window = 64;
	L.proto = "UDP";
	L.param = "";
	L.called = "+498999";
	L.calling = "+49301234501";
	L.numbers = 1000;
	while ((o = getopt(argc, argv, "b:a:t:T:n:w:r:i:W:d:h:P:N:R:C:1")) != -1) {
		switch (o) {
		case 'b': at = optarg; break;
		case 'a': from = optarg; break;
		case 't':
			L.tcp = strcmp(optarg, "udp") != 0;
			L.proto = strcmp(optarg, "tls") == 0 ? "TLS" : L.tcp ? "TCP" : "UDP";
			L.param = strcmp(optarg, "tls") == 0 ? ";transport=tls" : L.tcp ? ";transport=tcp" : "";
			break;
		case 'T':
			for (tls[0] = strtok(optarg, ","); n_tls < 2 && tls[n_tls]; n_tls++)
				tls[n_tls + 1] = strtok(NULL, ",");
			break;
		case 'n': n_conn = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'w': L.window = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': L.rate = strtod(optarg, NULL); L.window = 0; break;
		case 'i': L.idle = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'W': warm = strtod(optarg, NULL); break;
		case 'd': measure = strtod(optarg, NULL); break;
		case 'h': L.hold_ns = strtoll(optarg, NULL, 10) * 1000000; break;
		case 'P':
			for (char *s = optarg; *s && L.n_pids < 64;) {
				L.pids[L.n_pids++] = (int)strtol(s, &s, 10);
				s += *s == ',';
			}
			break;
		case 'N': L.called = optarg; break;
		case 'R': L.numbers = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'C': L.calling = optarg; break;
		case '1': L.no_100 = true; break;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (optind != argc - 1 || !parse_addr(argv[optind], &L.target, &L.target_n) || !L.numbers || L.numbers > 10000
	    || !n_conn || n_conn > 64 || (strcmp(L.proto, "TLS") == 0) != (tls[2] != NULL) || strlen(L.called) > 20 || strlen(L.calling) > 24) {
		fputs(usage, stderr);
		return 2;
	}
	addr_text(&L.target, L.target_text, sizeof(L.target_text));
	signal(SIGPIPE, SIG_IGN);
	L.salt = (uint32_t)now_ns();
	L.io.ep = epoll_create1(0);
	L.io.on_msg = on_msg;
	if (tls[2])
		L.io.tls = io_tls(tls[0], tls[1], tls[2]);
	if (L.tcp) {
		io_listen(&L.io, at, UAS);
		for (unsigned i = 0; i < n_conn; i++)
			L.uac[L.n_uac++] = io_connect(&L.io, &L.target, L.target_n, UAC);
	} else {
		io_udp(&L.io, at, UAS);
		L.uac[L.n_uac++] = io_udp(&L.io, from, UAC);
	}
	L.n_slots = L.idle ? L.idle + 128 : L.rate > 0 ? 100000 : L.window;
	L.slots = xalloc(L.n_slots * sizeof(*L.slots));
	L.free_list = xalloc(L.n_slots * sizeof(*L.free_list));
	for (unsigned i = L.n_slots; i-- > 0;)
		L.free_list[L.n_free++] = i;

	int64_t cpu0, cpu1, t0, t1, own0, own1;
	struct timespec ts;
	long pss0, pss1;

	if (L.idle) {
		unsigned want = L.idle;
		/* one batch first, so that what a peer allocates once is not counted */
		L.window = 0;
		L.idle = want < 200 ? want / 2 + 1 : 100;
		run_until(now_ns() + 10000000000, idle_up);
		L.idle = want;
		run_until(now_ns() + 1000000000, NULL);
		unsigned base = L.up;
		pss0 = pss_kb();
		t0 = now_ns();
		cpu0 = cpu_ns();
		run_until(now_ns() + 120000000000, idle_up);
		cpu1 = cpu_ns();
		t1 = now_ns();
		/* over UDP the transactions of the set-up live on for 64 * T1 (RFC 6026) */
		run_until(now_ns() + (L.tcp ? 6000000000 : 36000000000), NULL);
		pss1 = pss_kb();
		double per = L.up > base ? 1024.0 * (double)(pss1 - pss0) / (double)(L.up - base) : 0;
		printf("{\"mode\":\"held\",\"calls\":%u,\"setup_s\":%.2f,\"cpu_us_per_setup\":%.2f,\"pss0_kb\":%ld,"
		       "\"pss1_kb\":%ld,\"bytes_per_call\":%.0f,\"failed\":%llu,\"resent\":%llu}\n",
		    L.up, (double)(t1 - t0) / 1e9, (double)(cpu1 - cpu0) / 1e3 / (double)(L.up > base ? L.up - base : 1),
		    pss0, pss1, per, (unsigned long long)L.failed, (unsigned long long)L.resent);
		L.stopping = true;
		L.idle = 0;
		run_until(now_ns() + 40000000000, none_live);
		return L.failed || L.live ? 1 : 0;
	}
	for (unsigned i = 0; i < L.window; i++)
		start_call(0);
	run_until(now_ns() + (int64_t)(warm * 1e9), NULL);
	L.in_window = true;
	t0 = now_ns();
	cpu0 = cpu_ns();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	own0 = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	run_until(t0 + (int64_t)(measure * 1e9), NULL);
	t1 = now_ns();
	cpu1 = cpu_ns();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	own1 = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	L.in_window = false;
	L.stopping = true;
	uint64_t ok = L.ok_window;
	pss1 = pss_kb();
	run_until(now_ns() + 40000000000, none_live);

	double secs = (double)(t1 - t0) / 1e9, calls = ok ? (double)ok : 1;
	printf("{\"mode\":\"%s\",\"transport\":\"%s\",\"window\":%u,\"rate\":%.0f,\"cps\":%.1f,\"ok\":%llu,\"failed\":%llu,"
	       "\"unplaced\":%llu,\"left\":%u,\"resent\":%llu,\"bad\":%llu,\"dropped\":%llu,",
	    L.rate > 0 ? "open" : "closed", L.param[0] ? L.param + 11 : "udp", L.window, L.rate, (double)ok / secs,
	    (unsigned long long)ok, (unsigned long long)L.failed, (unsigned long long)L.busy, L.live,
	    (unsigned long long)L.resent, (unsigned long long)L.bad, (unsigned long long)L.io.st.dropped);
	printf("\"cpu_us_per_call\":%.2f,\"cpu_pct\":%.1f,\"own_us_per_call\":%.2f,\"own_pct\":%.1f,\"pss_kb\":%ld,",
	    (double)(cpu1 - cpu0) / 1e3 / calls, (double)(cpu1 - cpu0) / 1e7 / secs, (double)(own1 - own0) / 1e3 / calls,
	    (double)(own1 - own0) / 1e7 / secs, pss1);
	printf("\"setup_us\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu},\"bye_us\":{\"p50\":%llu,"
	       "\"p99\":%llu},\"status\":{",
	    (unsigned long long)hist_at(&L.setup, 50), (unsigned long long)hist_at(&L.setup, 90),
	    (unsigned long long)hist_at(&L.setup, 99), (unsigned long long)hist_at(&L.setup, 99.9),
	    (unsigned long long)L.setup.max, (unsigned long long)hist_at(&L.bye, 50), (unsigned long long)hist_at(&L.bye, 99));
	const char *sep = "";
	for (unsigned i = 0; i < 700; i++)
		if (L.status[i]) {
			printf("%s\"%u\":%llu", sep, i, (unsigned long long)L.status[i]);
			sep = ",";
		}
	printf("}}\n");
	return L.failed || L.live ? 1 : 0;
}
