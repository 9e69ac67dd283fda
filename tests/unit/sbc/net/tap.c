/* The ring against a list of what was put in, and the capture file byte by byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/rng.h"
#include "sbc/net/tap.h"

static struct addr at(const char *z)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(z), 0, &a), 0);
	return a;
}

struct collect {
	struct tap_msg m[64];
	char bytes[64][64];
	unsigned n, max;
};

static bool collect(void *ctx, const struct tap_msg *m)
{
	struct collect *c = ctx;

	assert_true(c->n < 64);
	c->m[c->n] = *m;
	memcpy(c->bytes[c->n], m->bytes.p, m->bytes.n < 64 ? m->bytes.n : 64);
	c->n++;
	return c->n < c->max;
}

static void messages_come_back_with_their_path_times_and_key(void **state)
{
	struct clock now = {.mono_us = 77, .wall_us = 1700000000123456};
	struct net_path path = {.proto = NET_TCP, .realm = 2, .remote = at("192.0.2.1:5060"), .local = at("10.0.0.1:5070")};
	struct collect c = {.max = 64};
	uint64_t keys[2] = {8, 9};
	struct tap *t;

	(void)state;
	assert_int_equal(tap_new(0, 0, &t), 0);
	tap_add(t, &now, false, &path, 7, S("INVITE"));
	now.mono_us++;
	tap_add(t, &now, true, &path, 8, S("100 Trying"));
	tap_add(t, &now, true, &path, 7, S("180 Ringing"));
	tap_add(t, &now, true, &path, 9, STR_NONE);
	assert_int_equal(tap_last_seq(t), 4);
	assert_int_equal(tap_each(t, NULL, 0, 0, collect, &c), 4);
	assert_int_equal(c.m[0].seq, 1);
	assert_int_equal(c.m[0].key, 7);
	assert_false(c.m[0].out);
	assert_true(c.m[1].out);
	assert_int_equal(c.m[0].wall_us, 1700000000123456);
	assert_int_equal(c.m[0].mono_us, 77);
	assert_int_equal(c.m[0].len, 6);
	assert_memory_equal(c.bytes[0], "INVITE", 6);
	assert_int_equal(c.m[0].path.realm, 2);
	assert_true(addr_eq(&c.m[0].path.remote, &path.remote));
	assert_true(addr_eq(&c.m[0].path.local, &path.local));
	assert_int_equal(c.m[3].len, 0);
	/* by key, after a number, and stopping */
	c.n = 0;
	assert_int_equal(tap_each(t, keys, 1, 0, collect, &c), 1);
	assert_memory_equal(c.bytes[0], "100 Trying", 10);
	assert_int_equal(tap_each(t, keys, 2, 2, collect, &c), 1);
	assert_int_equal(c.m[1].seq, 4);
	c.n = 0;
	c.max = 2;
	assert_int_equal(tap_each(t, NULL, 0, 1, collect, &c), 2);
	assert_int_equal(c.m[0].seq, 2);
	tap_free(t);
	tap_free(NULL);
	assert_int_equal(tap_new(1000, 0, &t), -EINVAL);
	assert_int_equal(tap_new(0, 20000, &t), -EINVAL);
}

struct check {
	uint64_t seq; /* last seen */
	unsigned n;
	size_t bytes;
	const uint16_t *len;
	size_t clip;
};

static bool check_one(void *ctx, const struct tap_msg *m)
{
	struct check *c = ctx;

	if (c->n)
		assert_int_equal(m->seq, c->seq + 1);
	c->seq = m->seq;
	c->n++;
	assert_int_equal(m->len, c->len[m->seq]);
	assert_int_equal(m->bytes.n, m->len < c->clip ? m->len : c->clip);
	assert_int_equal(m->key, m->seq * 31);
	for (size_t i = 0; i < m->bytes.n; i++)
		assert_int_equal((unsigned char)m->bytes.p[i], (m->seq + i) & 0xff);
	c->bytes += m->bytes.n;
	return true;
}

