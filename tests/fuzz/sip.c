/* sip.c - any bytes as a SIP message: parse, read every header with every reader, print, parse again.
 *
 * links: sbc_sip
 *
 * Holds: whatever sip_parse() says, every slice lies in the buffer; what parses, parses again to the same when
 * it is printed from its table; an answer to it parses, has the same Vias, and no line that was not there.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/base/arena.h"
#include "sbc/sip/print.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct str text; /* the buffer being parsed */

static void inside(struct str s)
{
	CHECK(s.n == 0 || (s.p >= text.p && s.p + s.n <= text.p + text.n));
}

static void read_uri(const struct sip_uri *u)
{
	char space[256];
	struct buf b;
	struct addr a;
	struct str rest = u->params, n, v;

	inside(u->raw);
	inside(u->user);
	inside(u->host);
	inside(u->headers);
	while (sip_param_next(&rest, &n, &v)) {
		inside(n);
		inside(v);
	}
	CHECK(sip_uri_eq(u, u));
	(void)sip_uri_addr(u, &a);
	buf_init(&b, space, sizeof(space));
	if (sip_uri_number(u, &b) == 0) {
		CHECK(b.n > 0);
		for (size_t i = 0; i < b.n; i++)
			CHECK(b.p[i] && strchr(i ? "0123456789*#abcd" : "+0123456789*#abcd", b.p[i]));
	} else {
		CHECK(b.n == 0);
	}
}

static void read_addr(struct str value)
{
	struct sip_addr a, again;
	char space[8192];
	struct buf b;

	if (sip_addr_parse(value, &a) < 0)
		return;
	inside(a.display);
	inside(a.params);
	inside(a.tag);
	read_uri(&a.uri);
	/* what we write we can read, and it is the same URI */
	buf_init(&b, space, sizeof(space));
	sip_put_name_addr(&b, a.display, a.uri.raw);
	if (buf_err(&b))
		return;
	CHECK(sip_addr_parse(buf_text(&b), &again) == 0);
	CHECK(str_eq(again.uri.raw, a.uri.raw));
}

static void read_all(const struct sip_msg *m)
{
	struct str v;
	uint32_t s;
	char *space;
	struct buf b;

	inside(m->head);
	inside(m->body);
	for (unsigned i = 0; i < m->n_hdr; i++) {
		inside(m->hdr[i].name);
		inside(m->hdr[i].value);
		CHECK(!memchr(m->hdr[i].value.p, '\n', m->hdr[i].value.n));
		CHECK(!memchr(m->hdr[i].value.p, '\r', m->hdr[i].value.n));
	}
	for (unsigned id = 0; id < SIP_H_COUNT; id++) {
		struct sip_values w = sip_values(m, (enum sip_hdr_id)id);
		struct sip_via via;

		while (sip_values_next(&w, &v)) {
			inside(v);
			read_addr(v);
			if (sip_via_parse(v, &via) == 0) {
				inside(via.host);
				inside(via.params);
				inside(via.branch);
			}
		}
		CHECK(sip_delta_seconds(m, (enum sip_hdr_id)id, &s) <= 0);
		(void)sip_has_token(m, (enum sip_hdr_id)id, S("100rel"));
	}
	CHECK(sip_retry_after(m, &s) <= 0);
	(void)sip_body_is(m, S("application/sdp"));
	if (sip_body_sdp(m, &v) == 0)
		inside(v);
	space = malloc(text.n + 1024);
	CHECK(space);
	buf_init(&b, space, text.n + 1024);
	sip_body_put_sdp(m, S("v=0\r\n"), &b, &v);
	CHECK(buf_err(&b) == 0);
	buf_init(&b, space, text.n + 1024);
	sip_body_put_sdp(m, STR_NONE, &b, &v);
	CHECK(buf_err(&b) == 0 && b.n <= text.n);
	free(space);
}

