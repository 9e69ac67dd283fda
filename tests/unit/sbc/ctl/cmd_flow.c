/* Tests of the flow commands against real sockets on loopback: what is listed is what is connected, an id means one
 * connection for ever, and closing one leaves the others. */
#include "world.h"

#include "sbc/net/netio.h"

static bool admit(void *ctx, const struct net_path *from)
{
	(void)ctx;
	(void)from;
	return true;
}

static void message(void *ctx, const struct net_path *from, char *buf, size_t len, enum reason bad)
{
	(void)ctx;
	(void)from;
	(void)buf;
	(void)len;
	(void)bad;
}

static void failure(void *ctx, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	(void)ctx;
	(void)to;
	(void)owner;
	(void)err;
	(void)sent;
}

static enum net_frame_kind all_of_it(
    struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason)
{
	(void)f;
	(void)p;
	(void)ret_reason;
	*ret_len = n;
	return NET_FRAME_MSG;
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

struct flows {
	struct world *w;
	struct netio *io;
	int fd[3];
	struct addr port; /* our listener */
};

static void flows_begin(struct flows *f)
{
	static const struct net_user user = {.admit = admit, .on_message = message, .on_failure = failure};
	struct net_listener_cfg l[2] = {{.realm = 0, .proto = NET_TCP}, {.realm = 1, .proto = NET_TCP}}, have;
	struct netio_error err;
	struct netio_cfg cfg;
	unsigned at = 0;

	f->w = w_new();
	assert_int_equal(addr_parse(S("127.0.0.1:0"), 0, &l[0].bound), 0);
	assert_int_equal(addr_parse(S("127.0.0.2:0"), 0, &l[1].bound), 0);
	netio_cfg_defaults(&cfg);
	cfg.listeners = l;
	cfg.n_listeners = 2;
	assert_int_equal(netio_new(&f->w->loop, &f->w->env, &cfg, &user, f, all_of_it, &f->io, &err), 0);
	f->w->ctl->be.net = f->io;
	assert_true(netio_listener_next(f->io, &at, &have));
	f->port = have.bound;
	for (int i = 0; i < 3; i++) {
		f->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(f->fd[i] >= 0);
		(void)connect(f->fd[i], &f->port.sa, addr_len(&f->port));
		loop_turn(&f->w->loop, 20);
	}
	for (int i = 0; i < 50 && netio_count(f->io, NET_TCP_OPEN) < 3; i++)
		loop_turn(&f->w->loop, 20);
	assert_int_equal(netio_count(f->io, NET_TCP_OPEN), 3);
}

static void flows_end(struct flows *f)
{
	bool gone = false;

	for (int i = 0; i < 3; i++)
		close(f->fd[i]);
	netio_free(f->io, closed, &gone);
	for (int i = 0; i < 100 && !gone; i++)
		loop_turn(&f->w->loop, 10);
	assert_true(gone);
	f->w->ctl->be.net = NULL;
	w_free(f->w);
}

/* The flows as JSON; data is to be given back. */
static json_t *list(struct flows *f, const char *line)
{
	struct answer a;
	json_t *j, *data;

	w_run_how(f->w, line, (struct how){.json = true}, &a);
	j = json_loads(text_z(&a.out), 0, NULL);
	assert_non_null(j);
	data = json_incref(json_object_get(j, "data"));
	json_decref(j);
	answer_fini(&a);
	return data;
}

static const char *flow_of(const json_t *data, unsigned i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(data, "flows"), i), key));
}

static void lists(void **state)
{
	struct flows f;
	struct answer a;
	json_t *data;

	(void)state;
	flows_begin(&f);
	w_ok(f.w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(f.w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080");
	data = list(&f, "flow list");
	assert_int_equal(json_integer_value(json_object_get(data, "total")), 3);
	assert_int_equal(json_array_size(json_object_get(data, "flows")), 3);
	assert_string_equal(flow_of(data, 0, "trunk"), "pbx");
	assert_string_equal(flow_of(data, 0, "realm"), "lan");
	assert_string_equal(flow_of(data, 0, "proto"), "TCP");
	assert_string_equal(flow_of(data, 0, "opened_by"), "them");
	json_decref(data);
	data = list(&f, "flow list --trunk acme");
	assert_int_equal(json_array_size(json_object_get(data, "flows")), 0);
	json_decref(data);
	data = list(&f, "flow list -n 2");
	assert_int_equal(json_integer_value(json_object_get(data, "total")), 3);
	assert_int_equal(json_array_size(json_object_get(data, "flows")), 2);
	json_decref(data);
	w_run_how(f.w, "flow list -n 2", (struct how){0}, &a);
	assert_non_null(strstr(text_z(&a.out), "2 of 3 are shown"));
	answer_fini(&a);
	w_run_how(f.w, "flow alias", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "no connection is reused"));
	answer_fini(&a);
	w_run_how(f.w, "flow list --trunk nobody", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	answer_fini(&a);
	for (unsigned columns = 80; columns <= 140; columns += 20) {
		struct str rest, one;

		w_run_how(f.w, "flow list", (struct how){.columns = columns}, &a);
		for (rest = text_get(&a.out); !str_empty(rest);) {
			rest = str_cut(rest, '\n', &one);
			assert_true(one.n <= columns);
		}
		answer_fini(&a);
	}
	flows_end(&f);
}

static void shows_and_closes(void **state)
{
	struct flows f;
	struct answer a;
	char id[16], line[64], byte;
	json_t *data;
	int open = 0;

	(void)state;
	flows_begin(&f);
	data = list(&f, "flow list");
	snprintf(id, sizeof(id), "%s", flow_of(data, 1, "flow"));
	json_decref(data);
	snprintf(line, sizeof(line), "flow show %s", id);
	w_run_how(f.w, line, (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "127.0.0.1:"));
	answer_fini(&a);
	w_run_how(f.w, "__list flow", (struct how){0}, &a);
	assert_non_null(strstr(text_z(&a.out), id));
	answer_fini(&a);
	snprintf(line, sizeof(line), "flow close %s", id);
	w_ok(f.w, line);
	for (int i = 0; i < 50; i++)
		loop_turn(&f.w->loop, 2);
	/* one of the three hears the end, the others nothing */
	for (int i = 0; i < 3; i++)
		open += recv(f.fd[i], &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
	assert_int_equal(open, 2);
	for (int i = 0; i < 3; i++)
		if (recv(f.fd[i], &byte, 1, MSG_PEEK) == 0)
			shutdown(f.fd[i], SHUT_RDWR);
	for (int i = 0; i < 50 && netio_count(f.io, NET_TCP_OPEN) > 2; i++)
		loop_turn(&f.w->loop, 10);
	/* its id means nothing any more, also when its place is taken again */
	close(f.fd[0]);
	f.fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)connect(f.fd[0], &f.port.sa, addr_len(&f.port));
	for (int i = 0; i < 20; i++)
		loop_turn(&f.w->loop, 5);
	snprintf(line, sizeof(line), "flow show %s", id);
	w_run_how(f.w, line, (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "PSN-E5012"));
	answer_fini(&a);
	w_run_how(f.w, "flow close zz", (struct how){0}, &a);
	assert_int_equal(a.code, 64);
	answer_fini(&a);
	flows_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lists),
	    cmocka_unit_test(shows_and_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
