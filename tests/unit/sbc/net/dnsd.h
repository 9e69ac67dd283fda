/* dnsd.h - a name server of our own on the loop of the test, by UDP and TCP, that can lie in many ways. */
#ifndef TEST_NET_DNSD_H
#define TEST_NET_DNSD_H

#include "world.h"

#include "sbc/net/dns.h"

enum fault {
	F_NONE,
	F_TRUNCATED,      /* by UDP: ask by TCP */
	F_WRONG_ID,       /* a forged answer instead */
	F_WRONG_QUESTION,
	F_FORGED_FIRST,   /* forged ones, then the true one */
	F_EMPTY_DATAGRAM, /* one without bytes, then the true one */
	F_POINTER_LOOP,   /* a name that leads to itself */
	F_CNAME_LOOP,
	F_CNAME_LONG,     /* more aliases than are followed */
	F_MANY,           /* 1000 records, by TCP */
	F_CUT,            /* the answer ends in the middle */
	F_NO_EDNS,        /* FORMERR to questions with EDNS */
	F_TCP_REFUSED,    /* truncated, and nobody listens on TCP */
};

/* What the server says about one name and type. */
struct zone {
	const char *name;
	enum dns_type type;
	int rcode;         /* 0, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED; -1: says nothing */
	const char *data[40]; /* as in a zone file; NAPTR without quotes and regexp: "10 20 s SIP+D2U name" */
	uint32_t ttl;
	const char *cname; /* the answer begins with a CNAME to this, owner of the records */
	uint32_t cname_ttl;
	bool bare_cname;   /* and says nothing of what it points to */
	bool soa;
	uint32_t soa_ttl, soa_min;
	enum fault fault;
};

struct dnsd {
	int fd;
	struct addr at;
	struct zone *zone;
	unsigned n_zone;
	int rcode;          /* to all there is when not 0; -1: silent */
	unsigned asked, asked_other, asked_tcp;
	char log[256][80];  /* "SRV _sip._udp.example.com" */
	unsigned n_log;
	uv_poll_t poll;
	int tcp, conn;      /* -1: none */
	uv_poll_t tcp_poll, conn_poll;
};

