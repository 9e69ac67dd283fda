/* tls_main.c - what TLS costs us, against OpenSSL alone. links: sbc_net
 *
 *     bench_tls [HANDSHAKES [CONNECTIONS [KIND]]]        default: 2000 of each kind, 10000 idle
 *
 * Handshakes: the CPU of the server, all its threads, for one, over loopback TCP with certificates on P-256 that are made here;
 * "openssl" is accept(), SSL_accept(), SSL_read() to the end and close() in a loop that blocks, with the same settings
 * and the same clients; "postern" is a listener of sbc/net. Both take connection, handshake and orderly end.
 * Messages: CPU of the server for one request of 500 bytes that is answered with 500 bytes, TCP and TLS.
 * Idle: what the process grows by (PSS and heap) for one mutual TLS connection that has carried a message each way and
 * is quiet now. Clients are processes of their own. Sockets of the kernel are not in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sbc/net/netio.h"
#include "sbc/net/tls.h"

#define CLIENTS 4
#define BODY 500

static void die(const char *what)
{
	fprintf(stderr, "bench_tls: %s\n", what);
	exit(1);
}

static double cpu_s(void)
{
	struct timespec t;

	/* all threads: handshakes are computed beside the loop */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- certificates ---- */

struct pair {
	X509 *x;
	EVP_PKEY *key;
};

static void ext(X509 *x, X509 *by, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, by, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e || !X509_add_ext(x, e, -1))
		die("extension");
	X509_EXTENSION_free(e);
}

static struct pair make(const struct pair *by, const char *cn, const char *san)
{
	struct pair p = {X509_new(), EVP_EC_gen("P-256")};
	X509_NAME *name = X509_get_subject_name(p.x);
	static long serial = 1;

	X509_set_version(p.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(p.x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(p.x), 90 * 86400L);
	X509_set_pubkey(p.x, p.key);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(p.x, X509_get_subject_name(by ? by->x : p.x));
	ext(p.x, by ? by->x : p.x, NID_basic_constraints, san ? "CA:FALSE" : "critical,CA:TRUE");
	ext(p.x, by ? by->x : p.x, NID_subject_key_identifier, "hash");
	if (by)
		ext(p.x, by->x, NID_authority_key_identifier, "keyid");
	if (san) {
		ext(p.x, by->x, NID_subject_alt_name, san);
		ext(p.x, by->x, NID_ext_key_usage, "serverAuth,clientAuth");
		ext(p.x, by->x, NID_key_usage, "digitalSignature");
	}
	if (!X509_sign(p.x, by ? by->key : p.key, EVP_sha256()))
		die("signing");
	return p;
}

/* root, an issuer below it as public CAs have it, one certificate each side */
static struct pair root, issuer, edge, phone;
static char dir[64], chain_file[96], key_file[96], root_file[96];

static void make_files(void)
{
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/postern-bench-tls-XXXXXX");
	if (!mkdtemp(dir))
		die("mkdtemp");
	root = make(NULL, "root", NULL);
	issuer = make(&root, "issuer", NULL);
	edge = make(&issuer, "edge", "DNS:edge.example,DNS:edge2.example");
	phone = make(&issuer, "phone", "DNS:pbx.example,URI:sip:pbx.example");
	snprintf(chain_file, sizeof(chain_file), "%s/edge.pem", dir);
	snprintf(key_file, sizeof(key_file), "%s/edge.key", dir);
	snprintf(root_file, sizeof(root_file), "%s/root.pem", dir);
	f = fopen(chain_file, "w");
	if (!f || !PEM_write_X509(f, edge.x) || !PEM_write_X509(f, issuer.x))
		die("chain");
	fclose(f);
	f = fopen(key_file, "w");
	if (!f || !PEM_write_PrivateKey(f, edge.key, NULL, NULL, 0, NULL, NULL))
		die("key");
	fclose(f);
	chmod(key_file, 0600);
	f = fopen(root_file, "w");
	if (!f || !PEM_write_X509(f, root.x))
		die("root");
	fclose(f);
}

static void remove_files(void)
{
	unlink(chain_file);
	unlink(key_file);
	unlink(root_file);
	rmdir(dir);
}

/* ---- clients, processes of their own ---- */

struct kind {
	const char *name;
	int version;
	bool mutual, resumed;
};

static int dial(const struct addr *to, unsigned n)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct addr from = {.in4 = {.sin_family = AF_INET}};

