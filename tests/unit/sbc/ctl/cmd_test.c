/* Tests of `trunk test` and `tls probe`: OPTIONS over the trunk's own transactions, answered, refused, silent; the
 * client leaving while it is under way; what cannot be asked. Real connections are in tests/e2e/t_tls.py. */
#include "world.h"

/* The last request of that method that went out. */
static struct sent *last(struct world *w, const char *method)
{
	for (unsigned i = w->n_sent; i > 0 && w->n_sent - i < ARRAY_LEN(w->sent); i--) {
		struct sent *s = &w->sent[(i - 1) % ARRAY_LEN(w->sent)];

		if (str_prefix(str_n(s->bytes, s->n), str_z(method)))
			return s;
	}
	return NULL;
}

/* The far end answers that request. */
static void reply(struct world *w, const struct sent *q, const char *status)
{
	struct str req = str_n(q->bytes, q->n);
	struct net_path from = q->path;
	char m[2048];
	int n = snprintf(m, sizeof(m),
	    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s;tag=far\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n"
	    "Content-Length: 0\r\n\r\n",
	    status, STR(w_header(req, "Via")), STR(w_header(req, "From")), STR(w_header(req, "To")),
	    STR(w_header(req, "Call-ID")), STR(w_header(req, "CSeq")));

	from.local = w->local[from.realm].bound;
	assert_true(n > 0 && (size_t)n < sizeof(m));
	b2b_on_message(w->b2b, &from, m, (size_t)n, REASON_NONE);
	w_advance(w, 1000);
}

/* Types it and waits until OPTIONS went out. */
static int ask(struct world *w, const char *line, struct how how, struct answer *a)
{
	int fd = w_dial(w);

	*a = (struct answer){.code = -1};
	w_request(w, fd, line, how);
	w_listen(w, fd, a, 10);
	return fd;
}

static void answered(void **state)
{
	static const struct {
		const char *status, *has;
		int code;
	} cases[] = {
	    {"200 OK", "opt   200 in 21 ms ok", 0},
	    {"404 Not Found", "opt   404 in 21 ms ok", 0}, /* alive */
	    {"503 Service Unavailable", "opt   503 in 21 ms FAIL", 2},
	};
	struct world *w = w_new();

	(void)state;
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080 probe=off");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a;
		struct sent *s;
		int fd;

		w->n_sent = 0;
		fd = ask(w, "trunk test acme", (struct how){0}, &a);
		s = last(w, "OPTIONS ");
		assert_non_null(s);
		assert_false(a.closed);
		w_advance(w, 21000);
		reply(w, s, cases[i].status);
		w_listen(w, fd, &a, 200);
		if (a.code != cases[i].code || !strstr(text_z(&a.out), cases[i].has))
			print_error("%s: exit %d\n%s%s", cases[i].status, a.code, text_z(&a.out), text_z(&a.err));
		assert_int_equal(a.code, cases[i].code);
		assert_true(strstr(text_z(&a.out), cases[i].has));
		close(fd);
		answer_fini(&a);
		w_advance(w, (int64_t)120 * 1000000);
	}
	w_free(w);
}

/* One of two targets answers: exit 1 and which one does not. As JSON the same. */
static void half(void **state)
{
	struct world *w = w_new();
	json_t *j, *ways;
	struct answer a;
	int fd;

	(void)state;
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080@1,127.0.0.2:25081@2 probe=off");
	fd = ask(w, "trunk test acme", (struct how){.json = true}, &a);
	for (unsigned i = 0, n = w->n_sent; i < n; i++)
		if (addr_port(&w->sent[i].path.remote) == 25081)
			reply(w, &w->sent[i], "200 OK");
	assert_false(a.closed);
	w_advance(w, (int64_t)15 * 1000000);
	w_listen(w, fd, &a, 200);
	assert_int_equal(a.code, 1);
	j = json_loads(text_z(&a.out), 0, NULL);
	assert_non_null(j);
	ways = json_object_get(json_object_get(j, "data"), "ways");
	assert_int_equal(json_array_size(ways), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ways, 0), "level")), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(ways, 0), "options_reason")), "PSN-E2114");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ways, 1), "options_status")), 200);
	assert_int_equal(json_array_size(json_object_get(j, "messages")), 1);
	json_decref(j);
	answer_fini(&a);
	close(fd);
	/* the one without an answer ends later and finds nobody */
	w_advance(w, (int64_t)60 * 1000000);
	w_free(w);
}

/* The client leaves, and the daemon stops, while OPTIONS are under way. */
static void left(void **state)
{
	struct world *w = w_new();
	struct answer a;
	int fd;

	(void)state;
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080 probe=off");
	fd = ask(w, "trunk test acme", (struct how){0}, &a);
	assert_non_null(last(w, "OPTIONS "));
	close(fd);
	for (int i = 0; i < 10; i++)
		loop_turn(&w->loop, 2);
	assert_int_equal(ctl_server_clients(w->ctl), 0);
	reply(w, last(w, "OPTIONS "), "200 OK");
	answer_fini(&a);
	w_advance(w, (int64_t)60 * 1000000);
	fd = ask(w, "trunk test acme", (struct how){0}, &a);
	close(fd);
	answer_fini(&a);
	fd = ask(w, "trunk test acme", (struct how){0}, &a);
	w_free(w);
	close(fd);
	answer_fini(&a);
}

static void cannot_be_asked(void **state)
{
	static const struct {
		const char *line, *has;
		int code;
	} cases[] = {
	    {"trunk test nobody", "no trunk 'nobody'", 2},
	    {"tls probe sip:x;transport=udp", "this is about TLS", 2},
	    {"tls probe itsp.example:x", "port", 2},
	    {"tls probe 127.0.0.9:5061 --realm nowhere", "no realm 'nowhere'", 2},
	    {"tls probe 127.0.0.9:5061 --cert mine", "cannot be shown", 2},
	    {"tls probe", "HOST:PORT is missing", 64},
	};
	struct world *w = w_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a;

		w_run_how(w, cases[i].line, (struct how){0}, &a);
		if (a.code != cases[i].code || !(strstr(text_z(&a.out), cases[i].has) || strstr(text_z(&a.err), cases[i].has)))
			print_error("%s: exit %d\n%s%s", cases[i].line, a.code, text_z(&a.out), text_z(&a.err));
		assert_int_equal(a.code, cases[i].code);
		assert_true(strstr(text_z(&a.out), cases[i].has) || strstr(text_z(&a.err), cases[i].has));
		answer_fini(&a);
	}
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answered),
	    cmocka_unit_test(half),
	    cmocka_unit_test(left),
	    cmocka_unit_test(cannot_be_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
