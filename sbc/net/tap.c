/* tap.c - a ring of records of different length.
 *
 * Records lie one behind the other, each with its size in front; one that does not fit before the end of the
 * memory starts at the beginning, and the rest before the end is marked as unused. To make room the oldest are
 * forgotten, one by one, by moving `first` on. Positions only grow and are taken modulo the size, so "how much is
 * in use" is a subtraction.
 *
 *        first                     next
 *   ......[rec][rec][ rec ][rec]....|
 *
 * Keys of SRTP are overwritten before anything is kept: who may read messages may not read calls.
 */
#include "sbc/net/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES_MIN ((size_t)64 << 10)
#define CLIP_MAX 16384
#define IP_UDP4 28
#define IP_UDP6 48

struct rec {
	uint32_t size; /* of the whole record, a multiple of 8; with kept == UNUSED: to be skipped */
	uint32_t kept; /* bytes behind this head */
	uint32_t len;  /* bytes on the wire */
	uint32_t out;
	uint64_t seq, key;
	int64_t wall_us, mono_us;
	struct net_path path;
	char bytes[];
};

#define UNUSED UINT32_MAX

struct tap {
	char *mem; /* own: mapped */
	size_t size, clip;
	uint64_t first, next; /* positions; the ring holds [first, next) */
	uint64_t seq;
	tap_hide_fn *hide;
};

int tap_new(size_t bytes, size_t clip, struct tap **ret)
{
	struct tap *t;

	bytes = bytes ? bytes : TAP_BYTES_DEFAULT;
	clip = clip ? clip : TAP_CLIP_DEFAULT;
	if (bytes < BYTES_MIN || clip > CLIP_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->size = bytes & ~(size_t)7;
	t->clip = clip;
	t->mem = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->mem == MAP_FAILED) {
		free(t);
		return -ENOMEM;
	}
	(void)madvise(t->mem, t->size, MADV_DONTDUMP);
	(void)madvise(t->mem, t->size, MADV_HUGEPAGE);
	/* all pages now: not one by one in the call path */
	(void)madvise(t->mem, t->size, MADV_POPULATE_WRITE);
	*ret = t;
	return 0;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	munmap(t->mem, t->size);
	free(t);
}

static struct rec *rec_at(const struct tap *t, uint64_t pos)
{
	return (struct rec *)(void *)(t->mem + pos % t->size);
}

/* A rest at the end that is too short for a head has no mark. */
static size_t rest(const struct tap *t, uint64_t pos)
{
	return t->size - pos % t->size;
}

/* Where the next record after pos begins, and that record; NULL at the end. */
static const struct rec *rec_next(const struct tap *t, uint64_t *pos)
{
	while (*pos < t->next) {
		const struct rec *r = rec_at(t, *pos);

		if (rest(t, *pos) < sizeof(*r)) {
			*pos += rest(t, *pos);
			continue;
		}
		*pos += r->size;
		if (r->kept != UNUSED)
			return r;
	}
	return NULL;
}

static void make_room(struct tap *t, size_t n)
{
	while (t->next - t->first + n > t->size) {
		size_t left = rest(t, t->first);

		t->first += left < sizeof(struct rec) ? left : rec_at(t, t->first)->size;
	}
}

/* In lines "a=crypto:TAG SUITE inline:KEY": the key becomes as many x. All suites have a '_' in their name, other lines
 * seldom have one: what is no such line costs one look for that character. */
static void hide_keys(char *p, size_t n)
{
	static const char attr[] = "a=crypto:", method[] = "inline:";
	const char *end = p + n;
	char *at = p;

	while ((at = memchr(at, '_', (size_t)(end - at)))) {
		char *line = memrchr(p, '\n', (size_t)(at - p)), *eol = memchr(at, '\n', (size_t)(end - at));
		bool key = false;

		line = line ? line + 1 : p;
		eol = eol ? eol : p + n;
		if ((size_t)(at - line) >= sizeof(attr) - 1 && strncasecmp(line, attr, sizeof(attr) - 1) == 0) {
			for (; at < eol; at++) {
				if (key && strchr("|; \t\r", *at))
					key = false;
				else if (key)
					*at = 'x';
				else if ((size_t)(eol - at) >= sizeof(method) - 1 &&
				         strncasecmp(at, method, sizeof(method) - 1) == 0) {
					key = true;
					at += sizeof(method) - 2;
				}
			}
		}
		at = eol;
	}
}

void tap_add(struct tap *t, const struct clock *now, bool out, const struct net_path *path, uint64_t key,
    struct str bytes)
{
	size_t kept = bytes.n < t->clip ? bytes.n : t->clip, size = (sizeof(struct rec) + kept + 7) & ~(size_t)7;
	size_t left = rest(t, t->next);
	struct rec *r;

	if (left < size) { /* not split: begin again at the start */
		make_room(t, left);
		if (left >= sizeof(*r)) {
			r = rec_at(t, t->next);
			r->size = (uint32_t)left;
			r->kept = UNUSED;
		}
		t->next += left;
	}
	make_room(t, size);
	r = rec_at(t, t->next);
	r->size = (uint32_t)size;
	r->kept = (uint32_t)kept;
	r->len = (uint32_t)bytes.n;
	r->out = out;
	r->seq = ++t->seq;
	r->key = key;
	r->wall_us = now->wall_us;
	r->mono_us = now->mono_us;
	r->path = *path;
	if (kept)
		memcpy(r->bytes, bytes.p, kept);
	hide_keys(r->bytes, kept);
	t->next += size;
}