	/* many sources, or the ports run out */
	from.in4.sin_addr.s_addr = htonl(0x7f000002 + n / 8000);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd < 0 || bind(fd, &from.sa, addr_len(&from)) < 0 || connect(fd, &to->sa, addr_len(to)) < 0)
		die("connect");
	return fd;
}

static SSL_CTX *client_ctx(const struct kind *k)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_min_proto_version(c, k->version);
	SSL_CTX_set_max_proto_version(c, k->version);
	SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM");
	if (k->mutual && (!SSL_CTX_use_certificate(c, phone.x) || !SSL_CTX_add1_chain_cert(c, issuer.x) ||
	                     !SSL_CTX_use_PrivateKey(c, phone.key)))
		die("client's certificate");
	return c;
}

/* one connection, to its end; *session is resumed and replaced */
static void one(SSL_CTX *ctx, const struct addr *to, const struct kind *k, SSL_SESSION **session)
{
	int fd = dial(to, 0);
	SSL *s = SSL_new(ctx);
	char b[64];

	SSL_set_fd(s, fd);
	if (*session)
		SSL_set_session(s, *session);
	if (SSL_connect(s) != 1)
		die("client's handshake");
	if (k->resumed && *session && !SSL_session_reused(s))
		die("not resumed");
	SSL_shutdown(s);
	while (SSL_read(s, b, sizeof(b)) > 0) /* to the server's end; tickets come with it */
		;
	if (k->resumed) {
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(s);
	}
	SSL_free(s);
	close(fd);
}

/* n connections by CLIENTS processes */
static void clients(const struct addr *to, const struct kind *k, unsigned n, pid_t pid[CLIENTS])
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			die("fork");
		if (pid[i] == 0) {
			SSL_CTX *ctx = client_ctx(k);
			SSL_SESSION *session = NULL;

			for (unsigned j = i; j < n; j += CLIENTS)
				one(ctx, to, k, &session);
			_exit(0);
		}
	}
}

static void wait_for(const pid_t *pid, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int status;

		if (waitpid(pid[i], &status, 0) < 0 || status != 0)
			die("a client failed");
	}
}

/* ---- OpenSSL alone ---- */

static double bare(const struct kind *k, unsigned n)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	struct addr at = {.in4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(at);
	pid_t pid[CLIENTS];
	double from, took;

	if (!SSL_CTX_use_certificate_chain_file(c, chain_file) || !SSL_CTX_use_PrivateKey_file(c, key_file, SSL_FILETYPE_PEM) ||
	    !SSL_CTX_load_verify_locations(c, root_file, NULL))
		die("server's certificate");
	SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
	SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384");
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 1);
	SSL_CTX_set_session_id_context(c, (const unsigned char *)"b", 1);
	if (k->mutual)
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	if (fd < 0 || bind(fd, &at.sa, addr_len(&at)) < 0 || listen(fd, 1024) < 0 || getsockname(fd, &at.sa, &len) < 0)
		die("listen");
	clients(&at, k, n, pid);
	from = cpu_s();
	for (unsigned i = 0; i < n; i++) {
		int a = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		SSL *s = SSL_new(c);
		char b[64];

		setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		SSL_set_fd(s, a);
		if (SSL_accept(s) != 1)
			die("server's handshake");
		while (SSL_read(s, b, sizeof(b)) > 0)
			;
		SSL_shutdown(s);
		SSL_free(s);
		close(a);
	}
	took = cpu_s() - from;
	wait_for(pid, CLIENTS);
	SSL_CTX_free(c);
	close(fd);
	return took / n;
}

/* ---- ours ---- */

struct world {
	struct loop loop;
	struct rng rng;
	struct logger logger;
	struct env env;
	struct netio *io;
	struct tls_store *store;
	struct addr at;
	unsigned got;
	bool closed;
};

static bool admit(void *ctx, const struct net_path *from)
{
	(void)ctx;
	(void)from;
	return true;
}

static void on_message(void *ctx, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct world *w = ctx;
	struct net_path to = *from;

	if (bad)
		die("bad message");
	w->got++;
	if (net_send(netio_net(w->io), &to, p, n, w->got))
		die("answer");
}

static void on_failure(void *ctx, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	(void)ctx;
	(void)to;
	(void)owner;
	(void)err;
	(void)sent;
}

static const struct net_user user = {.admit = admit, .on_message = on_message, .on_failure = on_failure};