static void answer(struct arena_pool *pool, const struct sip_msg *m)
{
	size_t cap = 3 * text.n + 4096;
	char *space = malloc(cap), via_text[16384];
	struct arena *a = arena_new(pool);
	struct sip_msg *r;
	struct sip_perr err;
	struct buf b, vb;
	struct addr source;

	CHECK(space && a && addr_parse(S("192.0.2.7:40000"), 0, &source) == 0);
	buf_init(&vb, via_text, sizeof(via_text));
	sip_put_via_fixed(&vb, &m->via, &source, NULL);
	CHECK(buf_err(&vb) == 0);
	buf_init(&b, space, cap);
	sip_put_response_head_via(&b, m, buf_text(&vb), 400, STR_NONE, S("t1"));
	sip_put_body(&b, STR_NONE, STR_NONE);
	CHECK(buf_err(&b) == 0);
	CHECK(sip_parse(a, b.p, b.n, &r, &err) != -ENOMEM);
	CHECK(!r->is_request && r->status == 400 && r->n_via == m->n_via);
	CHECK(r->n_hdr <= m->n_hdr + 1 && r->body.n == 0);
	CHECK(str_eq(sip_hdr_value(r, SIP_H_FROM), sip_hdr_value(m, SIP_H_FROM)));
	arena_free(a);
	free(space);
}

/* a message that was accepted, printed from its table, is the same message */
static void round_trip(struct arena_pool *pool, const struct sip_msg *m)
{
	size_t cap = 2 * text.n + 4096;
	char *space = malloc(cap);
	struct arena *a = arena_new(pool);
	struct sip_msg *r;
	struct sip_perr err;
	struct buf b;
	bool has_length = sip_hdr(m, SIP_H_CONTENT_LENGTH) != NULL;

	CHECK(space && a);
	buf_init(&b, space, cap);
	if (m->is_request) {
		buf_str(&b, m->method_name);
		buf_chr(&b, ' ');
		buf_str(&b, m->ruri_raw);
		buf_lit(&b, " SIP/2.0\r\n");
	} else {
		buf_fmt(&b, "SIP/2.0 %u ", m->status);
		buf_str(&b, m->reason_phrase);
		buf_lit(&b, "\r\n");
	}
	for (unsigned i = 0; i < m->n_hdr; i++) {
		buf_str(&b, m->hdr[i].name);
		buf_lit(&b, ": ");
		buf_str(&b, m->hdr[i].value);
		buf_lit(&b, "\r\n");
	}
	buf_lit(&b, "\r\n");
	buf_str(&b, m->body);
	CHECK(buf_err(&b) == 0);
	if (b.n <= SIP_MSG_MAX) {
		CHECK(sip_parse(a, b.p, b.n, &r, &err) == 0);
		CHECK(r->n_hdr == m->n_hdr && r->n_via == m->n_via && r->cseq == m->cseq);
		CHECK(r->method == m->method && r->max_forwards == m->max_forwards);
		CHECK(str_eq(r->from.tag, m->from.tag) && str_eq(r->via.branch, m->via.branch));
		CHECK(str_eq(r->body, m->body));
		CHECK(has_length == (sip_hdr(r, SIP_H_CONTENT_LENGTH) != NULL));
	}
	arena_free(a);
	free(space);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena_pool pool;
	struct arena *a;
	struct sip_msg *m;
	struct sip_perr err;
	char *copy = malloc(n ? n : 1);
	int e;

	CHECK(copy);
	if (n)
		memcpy(copy, p, n);
	text = str_n(copy, n);
	arena_pool_init(&pool, 8192, 2);
	a = arena_new(&pool);
	CHECK(a);
	e = sip_parse(a, copy, n, &m, &err);
	CHECK(e == 0 || e == -EBADMSG);
	CHECK((e == 0) == (err.reason == REASON_NONE));
	CHECK(err.at <= n);
	read_all(m);
	if (e == 0) {
		round_trip(&pool, m);
		read_uri(&m->ruri);
	}
	if (m->is_request && (e == 0 || err.status))
		answer(&pool, m);
	arena_free(a);
	arena_pool_fini(&pool);
	free(copy);
	return 0;
}