uint64_t tap_last_seq(const struct tap *t)
{
	return t->seq;
}

static bool wanted(uint64_t key, const uint64_t *keys, unsigned n_keys)
{
	for (unsigned i = 0; i < n_keys; i++)
		if (keys[i] == key)
			return true;
	return n_keys == 0;
}

void tap_set_hide(struct tap *t, tap_hide_fn *fn)
{
	t->hide = fn;
}

unsigned tap_each(const struct tap *t, const uint64_t *keys, unsigned n_keys, uint64_t after_seq, tap_fn *fn,
    void *ctx)
{
	uint64_t pos = t->first;
	const struct rec *r;
	unsigned n = 0;

	while ((r = rec_next(t, &pos))) {
		struct tap_msg m;

		if (r->seq <= after_seq || !wanted(r->key, keys, n_keys))
			continue;
		if (t->hide)
			t->hide(t->mem + (r->bytes - t->mem), r->kept);
		m = (struct tap_msg){.seq = r->seq, .key = r->key, .wall_us = r->wall_us, .mono_us = r->mono_us,
		    .out = r->out, .path = r->path, .bytes = str_n(r->bytes, r->kept), .len = r->len};
		n++;
		if (!fn(ctx, &m))
			break;
	}
	return n;
}

/* ---- capture file (libpcap's classic format; RFC 791, 8200, 768 for what is made up) ---- */

static void put_le32(struct buf *b, uint32_t v)
{
	uint8_t u[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

	buf_put(b, u, 4);
}

static void put_be16(struct buf *b, unsigned v)
{
	uint8_t u[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	buf_put(b, u, 2);
}

void tap_pcap_head(struct buf *b)
{
	put_le32(b, 0xa1b2c3d4);
	put_le32(b, 4 << 16 | 2); /* version 2.4 */
	put_le32(b, 0);
	put_le32(b, 0);
	put_le32(b, 65535 + 16);
	put_le32(b, 101); /* LINKTYPE_RAW */
}

static uint32_t sum16(uint32_t sum, const void *p, size_t n)
{
	const uint8_t *u = p;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)u[i] << 8 | u[i + 1];
	if (n & 1)
		sum += (uint32_t)u[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static unsigned checksum(uint32_t sum)
{
	unsigned c = ~sum & 0xffff;

	return c ? c : 0xffff; /* 0 would say "none" */
}

static void put_ip4(struct buf *b, struct str from, struct str to, size_t total)
{
	uint8_t h[20] = {0x45, 0, (uint8_t)(total >> 8), (uint8_t)total, 0, 0, 0x40, 0, 64, 17};
	unsigned sum;

	memcpy(h + 12, from.p, 4);
	memcpy(h + 16, to.p, 4);
	sum = ~sum16(0, h, sizeof(h)) & 0xffff;
	h[10] = (uint8_t)(sum >> 8);
	h[11] = (uint8_t)sum;
	buf_put(b, h, sizeof(h));
}

static void put_ip6(struct buf *b, struct str from, struct str to, size_t udp)
{
	uint8_t h[8] = {0x60, 0, 0, 0, (uint8_t)(udp >> 8), (uint8_t)udp, 17, 64};

	buf_put(b, h, sizeof(h));
	buf_str(b, from);
	buf_str(b, to);
}

void tap_pcap_msg(struct buf *b, const struct tap_msg *m)
{
	const struct addr *from = m->out ? &m->path.local : &m->path.remote;
	const struct addr *to = m->out ? &m->path.remote : &m->path.local;
	struct str a = addr_ip_bytes(from), z = addr_ip_bytes(to);
	bool v6 = a.n == 16 || z.n == 16;
	size_t head = v6 ? IP_UDP6 : IP_UDP4, len = m->len, kept = m->bytes.n, udp;
	uint8_t none[16] = {0};
	uint8_t ports[4];
	uint32_t sum;

	/* a side that is not known is shown as :: (or 0.0.0.0, which it is already) */
	if (v6 && a.n == 4)
		a = str_n((const char *)none, 16);
	if (v6 && z.n == 4)
		z = str_n((const char *)none, 16);
	if (len > 65535 - IP_UDP6) /* streams carry more than a datagram can claim */
		len = 65535 - IP_UDP6;
	if (kept > len)
		kept = len;
	udp = len + 8;
	put_le32(b, (uint32_t)(m->wall_us / 1000000));
	put_le32(b, (uint32_t)(m->wall_us % 1000000));
	put_le32(b, (uint32_t)(head + kept));
	put_le32(b, (uint32_t)(head + len));
	if (v6)
		put_ip6(b, a, z, udp);
	else
		put_ip4(b, a, z, udp + 20);
	ports[0] = (uint8_t)(addr_port(from) >> 8);
	ports[1] = (uint8_t)addr_port(from);
	ports[2] = (uint8_t)(addr_port(to) >> 8);
	ports[3] = (uint8_t)addr_port(to);
	buf_put(b, ports, 4);
	put_be16(b, (unsigned)udp);
	/* pseudo header, ports, length twice, bytes; a clipped message has no sum to be right */
	sum = sum16(sum16(sum16(0, a.p, a.n), z.p, z.n), ports, 4) + 17 + (uint32_t)udp * 2;
	put_be16(b, kept == m->len ? checksum(sum16(sum, m->bytes.p, kept)) : 0);
	buf_put(b, m->bytes.p, kept);
}
