/* ctl.c - any bytes as what a client sends over the control socket, in pieces of any size.
 *
 * links: sbc_ctl
 *
 * Holds: no crash and no leak; what is refused says why; the same bytes whole and in pieces end the same way; what is
 * accepted is within its limits, and its command line is parsed or refused with a text that has no control bytes.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/ctl/proto.h"
#include "sbc/ctl/table.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void parse(const struct proto *p)
{
	struct ctl_args *a = calloc(1, sizeof(*a));
	struct ctl_global g = {0};
	struct text t = {0};
	const char *kind = "";
	enum ctl_parse_result r;

	CHECK(a);
	r = ctl_parse(p->req.argc, p->req.argv, a, &g, &t);
	CHECK(r != CTL_USAGE || t.n > 0);
	CHECK(r != CTL_PARSED || (a->cmd && t.n == 0));
	for (size_t i = 0; i < t.n; i++)
		CHECK((unsigned char)t.p[i] >= 0x20 || t.p[i] == '\n');
	for (unsigned i = 0; i < a->n; i++)
		CHECK(a->v[i].row && a->v[i].text);
	ctl_complete(&t, p->req.argc, p->req.argv, &kind);
	CHECK(kind);
	text_fini(&t);
	free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct proto whole = {0}, pieces = {0};
	struct str text = STR_NONE;
	char *out = NULL;
	size_t out_n = 0, step = n ? p[0] % 7u + 1 : 1;
	int code = -1, r = proto_feed(&whole, p, n), q = 0;
	char kind;

	CHECK(r == 0 || r == 1 || r == -EBADMSG);
	CHECK(r != -EBADMSG || whole.why);
	for (size_t i = 0; i < n && q == 0; i += step)
		q = proto_feed(&pieces, p + i, n - i < step ? n - i : step);
	CHECK(q == r);
	if (r == 1) {
		CHECK(whole.req.argc <= PROTO_ARGS_MAX);
		CHECK(whole.req.columns >= 20 && whole.req.columns <= 500);
		CHECK(pieces.req.argc == whole.req.argc);
		parse(&whole);
	}
	proto_fini(&whole);
	proto_fini(&pieces);
	/* and as an answer, which the client reads */
	text = str_n((const char *)p, n);
	kind = proto_read_answer(text, &out, &out_n, &code);
	CHECK((kind == 'o' || kind == 'e' || kind == 'b') == (out != NULL));
	free(out);
	return 0;
}
