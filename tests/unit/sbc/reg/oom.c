/* oom.c - each allocation of a REGISTER fails once: no crash, no leak, no binding that is less than what was asked for,
 * and the next REGISTER works. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -Wl,--wrap: the n-th allocation from now on fails; 0: none */
static unsigned fail_at, made;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);

void *__wrap_malloc(size_t n)
{
	return ++made == fail_at ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return ++made == fail_at ? NULL : __real_calloc(n, m);
}

#include "rig.h"

#define NUMBER "sip:+4930123451@sbc.example.net"
#define LINES                                                                                      \
	"Supported: path, outbound, gruu\r\nPath: <sip:edge;lr;ob>\r\n"                            \
	"Contact: <sip:phone@h>;x=1;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n"

/* false: it made fewer allocations */
static bool starved(unsigned n, bool *ret_good)
{
	struct rig *r = malloc(sizeof(*r));
	const struct reg_contact *c, *trunk;
	char text[4096];
	bool reached;
	int len;

	rig_init(r);
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	len = snprintf(text, sizeof(text),
	    "REGISTER sip:sbc.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKoom;rport\r\n"
	    "Max-Forwards: 70\r\nFrom: <" NUMBER ">;tag=p\r\nTo: <" NUMBER ">\r\nCall-ID: oom@pbx\r\nCSeq: 9 REGISTER\r\n"
	    "%s%sContent-Length: 0\r\n\r\n",
	    LINES, rig_credentials(r));
	r->n_sent = 0;
	made = 0;
	fail_at = n;
	txn_on_message(r->txn, &r->from, text, (size_t)len, REASON_NONE);
	rig_release(r);
	reached = made >= n;
	fail_at = 0;
	trunk = bindings_next(reg_bindings(r->reg), 1, STR_NONE, NULL);
	assert_non_null(trunk);
	assert_true(trunk->bulk);
	assert_null(bindings_next(reg_bindings(r->reg), 1, STR_NONE, trunk));
	c = bindings_next(reg_bindings(r->reg), 1, S("+4930123451"), NULL);
	*ret_good = c != NULL;
	if (r->n_sent && strncmp(r->sent[0], "SIP/2.0 200", 11) == 0)
		assert_non_null(c);
	if (c && (!str_eq(c->uri, S("sip:phone@h")) || !str_eq(c->params, S("x=1")) || c->reg_id != 1 ||
	             !str_eq(c->instance, S("<urn:uuid:1>")) || !str_eq(c->call_id, S("oom@pbx")) ||
	             !str_eq(c->path, S("<sip:edge;lr;ob>"))))
		fail_msg("allocation %u: a binding that lacks something", n);
	rig_run(r, 40);
	r->n_sent = 0;
	assert_status(rig_register(r, NUMBER, LINES), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	rig_fini(r);
	free(r);
	return reached;
}

static void each_allocation_of_a_register(void **s)
{
	unsigned n = 1, failed = 0;
	bool good;

	(void)s;
	while (starved(n, &good)) {
		failed += !good;
		assert_true(n++ < 1000);
	}
	assert_true(good);
	assert_true(failed >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_allocation_of_a_register),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