static void put16(struct buf *b, unsigned v)
{
	buf_chr(b, (char)(v >> 8));
	buf_chr(b, (char)v);
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

static void put_name(struct buf *b, struct str s)
{
	if (str_eq(s, S(".")))
		s.n = 0;
	while (s.n) {
		struct str label;

		s = str_cut(s, '.', &label);
		buf_chr(b, (char)label.n);
		buf_str(b, label);
	}
	buf_chr(b, 0);
}

static struct str word(struct str *rest)
{
	struct str w;

	*rest = str_cut(*rest, ' ', &w);
	return w;
}

static unsigned number(struct str *rest)
{
	uint32_t v;

	assert_int_equal(str_u32(word(rest), 65535, &v), 0);
	return v;
}

static void put_chars(struct buf *b, struct str s)
{
	buf_chr(b, (char)s.n);
	buf_str(b, s);
}

static void put_data(struct buf *b, enum dns_type type, struct str s)
{
	char space[512];
	struct buf d;
	struct addr a;

	buf_init(&d, space, sizeof(space));
	switch (type) {
	case DNS_SRV:
		put16(&d, number(&s));
		put16(&d, number(&s));
		put16(&d, number(&s));
		put_name(&d, s);
		break;
	case DNS_NAPTR:
		put16(&d, number(&s));
		put16(&d, number(&s));
		put_chars(&d, word(&s));
		put_chars(&d, word(&s));
		put_chars(&d, STR_NONE);
		put_name(&d, s);
		break;
	default:
		assert_int_equal(addr_parse_ip(s, 0, &a), 0);
		if (type == DNS_AAAA)
			buf_put(&d, &a.in6.sin6_addr, 16);
		else
			buf_put(&d, &a.in4.sin_addr, 4);
	}
	put16(b, (unsigned)d.n);
	buf_str(b, buf_text(&d));
}

static void put_cname(struct buf *b, struct str from, const char *to, uint32_t ttl)
{
	char space[300];
	struct buf d;

	buf_init(&d, space, sizeof(space));
	put_name(&d, str_z(to));
	put_name(b, from);
	put16(b, DNS_CNAME);
	put16(b, 1);
	put32(b, ttl);
	put16(b, (unsigned)d.n);
	buf_str(b, buf_text(&d));
}

static void dnsd_send(struct dnsd *s, const struct buf *b, const struct addr *to, int conn)
{
	assert_int_equal(buf_err(b), 0);
	if (to) {
		assert_int_equal(sendto(s->fd, b->p, b->n, 0, &to->sa, addr_len(to)), b->n);
	} else {
		uint8_t len[2] = {(uint8_t)(b->n >> 8), (uint8_t)b->n};

		assert_int_equal(send(conn, len, 2, MSG_NOSIGNAL), 2);
		assert_int_equal(send(conn, b->p, b->n, MSG_NOSIGNAL), b->n);
	}
}

/* to NULL: by this TCP connection */
static void dnsd_answer(struct dnsd *s, const uint8_t *q, size_t n, const struct addr *to, int conn)
{
	static char out[60000];
	char name[256], alias[32];
	struct buf nb, b;
	const struct zone *z = NULL;
	size_t i = 12;
	unsigned type, count = 0, aliases, records, rcode;
	bool edns = q[11] != 0, cut;

	buf_init(&nb, name, sizeof(name));
	while (i < n && q[i]) {
		if (nb.n)
			buf_chr(&nb, '.');
		buf_put(&nb, q + i + 1, q[i]);
		i += 1 + q[i];
	}
	type = (unsigned)q[i + 1] << 8 | q[i + 2];
	assert_true(s->n_log < ARRAY_LEN(s->log));
	snprintf(s->log[s->n_log++], sizeof(s->log[0]), "%s %.*s", dns_type_name((enum dns_type)type), STR(buf_text(&nb)));
	for (unsigned k = 0; k < s->n_zone; k++)
		if (str_ieq(buf_text(&nb), str_z(s->zone[k].name)) && type == s->zone[k].type)
			z = &s->zone[k];
	if (z)
		s->asked++;
	else
		s->asked_other++;
	if (s->rcode < 0 || (z && z->rcode < 0))
		return;
	rcode = s->rcode ? (unsigned)s->rcode : z ? (unsigned)z->rcode : DNS_NXDOMAIN;
	if (z && z->fault == F_NO_EDNS && edns)
		rcode = DNS_FORMERR;
	cut = z && to && (z->fault == F_TRUNCATED || z->fault == F_MANY || z->fault == F_TCP_REFUSED);
	while (z && rcode == 0 && !cut && !z->bare_cname && count < ARRAY_LEN(z->data) && z->data[count])
		count++;
	aliases = z && z->cname && rcode == 0 && !cut ? 1 : 0;
	if (z && z->fault == F_CNAME_LOOP)
		aliases = 2;
	if (z && z->fault == F_CNAME_LONG)
		aliases = 20;
	records = z && z->fault == F_MANY && !cut ? 1000 : count;
	buf_init(&b, out, sizeof(out));
	buf_put(&b, q, 2);
	put16(&b, 0x8180u | (cut ? 0x200u : 0) | rcode);
	put16(&b, 1);
	put16(&b, records + aliases);
	put16(&b, z && z->soa && rcode != DNS_SERVFAIL && rcode != DNS_REFUSED);
	put16(&b, 0);
	buf_put(&b, q + 12, i + 5 - 12);
	if (z && z->fault == F_CNAME_LOOP) {
		put_cname(&b, buf_text(&nb), "x.example", 60);
		put_cname(&b, S("x.example"), z->name, 60);
	} else if (z && z->fault == F_CNAME_LONG) {
		struct str from = buf_text(&nb);
		char last[32];

		for (unsigned k = 0; k < aliases; k++) {
			snprintf(alias, sizeof(alias), "a%u.example", k);
			put_cname(&b, from, alias, 60);
			memcpy(last, alias, sizeof(last));
			from = str_z(last);
		}
	} else if (aliases) {
		put_cname(&b, buf_text(&nb), z->cname, z->cname_ttl);
	}
	for (unsigned k = 0; k < records; k++) {
		if (z->fault == F_POINTER_LOOP)
			put16(&b, 0xc000u | (unsigned)b.n);
		else if (z->cname)
			put_name(&b, str_z(z->cname));
		else
			put16(&b, 0xc00c);
		put16(&b, type);
		put16(&b, 1);
		put32(&b, z->ttl);
		if (z->fault == F_MANY) {
			snprintf(alias, sizeof(alias), "192.0.%u.%u", k / 250, k % 250 + 1);
			put_data(&b, DNS_A, str_z(alias));
		} else {
			put_data(&b, z->type, str_z(z->data[k]));
		}
	}
	if (z && z->soa && rcode != DNS_SERVFAIL && rcode != DNS_REFUSED) {
		put16(&b, 0xc00c);
		put16(&b, 6);
		put16(&b, 1);
		put32(&b, z->soa_ttl);
		put16(&b, 4 + 20);
		put16(&b, 0xc00c);
		put16(&b, 0xc00c);
		for (uint32_t k = 1; k < 5; k++)
			put32(&b, k);
		put32(&b, z->soa_min);
	}
	if (z && z->fault == F_CUT)
		b.n -= 3;
	if (z && (z->fault == F_WRONG_ID || z->fault == F_FORGED_FIRST)) {
		out[0] ^= 0x55;
		for (int k = 0; k < (z->fault == F_WRONG_ID ? 1 : 100); k++)
			dnsd_send(s, &b, to, conn);
		out[0] ^= 0x55;
	}
	if (z && (z->fault == F_WRONG_QUESTION || z->fault == F_FORGED_FIRST)) {
		out[13] ^= 1;
		dnsd_send(s, &b, to, conn);
		out[13] ^= 1;
	}
	if (z && z->fault == F_EMPTY_DATAGRAM)
		assert_int_equal(sendto(s->fd, "", 0, 0, &to->sa, addr_len(to)), 0);
	if (!z || (z->fault != F_WRONG_ID && z->fault != F_WRONG_QUESTION))
		dnsd_send(s, &b, to, conn);
}

static void dnsd_on_tcp(uv_poll_t *h, int status, int events)
{
	struct dnsd *s = container_of(h, struct dnsd, conn_poll);
	uint8_t q[512];
	ssize_t n = recv(s->conn, q, sizeof(q), 0);

	(void)status;
	(void)events;
	if (n <= 0) {
		uv_poll_stop(h);
		return;
	}
	assert_true(n > 18); /* a question is short enough to come in one piece */
	s->asked_tcp++;
	dnsd_answer(s, q + 2, (size_t)n - 2, NULL, s->conn);
}

static void dnsd_on_connection(uv_poll_t *h, int status, int events)
{
	struct dnsd *s = container_of(h, struct dnsd, tcp_poll);

	(void)status;
	(void)events;
	assert_int_equal(s->conn, -1);
	s->conn = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(s->conn >= 0);
	assert_int_equal(uv_poll_init(h->loop, &s->conn_poll, s->conn), 0);
	uv_poll_start(&s->conn_poll, UV_READABLE, dnsd_on_tcp);
}

static void dnsd_on_udp(uv_poll_t *h, int status, int events)
{
	struct dnsd *s = container_of(h, struct dnsd, poll);
	uint8_t q[512];
	struct addr from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)status;
	(void)events;
	n = recvfrom(s->fd, q, sizeof(q), 0, &from.sa, &len);
	if (n > 16)
		dnsd_answer(s, q, (size_t)n, &from, -1);
}

