/* capture.c - a ring of words that is read while it is written.
 *
 *        first                next
 *   .....[rec][rec][ rec ][rec]....     positions only grow, and are taken modulo the size
 *
 * A record is a head and the packet, in words of 8 bytes, and may lie across the end. To make room the writer moves `first`
 * on, then writes, then moves `next` on. The reader copies a record and looks at `first` again: when it has passed the
 * record, the copy may be of two and is thrown away. All words are atomic, so no read is undefined; the order of their
 * stores and loads is that of a seqlock.
 */
#include "media/capture.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct head {
	uint32_t words;  /* of the whole record */
	uint16_t kept;   /* bytes of the packet that are there */
	uint16_t out;
	uint64_t key, len;
	int64_t mono_us;
	struct addr local, remote;
};
#define HEAD_WORDS ((sizeof(struct head) + 7) / 8)
#define RECORD_WORDS (HEAD_WORDS + (CAPTURE_KEPT_MAX + 7) / 8)

struct capture {
	_Atomic uint64_t *word; /* own: mapped */
	size_t n;               /* words */
	_Atomic uint64_t first, next;
};

struct capture *capture_new(size_t bytes)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->n = (bytes < CAPTURE_BYTES_MIN ? CAPTURE_BYTES_MIN : bytes) / 8;
	c->word = mmap(NULL, c->n * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->word == MAP_FAILED) {
		free(c);
		return NULL;
	}
	(void)madvise(c->word, c->n * 8, MADV_DONTDUMP);
	return c;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	munmap(c->word, c->n * 8);
	free(c);
}

static void put_words(struct capture *c, uint64_t at, const uint64_t *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store_explicit(&c->word[(at + i) % c->n], w[i], memory_order_release);
}

static void get_words(const struct capture *c, uint64_t at, uint64_t *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w[i] = atomic_load_explicit(&c->word[(at + i) % c->n], memory_order_acquire);
}

void capture_put(struct capture *c, const struct capture_packet *p)
{
	size_t kept = p->bytes.n < CAPTURE_KEPT_MAX ? p->bytes.n : CAPTURE_KEPT_MAX, words = HEAD_WORDS + (kept + 7) / 8;
	uint64_t first = atomic_load_explicit(&c->first, memory_order_relaxed);
	uint64_t next = atomic_load_explicit(&c->next, memory_order_relaxed), tmp[RECORD_WORDS];
	struct head h = {.words = (uint32_t)words, .kept = (uint16_t)kept, .out = p->out, .key = p->key, .len = p->len,
	    .mono_us = p->mono_us, .local = p->local, .remote = p->remote};

	while (next - first + words > c->n) {
		uint64_t w;
		uint32_t size;

		get_words(c, first, &w, 1);
		memcpy(&size, &w, sizeof(size));
		first += size;
	}
	atomic_store(&c->first, first);
	tmp[words - 1] = 0;
	tmp[HEAD_WORDS - 1] = 0;
	memcpy(tmp, &h, sizeof(h));
	if (kept)
		memcpy(tmp + HEAD_WORDS, p->bytes.p, kept);
	put_words(c, next, tmp, words);
	atomic_store(&c->next, next + words);
}

void capture_each(const struct capture *c, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx)
{
	uint64_t end = atomic_load(&c->next), at = atomic_load(&c->first), tmp[RECORD_WORDS];

	while (at < end) {
		struct capture_packet p;
		struct head h;
		uint64_t first;

		get_words(c, at, tmp, HEAD_WORDS);
		memcpy(&h, tmp, sizeof(h));
		if (h.key == key && h.words <= RECORD_WORDS && h.words >= HEAD_WORDS)
			get_words(c, at + HEAD_WORDS, tmp + HEAD_WORDS, h.words - HEAD_WORDS);
		first = atomic_load(&c->first);
		if (first > at) { /* overwritten while it was read */
			at = first;
			continue;
		}
		at += h.words;
		if (h.key != key)
			continue;
		p = (struct capture_packet){.key = h.key, .mono_us = h.mono_us, .local = h.local, .remote = h.remote,
		    .out = h.out != 0, .len = h.len, .bytes = str_n((const char *)(tmp + HEAD_WORDS), h.kept)};
		if (!fn(ctx, &p))
			return;
	}
}
