/* ice.c - checks of ICE for a lite agent. See ice.h.
 *
 * Happy path: a check has our name and theirs, our password's HMAC and a fingerprint; it is answered with where it came from, and
 * its source may send media from then on. One with USE-CANDIDATE says where the far end wants to be (RFC 8445 7.3.1.5). A far
 * end that nominates everything it tries (RFC 5245 called it aggressive) gets the one of the highest priority, unless that one
 * is not heard any more.
 *
 * What goes wrong: strangers: nothing is answered, whatever they send, so nobody learns that there is a port. A far end that takes
 * itself for the controlled one is told 487: a lite agent never controls.
 *
 * HMAC-SHA1 is computed from the two states of the hash after the padded password, as in crypt_types.c, and for its reason: no
 * memory is taken for a check.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA_CTX, see above */
#include "media/ice.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_BLOCK 64
#define FRESH_US 10000000 /* a nominated source that was heard so lately is not left for one of lower priority */
#define NOBODY 0xff

struct source {
	struct addr addr;   /* before known, and never again */
	_Atomic bool known;
	uint32_t priority;  /* worker: of its last check */
	_Atomic int64_t heard_us;
};

struct ice {
	struct ice_keys keys;
	SHA_CTX inner, outer;
	struct source source[2][ICE_SOURCES];
	_Atomic uint8_t there[2]; /* index of the nominated one, NOBODY */
	bool inherited[2];        /* worker: that one is of the session before */
};

static void mac(void *ctx, const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t ret[STUN_MAC])
{
	const struct ice *i = ctx;
	SHA_CTX h = i->inner;

	SHA1_Update(&h, a, n_a);
	SHA1_Update(&h, b, n_b);
	SHA1_Final(ret, &h);
	h = i->outer;
	SHA1_Update(&h, ret, STUN_MAC);
	SHA1_Final(ret, &h);
}

static void set_password(struct ice *i, const char *pwd)
{
	uint8_t pad[HMAC_BLOCK];
	size_t n = strlen(pwd); /* ICE_PWD at the most */

	for (unsigned k = 0; k < 2; k++) {
		SHA_CTX *h = k ? &i->outer : &i->inner;

		memset(pad, k ? 0x5c : 0x36, sizeof(pad));
		for (size_t c = 0; c < n; c++)
			pad[c] ^= (uint8_t)pwd[c];
		SHA1_Init(h);
		SHA1_Update(h, pad, sizeof(pad));
	}
	OPENSSL_cleanse(pad, sizeof(pad));
}

struct ice *ice_new(const struct ice_keys *keys, const struct ice *before)
{
	struct ice *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->keys = *keys;
	set_password(i, keys->pwd);
	for (unsigned c = 0; c < 2; c++) {
		uint8_t was = before ? atomic_load_explicit(&before->there[c], memory_order_acquire) : NOBODY;

		atomic_store(&i->there[c], NOBODY);
		if (was == NOBODY)
			continue;
		i->source[c][0].addr = before->source[c][was].addr;
		atomic_store(&i->source[c][0].heard_us, atomic_load(&before->source[c][was].heard_us));
		atomic_store(&i->source[c][0].known, true);
		atomic_store(&i->there[c], 0);
		i->inherited[c] = true;
	}
	return i;
}

void ice_free(struct ice *i)
{
	if (!i)
		return;
	OPENSSL_cleanse(i, sizeof(*i));
	free(i);
}

const struct ice_keys *ice_keys(const struct ice *i)
{
	return &i->keys;
}

/* NULL: it is not known, and (add) there is no room */
static struct source *find(struct ice *i, unsigned component, const struct addr *from, bool add)
{
	for (unsigned k = 0; k < ICE_SOURCES; k++) {
		struct source *s = &i->source[component][k];

		if (!atomic_load_explicit(&s->known, memory_order_relaxed)) {
			if (!add)
				return NULL;
			s->addr = *from;
			atomic_store_explicit(&s->known, true, memory_order_release);
			return s;
		}
		if (addr_eq(&s->addr, from))
			return s;
	}
	return NULL;
}

/* "ours:theirs" (RFC 8445 7.2.2) */
static bool is_for_us(const struct ice *i, struct str user)
{
	struct str mine, rest;

	if (!user.p)
		return false;
	rest = str_cut(user, ':', &mine);
	return str_eq(mine, str_z(i->keys.ours)) && str_eq(rest, str_z(i->keys.theirs));
}

/* does the far end move to s? */
static bool nominate(struct ice *i, unsigned component, struct source *s, int64_t now_us)
{
	uint8_t was = atomic_load_explicit(&i->there[component], memory_order_relaxed);
	uint8_t index = (uint8_t)(s - i->source[component]);
	const struct source *o = was == NOBODY ? NULL : &i->source[component][was];

	if (was == index && !i->inherited[component])
		return false;
	if (o && !i->inherited[component] && s->priority < o->priority &&
	    now_us - atomic_load_explicit(&o->heard_us, memory_order_relaxed) < FRESH_US)
		return false;
	i->inherited[component] = false;
	atomic_store_explicit(&i->there[component], index, memory_order_release);
	return true;
}

enum ice_result ice_check(struct ice *i, unsigned component, const uint8_t *d, size_t n, const struct addr *from, int64_t now_us,
    char out[STUN_OUT_MAX], size_t *ret_out)
{
	const char *text = (const char *)d;
	struct stun_msg m;
	struct source *s;

	if (n > ICE_CHECK_MAX || stun_parse(text, n, &m))
		return ICE_REFUSED;
	if (m.kind != STUN_REQUEST) {
		(void)ice_heard(i, component, from, now_us);
		return ICE_IGNORED;
	}
	if (!m.fingerprint || !is_for_us(i, m.username) || !stun_integrity_ok(text, &m, mac, i))
		return ICE_REFUSED;
	if (m.controlled || m.n_unknown) {
		*ret_out = stun_put_checked(out, &m, from, m.controlled ? 487 : 0, S("Role Conflict"), mac, i);
		return ICE_ANSWERED;
	}
	s = find(i, component, from, true);
	if (!s)
		return ICE_REFUSED;
	s->priority = m.priority;
	atomic_store_explicit(&s->heard_us, now_us, memory_order_relaxed);
	*ret_out = stun_put_checked(out, &m, from, 0, STR_NONE, mac, i);
	return m.use_candidate && nominate(i, component, s, now_us) ? ICE_NOMINATED : ICE_ANSWERED;
}

bool ice_heard(struct ice *i, unsigned component, const struct addr *from, int64_t now_us)
{
	struct source *s = find(i, component, from, false);

	if (s)
		atomic_store_explicit(&s->heard_us, now_us, memory_order_relaxed);
	return s != NULL;
}

const struct addr *ice_where(const struct ice *i, unsigned component, int64_t now_us)
{
	uint8_t there = atomic_load_explicit(&i->there[component], memory_order_acquire);
	const struct source *s = there == NOBODY ? NULL : &i->source[component][there];

	if (!s || now_us - atomic_load_explicit(&s->heard_us, memory_order_relaxed) > ICE_SILENT_US)
		return NULL;
	return &s->addr;
}