/* messages of BODY bytes */
static enum net_frame_kind frame(struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason)
{
	(void)f;
	(void)p;
	(void)ret_reason;
	if (n < BODY)
		return NET_FRAME_MORE;
	*ret_len = BODY;
	return NET_FRAME_MSG;
}

static void w_open(struct world *w, uint8_t proto, uint8_t client_cert)
{
	static const struct str name = {"edge", 4};
	struct tls_cert_cfg cert = {name, chain_file, key_file};
	const char *trust = root_file;
	struct tls_cfg tls = {.certs = &cert, .n_certs = 1, .trust = &trust, .n_trust = 1};
	struct net_listener_cfg line = {.proto = proto, .cert = name, .client_cert = client_cert,
	    .bound = {.in4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}}};
	struct loop_cfg lc = {.slow_us = 1000000};
	struct netio_cfg cfg;
	struct netio_error err;
	struct tls_error te;
	unsigned i = 0;

	memset(w, 0, sizeof(*w));
	if (logger_init(&w->logger, -1, LOG_ERROR) < 0 || loop_init(&w->loop, &lc) < 0)
		die("loop");
	rng_init_system(&w->rng);
	w->env = (struct env){.clock = &w->loop.clock, .timers = &w->loop.timers, .rng = &w->rng,
	    .logger = &w->logger, .hash_key = {1, 2}};
	w->store = tls_store_load(&tls, &te);
	if (!w->store)
		die(te.text);
	netio_cfg_defaults(&cfg);
	cfg.listeners = &line;
	cfg.n_listeners = 1;
	cfg.tls = w->store;
	cfg.max_conns = 65000;
	cfg.max_conns_source = 65000;
	if (netio_new(&w->loop, &w->env, &cfg, &user, w, frame, &w->io, &err) < 0)
		die(err.text);
	if (!netio_listener_next(w->io, &i, &line))
		die("listener");
	w->at = line.bound;
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

static void w_close(struct world *w)
{
	netio_free(w->io, closed, &w->closed);
	while (!w->closed)
		loop_turn(&w->loop, 10);
	tls_store_unref(w->store);
	if (loop_fini(&w->loop))
		die("a handle is left open");
	logger_fini(&w->logger);
}

static double ours(const struct kind *k, unsigned n)
{
	struct world w;
	pid_t pid[CLIENTS];
	double from, took;

	w_open(&w, NET_TLS, k->mutual ? NET_CERT_REQUIRE : NET_CERT_NONE);
	clients(&w.at, k, n, pid);
	from = cpu_s();
	while (netio_count(w.io, NET_TLS_ACCEPTED) < n || netio_count(w.io, NET_TCP_OPEN))
		loop_turn(&w.loop, 100);
	took = cpu_s() - from;
	wait_for(pid, CLIENTS);
	if (netio_count(w.io, NET_TLS_FAILED))
		die("handshakes failed");
	w_close(&w);
	return took / n;
}

/* ---- messages ---- */

static double messages(uint8_t proto, unsigned n)
{
	static const struct kind k = {"", TLS1_3_VERSION, false, false};
	struct world w;
	double from;
	pid_t pid;

	w_open(&w, proto, NET_CERT_NONE);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		SSL_CTX *ctx = client_ctx(&k);
		SSL *s = SSL_new(ctx);
		int fd = dial(&w.at, 0);
		char b[BODY] = "x", in[BODY];

		SSL_set_fd(s, fd);
		if (proto == NET_TLS && SSL_connect(s) != 1)
			die("client's handshake");
		for (unsigned i = 0; i < n; i++) {
			size_t got = 0;

			if ((proto == NET_TLS ? SSL_write(s, b, BODY) : (int)send(fd, b, BODY, 0)) != BODY)
				die("write");
			while (got < BODY) {
				ssize_t r = proto == NET_TLS ? SSL_read(s, in + got, (int)(BODY - got)) : recv(fd, in + got, BODY - got, 0);

				if (r <= 0)
					die("read");
				got += (size_t)r;
			}
		}
		_exit(0);
	}
	while (w.got == 0)
		loop_turn(&w.loop, 100);
	from = cpu_s();
	while (w.got < n)
		loop_turn(&w.loop, 100);
	from = cpu_s() - from;
	wait_for(&pid, 1);
	w_close(&w);
	return from / n;
}

/* ---- idle connections ---- */