/* The TCP port of the number that UDP has got; somebody else may have it: -1. */
static int dnsd_tcp(const struct addr *at)
{
	int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &at->sa, addr_len(at)) == 0 && listen(fd, 16) == 0)
		return fd;
	close(fd);
	return -1;
}

static void dnsd_init(struct dnsd *s, struct loop *loop, struct zone *zone, unsigned n)
{
	bool tcp = false;

	memset(s, 0, sizeof(*s));
	s->zone = zone;
	s->n_zone = n;
	s->tcp = s->conn = -1;
	for (unsigned i = 0; i < n; i++)
		tcp = tcp || zone[i].fault == F_TRUNCATED || zone[i].fault == F_MANY;
	s->fd = peer(SOCK_DGRAM, "127.0.0.1:0", &s->at);
	for (int i = 0; tcp && i < 100 && (s->tcp = dnsd_tcp(&s->at)) < 0; i++) {
		close(s->fd);
		s->fd = peer(SOCK_DGRAM, "127.0.0.1:0", &s->at);
	}
	assert_int_equal(tcp, s->tcp >= 0);
	assert_int_equal(uv_poll_init(&loop->uv, &s->poll, s->fd), 0);
	uv_poll_start(&s->poll, UV_READABLE, dnsd_on_udp);
	if (tcp) {
		assert_int_equal(uv_poll_init(&loop->uv, &s->tcp_poll, s->tcp), 0);
		uv_poll_start(&s->tcp_poll, UV_READABLE, dnsd_on_connection);
	}
}

static void dnsd_fini(struct dnsd *s, struct loop *loop)
{
	uv_close((uv_handle_t *)&s->poll, NULL);
	if (s->conn >= 0)
		uv_close((uv_handle_t *)&s->conn_poll, NULL);
	if (s->tcp >= 0)
		uv_close((uv_handle_t *)&s->tcp_poll, NULL);
	loop_turn(loop, 0);
	close(s->fd);
	if (s->tcp >= 0)
		close(s->tcp);
	if (s->conn >= 0)
		close(s->conn);
}

/* How often this question was asked ("A host.example"). */
static inline unsigned dnsd_asked(const struct dnsd *s, const char *what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_log; i++)
		n += strcmp(s->log[i], what) == 0;
	return n;
}

#endif
