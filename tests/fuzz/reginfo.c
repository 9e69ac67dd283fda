/* reginfo.c - any bytes as a registration document; what was read is written and read again.
 *
 * links: sbc_reg
 *
 * Holds: the second reading tells the same of the same registrations and contacts.
 */
#include <stdlib.h>

#include "sbc/reg/reginfo.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct told {
	struct buf *out; /* NULL: only sums */
	bool open;
	uint64_t sum;
	unsigned n;
};

static void add(struct told *t, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		t->sum = t->sum * 31 + (unsigned char)s.p[i];
	t->sum = t->sum * 31 + s.n;
}

static void begin(void *ctx, uint32_t version, bool full)
{
	struct told *t = ctx;

	t->sum += version + full;
	if (t->out)
		reginfo_begin(t->out, version, full);
}

static void registration(void *ctx, struct str aor, struct str id, enum reginfo_state state)
{
	struct told *t = ctx;

	add(t, aor);
	add(t, id);
	t->sum += state;
	t->n++;
	if (t->out && t->open)
		reginfo_end_registration(t->out);
	t->open = true;
	if (t->out)
		reginfo_put_registration(t->out, aor, id, state);
}

static void contact(void *ctx, struct str aor, const struct reginfo_contact *c)
{
	struct told *t = ctx;

	CHECK(c->uri.n && c->uri.n <= REGINFO_TEXT_MAX);
	add(t, aor);
	add(t, c->id);
	add(t, c->uri);
	t->sum += c->event + c->active + c->expires_s + c->retry_s;
	t->n++;
	if (t->out)
		reginfo_put_contact(t->out, c);
}

static const struct reginfo_reader reader = {begin, registration, contact};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t cap = n * 64 + 4096;
	struct told a = {0}, b = {0};
	struct buf out;
	char *text;

	if (n > 8192)
		return 0;
	text = malloc(cap);
	CHECK(text);
	buf_init(&out, text, cap);
	a.out = &out;
	if (reginfo_read(str_n((const char *)p, n), &reader, &a) == 0) {
		if (a.open)
			reginfo_end_registration(&out);
		reginfo_end(&out);
		CHECK(buf_err(&out) == 0);
		CHECK(reginfo_read(buf_text(&out), &reader, &b) == 0);
		CHECK(a.n == b.n && a.sum == b.sum);
	}
	free(text);
	return 0;
}