static size_t pss_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[200];
	size_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtoul(line + 4, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void idle(int version, unsigned n)
{
	struct kind k = {"", version, true, false};
	struct world w;
	struct mallinfo2 m0, m1;
	size_t p0, p1;
	int up[2], end[2];
	char b = 0;
	pid_t pid;

	w_open(&w, NET_TLS, NET_CERT_REQUIRE);
	if (pipe(up) < 0 || pipe(end) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		SSL_CTX *ctx = client_ctx(&k);
		char body[BODY] = "x";

		close(end[1]);
		if (read(end[0], &b, 1) != 1)
			_exit(1);
		for (unsigned i = 0; i < n; i++) {
			SSL *s = SSL_new(ctx);
			int fd = dial(&w.at, i);

			SSL_set_fd(s, fd);
			if (SSL_connect(s) != 1)
				die("client's handshake");
			/* it has been used */
			if (SSL_write(s, body, BODY) != BODY || SSL_read(s, body, BODY) <= 0)
				die("client's message");
			SSL_free(s); /* says nothing; the connection stays */
		}
		if (write(up[1], "x", 1) != 1 || read(end[0], &b, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(end[0]);
	malloc_trim(0);
	p0 = pss_kib();
	m0 = mallinfo2();
	if (write(end[1], "x", 1) != 1)
		die("pipe");
	while (netio_count(w.io, NET_TLS_ACCEPTED) < n)
		loop_turn(&w.loop, 100);
	if (read(up[0], &b, 1) != 1)
		die("client");
	for (int i = 0; i < 100; i++)
		loop_turn(&w.loop, 1);
	if (netio_count(w.io, NET_TCP_OPEN) != n)
		die("connections were lost");
	m1 = mallinfo2();
	p1 = pss_kib();
	printf("  %-34s %6.1f KiB PSS  %6.1f KiB heap in use, %u connections\n",
	    version == TLS1_2_VERSION ? "mutual TLS 1.2" : "mutual TLS 1.3", (double)(p1 - p0) / n, (double)(m1.uordblks + m1.hblkhd - m0.uordblks - m0.hblkhd) / 1024 / n, n);
	if (write(end[1], "x", 1) != 1)
		die("pipe");
	wait_for(&pid, 1);
	close(end[1]);
	close(up[0]);
	close(up[1]);
	while (netio_count(w.io, NET_TCP_OPEN))
		loop_turn(&w.loop, 100);
	w_close(&w);
}

static void descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	static const struct kind kinds[] = {
	    {"TLS 1.2 server", TLS1_2_VERSION, false, false},
	    {"TLS 1.2 mutual", TLS1_2_VERSION, true, false},
	    {"TLS 1.2 resumed", TLS1_2_VERSION, false, true},
	    {"TLS 1.3 server", TLS1_3_VERSION, false, false},
	    {"TLS 1.3 mutual", TLS1_3_VERSION, true, false},
	    {"TLS 1.3 resumed", TLS1_3_VERSION, false, true},
	};
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2000;
	unsigned conns = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;
	const char *only = argc > 3 ? argv[3] : NULL;
	bool apart = tls_process_init();

	descriptors();
	setvbuf(stdout, NULL, _IOLBF, 0);
	make_files();
	atexit(remove_files);
	printf("keys in memory of their own: %s\n", apart ? "yes" : "no");
	printf("handshakes, CPU of the server (%u each)\n", n);
	for (unsigned i = 0; n && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		double b, o;

		if (only && strcmp(only, kinds[i].name) != 0)
			continue;
		b = bare(&kinds[i], n);
		o = ours(&kinds[i], n);
		printf("  %-18s openssl %7.1f us %6.0f/s   postern %7.1f us %6.0f/s   %.2f\n", kinds[i].name, b * 1e6, 1 / b,
		    o * 1e6, 1 / o, o / b);
	}
	if (n && !only) {
		double tcp = messages(NET_TCP, n * 20), tls = messages(NET_TLS, n * 20);

		printf("messages in and out, %d bytes each (%u)\n", BODY, n * 20);
		printf("  %-18s tcp     %7.2f us              tls     %7.2f us            +%.2f us\n", "", tcp * 1e6,
		    tls * 1e6, (tls - tcp) * 1e6);
	}
	if (conns) {
		printf("idle connections\n");
		idle(TLS1_2_VERSION, conns);
		idle(TLS1_3_VERSION, conns);
	}
	return 0;
}
