/* SipHash-1-3 against values worked out apart, and the table against an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/hash.h"
#include "sbc/base/list.h"
#include "sbc/base/rng.h"

/* the same function written straight from its definition: words, rounds, no tricks */
static uint64_t rot(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static uint64_t plain(uint64_t k0, uint64_t k1, const uint8_t *p, size_t n)
{
	uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d, v2 = k0 ^ 0x6c7967656e657261,
	         v3 = k1 ^ 0x7465646279746573;
	size_t words = n / 8 + 1;

	for (size_t i = 0; i < words + 3; i++) {
		uint64_t m = 0;

		if (i < words) {
			for (size_t k = 0; k < 8 && i * 8 + k < n; k++)
				m |= (uint64_t)p[i * 8 + k] << (8 * k);
			if (i == words - 1)
				m |= (uint64_t)(n & 0xff) << 56;
			v3 ^= m;
		} else if (i == words) {
			v2 ^= 0xff;
		}
		v0 += v1;
		v1 = rot(v1, 13) ^ v0;
		v0 = rot(v0, 32);
		v2 += v3;
		v3 = rot(v3, 16) ^ v2;
		v0 += v3;
		v3 = rot(v3, 21) ^ v0;
		v2 += v1;
		v1 = rot(v1, 17) ^ v2;
		v2 = rot(v2, 32);
		if (i < words)
			v0 ^= m;
	}
	return v0 ^ v1 ^ v2 ^ v3;
}

static void the_hash_is_siphash_1_3(void **state)
{
	struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908}, other = {1, 2};
	uint8_t in[300];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	/* published values for this key: of nothing, and of one zero byte */
	assert_true(hash_bytes(&key, in, 0) == 0xabac0158050fc4dc);
	assert_true(hash_bytes(&key, in, 1) == 0xc9f49bf37d57ca93);
	for (size_t n = 0; n <= sizeof(in); n++) {
		assert_true(hash_bytes(&key, in, n) == plain(key.k0, key.k1, in, n));
		assert_true(hash_bytes(&key, in, n) != hash_bytes(&other, in, n));
	}
	assert_true(hash_str(&key, S("abc")) == hash_bytes(&key, "abc", 3));
}

struct item {
	struct hnode node;
	uint32_t key;
	bool in;
};

static struct item *find(const struct htab *t, uint64_t hash, uint32_t key)
{
	for (struct hnode *n = htab_first(t, hash); n; n = htab_next(n))
		if (container_of(n, struct item, node)->key == key)
			return container_of(n, struct item, node);
	return NULL;
}

static void the_table_agrees_with_an_array(void **state)
{
	static struct item it[2000];
	struct htab t;
	struct rng r;
	size_t n = 0;

	(void)state;
	memset(it, 0, sizeof(it));
	rng_init_seeded(&r, 9);
	assert_int_equal(htab_init(&t, 3), 0);
	for (uint32_t i = 0; i < 2000; i++)
		it[i].key = i;
	for (int step = 0; step < 20000; step++) {
		uint32_t i = rng_below(&r, 2000);
		/* many keys share a hash, some more share a bucket */
		uint64_t hash = (i % 500) * 0x1000000000000001u;

		assert_true(find(&t, hash, i) == (it[i].in ? &it[i] : NULL));
		if (it[i].in) {
			htab_del(&t, &it[i].node);
			n--;
		} else {
			htab_add(&t, &it[i].node, hash);
			n++;
		}
		it[i].in = !it[i].in;
		assert_int_equal(t.n, n);
		if (step % 1000 == 0) {
			size_t seen = 0;

			for (struct hnode *h = NULL; (h = htab_walk(&t, h)); seen++)
				assert_true(container_of(h, struct item, node)->in);
			assert_int_equal(seen, n);
		}
	}
	/* one that is not in does no harm */
	for (uint32_t i = 0; i < 2000; i++)
		if (!it[i].in) {
			it[i].node.next = NULL;
			htab_del(&t, &it[i].node);
			break;
		}
	assert_int_equal(t.n, n);
	/* emptied while walking: the successor is taken first */
	for (struct hnode *h = htab_walk(&t, NULL), *next; h; h = next) {
		next = htab_walk(&t, h);
		htab_del(&t, h);
	}
	assert_int_equal(t.n, 0);
	assert_null(htab_walk(&t, NULL));
	htab_fini(&t);
}

static void the_table_grows(void **state)
{
	static struct item it[200000]; /* past the size from which the buckets are a mapping of their own */
	struct hash_key key = {5, 6};
	size_t before;
	struct htab t;

	(void)state;
	assert_int_equal(htab_init(&t, 0), 0);
	assert_int_equal(t.n_buckets, 16);
	for (uint32_t i = 0; i < ARRAY_LEN(it); i++) {
		it[i].key = i;
		before = t.n_buckets;
		htab_add(&t, &it[i].node, hash_bytes(&key, &i, sizeof(i)));
		assert_true(t.n_buckets <= before + 2); /* never the whole table at once */
		assert_true(t.n <= t.n_buckets / 2);
		if (i % 1000 == 0) /* in the middle of a round, too */
			for (uint32_t k = 0; k <= i; k += 97)
				assert_true(find(&t, hash_bytes(&key, &k, sizeof(k)), k) == &it[k]);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(it); i++) {
		assert_true(find(&t, hash_bytes(&key, &i, sizeof(i)), i) == &it[i]);
		htab_del(&t, &it[i].node);
		assert_null(find(&t, hash_bytes(&key, &i, sizeof(i)), i));
	}
	assert_int_equal(t.n, 0);
	htab_fini(&t);
}

static void lists(void **state)
{
	struct list a, b, n[6];

	(void)state;
	memset(n, 0, sizeof(n));
	list_init(&a);
	list_init(&b);
	assert_true(list_empty(&a));
	assert_null(list_pop(&a));
	for (int i = 0; i < 3; i++)
		list_push(&a, &n[i]);
	list_push_front(&a, &n[3]);
	assert_true(a.next == &n[3] && n[3].next == &n[0]);
	list_push(&b, &n[4]);
	list_splice(&b, &a);
	assert_true(list_empty(&a));
	list_splice(&b, &a);
	list_each(x, &b)
		if (x == &n[1])
			list_del(x);
	assert_false(list_linked(&n[1]));
	list_del(&n[1]); /* again: nothing */
	assert_true(list_pop(&b) == &n[4]);
	assert_true(list_pop(&b) == &n[3]);
	assert_true(list_pop(&b) == &n[0]);
	assert_true(list_pop(&b) == &n[2]);
	assert_true(list_empty(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_hash_is_siphash_1_3),
	    cmocka_unit_test(the_table_agrees_with_an_array),
	    cmocka_unit_test(the_table_grows),
	    cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