/* lengths of every kind, many times round the ring: what is there is whole and the newest */
static void the_ring_holds_the_newest_whole(void **state)
{
	static uint16_t len[20001];
	static char bytes[9000];
	struct clock now = {0};
	struct net_path path = {0};
	struct rng r;
	struct tap *t;

	(void)state;
	rng_init_seeded(&r, 5);
	assert_int_equal(tap_new(100003, 4096, &t), 0); /* no round number */
	for (uint64_t i = 1; i <= 20000; i++) {
		len[i] = (uint16_t)rng_below(&r, rng_below(&r, 8) ? 900 : 9000);
		for (size_t k = 0; k < len[i]; k++)
			bytes[k] = (char)((i + k) & 0xff);
		tap_add(t, &now, i & 1, &path, i * 31, str_n(bytes, len[i]));
		if (i % 37 == 0 || i > 19950) {
			struct check c = {.len = len, .clip = 4096};

			unsigned shown = tap_each(t, NULL, 0, 0, check_one, &c);

			assert_int_equal(shown, c.n);
			assert_int_equal(c.seq, i); /* up to the newest, without a gap */
			if (i > 500)
				assert_true(c.bytes + c.n * 112 > 80000); /* and the ring is in use */
		}
	}
	tap_free(t);
}

/* ---- capture ---- */

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t add16(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

struct file {
	uint8_t p[65536];
	size_t n;
};

static bool put(void *ctx, const struct tap_msg *m)
{
	struct file *f = ctx;
	struct buf b;

	buf_init(&b, f->p + f->n, sizeof(f->p) - f->n);
	tap_pcap_msg(&b, m);
	assert_int_equal(buf_err(&b), 0);
	f->n += b.n;
	return true;
}

/* the whole file */
static void make(struct tap *t, const uint64_t *keys, unsigned n_keys, struct file *f)
{
	struct buf b;

	buf_init(&b, f->p, sizeof(f->p));
	tap_pcap_head(&b);
	f->n = b.n;
	tap_each(t, keys, n_keys, 0, put, f);
}

static void the_capture_is_a_pcap_with_right_sums(void **state)
{
	struct clock now = {.wall_us = 1700000000123456};
	struct net_path v4 = {.proto = NET_UDP, .remote = at("192.0.2.1:5060"), .local = at("10.0.0.1:5070")};
	struct net_path v6 = {.proto = NET_TCP, .remote = at("[2001:db8::1]:5060"), .local = at("[2001:db8::2]:5080")};
	struct net_path half = {.proto = NET_TCP, .remote = at("[2001:db8::1]:5060")};
	static struct file f;
	static char big[5000];
	uint64_t key = 1;
	const uint8_t *r;
	struct tap *t;
	uint32_t sum;

	(void)state;
	memset(&f, 0, sizeof(f));
	assert_int_equal(tap_new(0, 4096, &t), 0);
	tap_add(t, &now, false, &v4, 1, S("OPTIONS sip:x SIP/2.0\r\n"));
	tap_add(t, &now, true, &v6, 1, S("SIP/2.0 200 OK"));
	tap_add(t, &now, true, &v4, 2, S("not this one"));
	tap_add(t, &now, true, &v4, 1, str_n(big, sizeof(big)));
	tap_add(t, &now, true, &half, 1, S("x"));
	make(t, &key, 1, &f);
	assert_int_equal(f.n, 24 + (16 + 28 + 23) + (16 + 48 + 14) + (16 + 28 + 4096) + (16 + 48 + 1));
	r = f.p;
	assert_int_equal(le32(r), 0xa1b2c3d4);
	assert_int_equal(le32(r + 4), 4 << 16 | 2);
	assert_int_equal(le32(r + 20), 101);
	r += 24;
	assert_int_equal(le32(r), 1700000000);
	assert_int_equal(le32(r + 4), 123456);
	assert_int_equal(le32(r + 8), 28 + 23);
	assert_int_equal(le32(r + 12), 28 + 23);
	r += 16;
	assert_int_equal(r[0], 0x45);
	assert_int_equal(be16(r + 2), 28 + 23);
	assert_int_equal(r[9], 17);
	assert_int_equal(add16(0, r, 20), 0xffff); /* header sum */
	assert_memory_equal(r + 12, "\xc0\x00\x02\x01", 4);
	assert_memory_equal(r + 16, "\x0a\x00\x00\x01", 4);
	assert_int_equal(be16(r + 20), 5060);
	assert_int_equal(be16(r + 22), 5070);
	assert_int_equal(be16(r + 24), 8 + 23);
	sum = add16(add16(0, r + 12, 8), r + 20, 8 + 23) + 17 + 8 + 23;
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	assert_memory_equal(r + 28, "OPTIONS sip:x SIP/2.0\r\n", 23);
	r += 28 + 23 + 16;
	assert_int_equal(r[0], 0x60);
	assert_int_equal(be16(r + 4), 8 + 14);
	assert_int_equal(r[6], 17);
	assert_int_equal(r[8 + 15], 2); /* outwards: from us */
	assert_int_equal(r[24 + 15], 1);
	assert_int_equal(be16(r + 40), 5080);
	sum = add16(add16(0, r + 8, 32), r + 40, 8 + 14) + 17 + 8 + 14;
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	r += 48 + 14;
	/* clipped: the lengths of the wire, the bytes that were kept */
	assert_int_equal(le32(r + 8), 28 + 4096);
	assert_int_equal(le32(r + 12), 28 + 5000);
	assert_int_equal(be16(r + 16 + 2), 28 + 5000);
	r += 16 + 28 + 4096 + 16;
	assert_int_equal(r[0], 0x60);
	assert_int_equal(r[8 + 15], 0);
	tap_free(t);
}

/* a message longer than any datagram (a stream carried it) */
static void what_a_datagram_cannot_claim_is_cut(void **state)
{
	static char big[65536];
	struct clock now = {0};
	struct net_path v4 = {.proto = NET_TCP, .remote = at("192.0.2.1:5060"), .local = at("10.0.0.1:5070")};
	static struct file f;
	struct tap *t;

	(void)state;
	memset(&f, 0, sizeof(f));
	assert_int_equal(tap_new(0, 16384, &t), 0);
	tap_add(t, &now, false, &v4, 1, str_n(big, sizeof(big)));
	make(t, NULL, 0, &f);
	assert_int_equal(f.n, 24 + 16 + 28 + 16384);
	assert_true(be16(f.p + 40 + 2) > 65000);
	tap_free(t);
}

struct one {
	char bytes[1024];
	size_t n;
};

static bool take(void *ctx, const struct tap_msg *m)
{
	struct one *o = ctx;

	o->n = m->bytes.n;
	memcpy(o->bytes, m->bytes.p, m->bytes.n);
	o->bytes[o->n] = '\0';
	return false;
}

static void keys_of_media_are_not_kept(void **state)
{
	static const struct {
		const char *in, *kept;
	} t[] = {
	    {"a_b\r\n\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31|1:4 WSH=64\r\na=x_y inline:z\r\n",
		"a_b\r\n\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxx|2^31|1:4 WSH=64\r\na=x_y inline:z\r\n"},
	    {"A=CRYPTO:1 AEAD_AES_128_GCM INLINE:c2Vj==;inline:cmV0\r\n", "A=CRYPTO:1 AEAD_AES_128_GCM INLINE:xxxxxx;inline:xxxx\r\n"},
	    {"\na=crypto:1 X_Y inline:abc\na=crypto:2 X_Y inline:de", "\na=crypto:1 X_Y inline:xxx\na=crypto:2 X_Y inline:xx"},
	    {"a=crypto:1 X_Y inline:", "a=crypto:1 X_Y inline:"},
	    {"a=crypto:_ inlin", "a=crypto:_ inlin"},
	    {"_", "_"},
	    {"a=crypto:1 X_Y\rinline:abc x inline:def", "a=crypto:1 X_Y\rinline:xxx x inline:xxx"},
	};
	struct clock now = {0};
	struct net_path path = {.remote = at("192.0.2.1:5060"), .local = at("10.0.0.1:5070")};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct one o = {.n = 0};
		struct tap *ring;

		assert_int_equal(tap_new(0, 0, &ring), 0);
		tap_add(ring, &now, false, &path, 7, str_z(t[i].in));
		assert_int_equal(tap_each(ring, NULL, 0, 0, take, &o), 1);
		assert_string_equal(o.bytes, t[i].kept);
		tap_free(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_come_back_with_their_path_times_and_key),
	    cmocka_unit_test(the_ring_holds_the_newest_whole),
	    cmocka_unit_test(the_capture_is_a_pcap_with_right_sums),
	    cmocka_unit_test(what_a_datagram_cannot_claim_is_cut),
	    cmocka_unit_test(keys_of_media_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
