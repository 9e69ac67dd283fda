/* Packets of a captured call: both directions, as on the wire or as they are inside; nothing of other calls, and nothing
 * unless somebody asked. */
#include "relay_world.h"

#include "media/relay_impl.h"

#define KEPT_MAX 64

struct kept {
	struct capture_packet p[KEPT_MAX];
	uint8_t bytes[KEPT_MAX][CAPTURE_KEPT_MAX];
	unsigned n;
};

static bool keep(void *ctx, const struct capture_packet *p)
{
	struct kept *k = ctx;

	if (k->n == KEPT_MAX)
		return false;
	memcpy(k->bytes[k->n], p->bytes.p, p->bytes.n);
	k->p[k->n] = *p;
	k->p[k->n].bytes.p = (const char *)k->bytes[k->n];
	k->n++;
	return true;
}

/* those that are there once n are */
static void captured(struct world *w, uint64_t key, unsigned n, struct kept *k)
{
	for (int i = 0; i < ARRIVES; i++) {
		k->n = 0;
		relay_captured(w->relay, key, keep, k);
		if (k->n >= n)
			break;
		poll(NULL, 0, 1);
	}
	assert_int_equal(k->n, n);
}

static void arm(struct call *c, enum media_capture mode, uint64_t key)
{
	for (unsigned s = 0; s < 2; s++)
		relay_pair_capture(c->pair[s], mode, key);
}

static void only_when_asked(void **state)
{
	static struct kept k;
	struct addr stranger = ip("127.0.0.9", 0);
	uint8_t p[64];
	struct world w;
	struct call c, other;
	int fd;

	(void)state;
	world_init(&w, 1);
	w.cfg.capture_bytes = 1 << 20;
	world_start(&w);
	call_open(&c, &w);
	call_open(&other, &w);
	passes(&c, c.end[0].rtp, 0, 1);
	captured(&w, 5, 0, &k);
	assert_null(w.relay->worker[0].capture); /* no memory is taken before */
	assert_int_equal(relay_capture_start(w.relay), REASON_NONE);
	arm(&c, MEDIA_CAPTURE_WIRE, 5);
	c.prog[0].pt_map[8] = 97;
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 2, 320, 77, 40));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 52);
	passes(&other, other.end[0].rtp, 0, 2);
	captured(&w, 5, 2, &k);
	assert_false(k.p[0].out);
	assert_true(addr_eq(&k.p[0].remote, &c.end[0].rtp_addr) && addr_eq(&k.p[0].local, &c.local[0]));
	assert_int_equal(k.bytes[0][1], 8); /* as it came, and as it left */
	assert_true(k.p[1].out);
	assert_true(addr_eq(&k.p[1].remote, &c.end[1].rtp_addr) && addr_eq(&k.p[1].local, &c.local[1]));
	assert_int_equal(k.bytes[1][1], 97);
	assert_int_equal(k.p[1].len, 52);
	/* a packet that is dropped is one to be seen, too */
	fd = peer_open(&stranger);
	peer_send(fd, &c.local[0], p, 52);
	captured(&w, 5, 3, &k);
	assert_true(addr_eq(&k.p[2].remote, &stranger));
	/* RTCP, by its own port */
	peer_send(c.end[1].rtcp, &(struct addr){.in4 = port_after(c.local[1]).in4}, rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(c.end[0].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	captured(&w, 5, 5, &k);
	assert_int_equal(addr_port(&k.p[3].local), addr_port(&c.local[1]) + 1);
	/* off: what is there stays */
	arm(&c, MEDIA_CAPTURE_OFF, 5);
	passes(&other, other.end[0].rtp, 0, 3);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 3, 480, 77, 40));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 52);
	captured(&w, 5, 5, &k);
	close(fd);
	call_close(&c);
	call_close(&other);
	captured(&w, 5, 5, &k); /* and after the call */
	world_fini(&w);
}

static void encrypted_or_not(void **state)
{
	static struct kept k;
	struct crypt_key theirs = {.suite = CRYPT_CM128_80, .key = {1}}, ours = {.suite = CRYPT_GCM128, .key = {2}};
	struct crypt *seal = crypt_new(&theirs, true);
	uint8_t plain[64], d[300], wire[300];
	size_t n, len;
	struct world w;
	struct call c;

	(void)state;
	world_init(&w, 1);
	w.cfg.capture_bytes = 1 << 20;
	world_start(&w);
	assert_int_equal(relay_capture_start(w.relay), REASON_NONE);
	call_open(&c, &w);
	c.prog[0].open = theirs; /* encrypted on both sides, with different keys */
	c.prog[0].seal = ours;
	c.prog[0].pt_map[8] = 97;
	call_publish(&c);
	for (unsigned i = 0; i < 2; i++) {
		arm(&c, i ? MEDIA_CAPTURE_CLEAR : MEDIA_CAPTURE_WIRE, 6 + i);
		n = len = rtp_make(plain, 8, 1 + i, 160, 77, 40);
		memcpy(d, plain, n);
		assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, sizeof(d)), CRYPT_OK);
		peer_send(c.end[0].rtp, &c.local[0], d, n);
		assert_true(peer_recv(c.end[1].rtp, wire, sizeof(wire), NULL, ARRIVES) > 52);
		captured(&w, 6 + i, 2, &k);
		if (i == 0) {
			assert_int_equal(k.p[0].len, n);
			assert_memory_equal(k.bytes[0], d, n);
			assert_memory_equal(k.bytes[1], wire, k.p[1].len);
			continue;
		}
		assert_int_equal(k.p[0].len, len);
		assert_memory_equal(k.bytes[0], plain, len);
		plain[1] = 97;
		assert_int_equal(k.p[1].len, len);
		assert_memory_equal(k.bytes[1], plain, len);
	}
	/* what cannot be opened is shown as it came */
	n = rtp_make(d, 8, 3, 160, 77, 40);
	assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, sizeof(d)), CRYPT_OK);
	d[n - 1] ^= 1;
	peer_send(c.end[0].rtp, &c.local[0], d, n);
	wait_drops(&c, 0, RELAY_DROP_AUTH, 1);
	captured(&w, 7, 3, &k);
	assert_memory_equal(k.bytes[2], d, n);
	crypt_free(seal);
	call_close(&c);
	world_fini(&w);
}

static void without_memory_there_is_none(void **state)
{
	static struct kept k;
	struct world w;
	struct call c;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	assert_int_equal(relay_capture_start(w.relay), REASON_CAPTURE_OFF);
	arm(&c, MEDIA_CAPTURE_WIRE, 5); /* by mistake */
	passes(&c, c.end[0].rtp, 0, 1);
	captured(&w, 5, 0, &k);
	call_close(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_when_asked),
		cmocka_unit_test(encrypted_or_not),
		cmocka_unit_test(without_memory_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
