/* event.c - any bytes as header lines of a NOTIFY: Event and Subscription-State are read from them.
 *
 * links: sbc_sip
 *
 * Holds: an event that was read is written and read again as the same; what was read lies inside the message.
 */
#include <stdlib.h>

#include "sbc/base/arena.h"
#include "sbc/sip/event.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define HEAD \
	"NOTIFY sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=t\r\n" \
	"Call-ID: c\r\nCSeq: 1 NOTIFY\r\n"

static int parse(struct arena *a, struct str lines, struct sip_msg **m)
{
	struct sip_perr err;
	struct buf b;
	char *p = arena_alloc(a, sizeof(HEAD) + lines.n + 4);

	CHECK(p);
	buf_init(&b, p, sizeof(HEAD) + lines.n + 4);
	buf_lit(&b, HEAD);
	buf_str(&b, lines);
	buf_lit(&b, "\r\n\r\n");
	CHECK(buf_err(&b) == 0);
	return sip_parse(a, p, b.n, m, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct sip_substate_value v;
	struct arena_pool pool;
	struct sip_event e, f;
	struct sip_msg *m, *k;
	struct arena *a;
	char text[4096];
	struct buf b;

	if (n > 2048)
		return 0;
	arena_pool_init(&pool, 32768, 1);
	a = arena_new(&pool);
	CHECK(a);
	if (parse(a, str_n((const char *)p, n), &m) == 0) {
		if (sip_event(m, &e) == 0) {
			CHECK(e.package.n > 0 && e.package.p >= m->head.p && e.package.p < m->head.p + m->head.n);
			buf_init(&b, text, sizeof(text));
			buf_lit(&b, "Event: ");
			sip_put_event(&b, &e);
			CHECK(buf_err(&b) == 0);
			CHECK(parse(a, buf_text(&b), &k) == 0 && sip_event(k, &f) == 0 && sip_event_eq(&e, &f));
		}
		if (sip_substate(m, &v) == 0)
			CHECK(v.state_text.n > 0 && v.why < SIP_SUBWHYS && v.state <= SIP_SUB_OTHER);
	}
	arena_free(a);
	arena_pool_fini(&pool);
	return 0;
}
