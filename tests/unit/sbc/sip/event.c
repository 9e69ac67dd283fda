/* event.c - Event and Subscription-State: what is read, what is refused, what is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/event.h"

static struct arena_pool pool;
static struct arena *a;
static char space[4096];

static struct sip_msg *with(const char *lines)
{
	struct sip_perr err;
	struct sip_msg *m;
	struct buf b;

	arena_reset(a);
	buf_init(&b, space, sizeof(space));
	buf_lit(&b, "NOTIFY sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n"
	            "Call-ID: c\r\nCSeq: 1 NOTIFY\r\n");
	buf_str(&b, str_z(lines));
	buf_lit(&b, "\r\n");
	if (sip_parse(a, b.p, b.n, &m, &err) < 0)
		fail_msg("%s: %s", err.why, lines);
	return m;
}

static void assert_event(const char *lines, const char *package, const char *id)
{
	struct sip_event e;

	if (sip_event(with(lines), &e) != 0 || !str_eq(e.package, str_z(package)) || !str_eq(e.id, str_z(id)))
		fail_msg("%s: not %s id %s", lines, package, id);
}

static void events(void **state)
{
	struct sip_event x = {S("reg"), STR_NONE}, y = {S("reg"), S("1")};
	struct sip_event e;
	char text[64];
	struct buf b;

	(void)state;
	assert_event("Event: reg\r\n", "reg", "");
	assert_event("o: reg\r\n", "reg", "");
	assert_event("Event: presence.winfo;id=a7 ; x=\";id=b\"\r\n", "presence.winfo", "a7");
	assert_event("Event: refer ;ID=93809824\r\n", "refer", "93809824");
	assert_int_equal(sip_event(with(""), &e), -ENOENT);
	assert_int_equal(sip_event(with("Event: reg\r\nEvent: reg\r\n"), &e), -EBADMSG);
	assert_int_equal(sip_event(with("Event: reg, dialog\r\n"), &e), -EBADMSG);
	assert_int_equal(sip_event(with("Event: \r\n"), &e), -EBADMSG);
	assert_int_equal(sip_event(with("Event: ;id=1\r\n"), &e), -EBADMSG);
	assert_int_equal(sip_event(with("Event: reg;id=\r\n"), &e), -EBADMSG);
	assert_int_equal(sip_event(with("Event: reg;id=\"a b\"\r\n"), &e), -EBADMSG);
	/* with an id never matches without; bytes count, not meaning */
	assert_false(sip_event_eq(&x, &y));
	assert_true(sip_event_eq(&x, &(struct sip_event){S("reg"), STR_NONE}));
	assert_false(sip_event_eq(&x, &(struct sip_event){S("REG"), STR_NONE}));
	assert_true(sip_event_eq(&y, &(struct sip_event){S("reg"), S("1")}));
	buf_init(&b, text, sizeof(text));
	sip_put_event(&b, &x);
	buf_chr(&b, ' ');
	sip_put_event(&b, &y);
	assert_true(str_eq(buf_text(&b), S("reg reg;id=1")));
}

static void states(void **state)
{
	struct sip_substate_value v;

	(void)state;
	assert_int_equal(sip_substate(with("Subscription-State: active;expires=3600\r\n"), &v), 0);
	assert_true(v.state == SIP_SUB_ACTIVE && v.has_expires && v.expires_s == 3600 && !v.has_retry && v.why == 0);
	assert_int_equal(sip_substate(with("Subscription-State: Pending\r\n"), &v), 0);
	assert_true(v.state == SIP_SUB_PENDING && !v.has_expires);
	for (unsigned i = SIP_SUBWHY_DEACTIVATED; i < SIP_SUBWHY_OTHER; i++) {
		char line[128];

		snprintf(line, sizeof(line), "Subscription-State: terminated ; reason=%s;retry-after=17\r\n", sip_subwhy_names[i]);
		assert_int_equal(sip_substate(with(line), &v), 0);
		assert_true(v.state == SIP_SUB_TERMINATED && v.why == i && v.has_retry && v.retry_s == 17);
	}
	assert_int_equal(sip_substate(with("Subscription-State: terminated;reason=bored\r\n"), &v), 0);
	assert_int_equal(v.why, SIP_SUBWHY_OTHER);
	assert_int_equal(sip_substate(with("Subscription-State: terminated\r\n"), &v), 0);
	assert_int_equal(v.why, SIP_SUBWHY_NONE);
	assert_int_equal(sip_substate(with("Subscription-State: resting;expires=99999999999999999999\r\n"), &v), 0);
	assert_true(v.state == SIP_SUB_OTHER && str_eq(v.state_text, S("resting")) && v.expires_s == UINT32_MAX);
	assert_int_equal(sip_substate(with(""), &v), -ENOENT);
	assert_int_equal(sip_substate(with("Subscription-State: active;expires=soon\r\n"), &v), -EBADMSG);
	assert_int_equal(sip_substate(with("Subscription-State: active;expires\r\n"), &v), -EBADMSG);
	assert_int_equal(sip_substate(with("Subscription-State: terminated;retry-after=-1\r\n"), &v), -EBADMSG);
	assert_int_equal(sip_substate(with("Subscription-State: active\r\nSubscription-State: active\r\n"), &v), -EBADMSG);
	assert_int_equal(sip_substate(with("Subscription-State: \"active\"\r\n"), &v), -EBADMSG);
}

static int setup(void **state)
{
	(void)state;
	arena_pool_init(&pool, 16384, 2);
	a = arena_new(&pool);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(a);
	arena_pool_fini(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(events),
	    cmocka_unit_test(states),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
