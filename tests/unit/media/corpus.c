/* Offers as devices write them: every file of tests/data/sdp/vendors is taken, goes through to the other side in
 * strict form and comes back as an answer; every pair of tests/data/sdp/golden is told exactly what its .ok says.
 *
 * A golden .in: "codecs-a LIST", "codecs-b LIST", "family-b 6", then steps, each with the lines of a description:
 *     offer a      from A; prints what B is offered
 *     answer       of the other side; prints what the offerer is answered, and the programs
 *     commit / rollback
 * After a change that is meant, POSTERN_GOLDEN_WRITE=1 writes the .ok files; read the difference before keeping it. */
#include "world.h"

#include <dirent.h>

static char *read_file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(SDP_TEXT_MAX + 2);

	assert_non_null(f);
	assert_non_null(text);
	*ret_n = fread(text, 1, SDP_TEXT_MAX + 1, f);
	text[*ret_n] = '\0';
	fclose(f);
	return text;
}

/* our own text: v o s c b* t a* then for each stream m c? b* a*, CRLF, nothing else (RFC 8866 5) */
static void check_strict(const char *text)
{
	const char *order = "vosc";
	size_t at = 0;
	char last = 0;
	bool media = false;

	for (const char *p = text; *p;) {
		const char *end = strstr(p, "\r\n");

		assert_non_null(end);
		assert_null(memchr(p, '\n', (size_t)(end - p)));
		assert_null(memchr(p, '\r', (size_t)(end - p)));
		assert_true(end - p > 2 && p[1] == '=');
		if (at < 4) {
			assert_int_equal(p[0], order[at++]);
		} else if (p[0] == 'm') {
			assert_true(media || last == 't' || last == 'a');
			media = true;
		} else if (!media) {
			assert_non_null(strchr("bta", p[0]));
			assert_true(p[0] != 't' || last == 'c' || last == 'b');
			assert_true(p[0] != 'a' || last == 't' || last == 'a');
		} else {
			assert_non_null(strchr("cba", p[0]));
			assert_true(p[0] != 'c' || last == 'm');
			assert_true(p[0] != 'b' || last == 'm' || last == 'c' || last == 'b');
		}
		last = p[0];
		p = end + 2;
	}
	assert_int_equal(at, 4);
}

/* parse, memo, parse again, memo again: the same */
static void check_memo(struct world *w, struct str text)
{
	struct arena *a = arena_new(&w->m->exchanges);
	static char one[2 * SDP_TEXT_MAX], two[2 * SDP_TEXT_MAX];
	struct sdp *s, *again;
	struct sdp_error err;
	struct buf b1, b2;

	assert_int_equal(sdp_parse(a, text, 16, &s, &err), 0);
	buf_init(&b1, one, sizeof(one));
	sdp_memo(&b1, s);
	assert_int_equal(sdp_parse(a, buf_text(&b1), 16, &again, &err), 0);
	buf_init(&b2, two, sizeof(two));
	sdp_memo(&b2, again);
	assert_true(str_eq(buf_text(&b1), buf_text(&b2)));
	assert_int_equal(s->n_media, again->n_media);
	arena_free(a);
}

static void run_vendor(const char *path)
{
	struct world w;
	size_t n;
	char *offer = read_file(path, &n), *answer;
	char told[2][8192];
	enum reason r;

	world_init(&w);
	world_open(&w);
	check_memo(&w, str_n(offer, n));
	r = media_remote_offer(w.mc, A, str_n(offer, n));
	if (r)
		print_message("%s: %s\n", path, reason_info(r)->name);
	assert_int_equal(r, REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	check_strict(w.text[B]);
	answer = strdup(w.text[B]); /* B is of our opinion */
	assert_non_null(answer);
	assert_int_equal(media_remote_answer(w.mc, B, str_z(answer)), REASON_NONE);
	assert_int_equal(local(&w, A, false), REASON_NONE);
	check_strict(w.text[A]);
	{
		unsigned offered = 0;

		for (const char *p = offer; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
			offered += p[0] == 'm' && p[1] == '=';
		assert_int_equal(lines(w.text[A], "m="), offered);
	}
	media_commit(w.mc);
	/* what is kept reads back to what was said */
	keep(told[A], sizeof(told[A]), w.text[A]);
	keep(told[B], sizeof(told[B]), w.text[B]);
	for (unsigned s = 0; s < 2; s++) {
		assert_int_equal(reoffer(&w, s), REASON_NONE);
		assert_string_equal(w.text[s], told[s]);
		media_rollback(w.mc);
	}
	free(answer);
	free(offer);
	world_fini(&w);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* the files of a folder that end so, sorted; free each and the list */
static char **files(const char *folder, const char *end, size_t *ret_n)
{
	char **list = NULL, path[512];
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir(folder);

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name), tail = strlen(end);

		if (len <= tail || strcmp(e->d_name + len - tail, end) != 0)
			continue;
		assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < sizeof(path));
		list = realloc(list, (n + 1) * sizeof(*list));
		assert_non_null(list);
		list[n++] = strdup(path);
	}
	closedir(d);
	qsort(list, n, sizeof(*list), by_name);
	*ret_n = n;
	return list;
}

static void test_vendors(void **state)
{
	size_t n;
	char **list = files(TEST_SOURCE_DIR "/tests/data/sdp/vendors", ".sdp", &n);

	(void)state;
	assert_true(n >= 50);
	for (size_t i = 0; i < n; i++) {
		run_vendor(list[i]);
		free(list[i]);
	}
	free(list);
}

/* --- golden pairs --- */

static void put_program(struct world *w, struct buf *b, enum media_side s, unsigned i)
{
	const struct relay_program *p = program(w, s, i);

	buf_fmt(b, "program %c %u:", s == A ? 'a' : 'b', i);
	if (!p) {
		buf_lit(b, " none\n");
		return;
	}
	buf_fmt(b, "%s%s from ", p->raw ? " raw" : "", p->rtp_on ? "" : " held");
	addr_put(b, &p->source_rtp);
	buf_lit(b, " to ");
	addr_put(b, &p->dest_rtp);
	buf_lit(b, " rtcp ");
	addr_put(b, &p->dest_rtcp);
	for (unsigned pt = 0; pt < 128; pt++)
		if (p->pt_map[pt] != RELAY_PT_DROP)
			buf_fmt(b, " %u>%u/%u", pt, p->pt_map[pt], p->clock_khz[pt]);
	buf_chr(b, '\n');
}

static void put_local(struct world *w, struct buf *b, enum media_side s, bool offer)
{
	enum reason r = local(w, s, offer);

	buf_fmt(b, "--- to %c: %s\n", s == A ? 'a' : 'b', r ? reason_info(r)->name : offer ? "offer" : "answer");
	for (const char *p = w->text[s]; *p && !r; p++)
		if (*p != '\r')
			buf_chr(b, *p);
}

/* a step with the description that stands under it */
static void step(struct world *w, struct buf *b, struct str verb, struct str text)
{
	enum reason r;

	if (str_eq(verb, S("commit"))) {
		media_commit(w->mc);
		buf_fmt(b, "--- commit: reoffer a=%d b=%d, %u pairs\n", media_needs_reoffer(w->mc, A),
		    media_needs_reoffer(w->mc, B), media_pairs_in_use(w->m));
	} else if (str_eq(verb, S("rollback"))) {
		media_rollback(w->mc);
		buf_fmt(b, "--- rollback: %u pairs\n", media_pairs_in_use(w->m));
	} else if (str_eq(verb, S("answer"))) {
		enum media_side x = media_offerer(w->mc);

		r = media_remote_answer(w->mc, media_other(x), text);
		if (r)
			buf_fmt(b, "--- answer refused: %s\n", reason_info(r)->name);
		else
			put_local(w, b, x, false);
		for (unsigned i = 0; i < media_stream_count(w->mc); i++) {
			put_program(w, b, A, i);
			put_program(w, b, B, i);
		}
	} else {
		enum media_side x = verb.p[verb.n - 1] == 'a' ? A : B;

		assert_true(str_prefix(verb, S("offer ")));
		r = media_remote_offer(w->mc, x, text);
		if (r)
			buf_fmt(b, "--- offer refused: %s\n", reason_info(r)->name);
		else
			put_local(w, b, media_other(x), true);
	}
}

static void run_golden(char *path)
{
	static char got[1 << 18];
	struct world w;
	struct str rest, line, verb = STR_NONE;
	const char *from = NULL;
	size_t n, n_ok;
	char *in = read_file(path, &n), *ok;
	bool open = false;
	struct buf b;

	world_init(&w);
	buf_init(&b, got, sizeof(got));
	for (rest = str_n(in, n); rest.n || verb.n;) {
		struct str before = rest;

		rest = str_cut(rest, '\n', &line);
		if (before.n && ((line.n > 1 && line.p[1] == '=') || line.n == 0 || line.p[0] == '#')) {
			if (!from && line.n > 1 && line.p[1] == '=')
				from = line.p;
			continue;
		}
		if (!open && str_prefix(line, S("codecs-a "))) {
			w.side[A].codecs = str_from(line, 9);
		} else if (!open && str_prefix(line, S("codecs-b "))) {
			w.side[B].codecs = str_from(line, 9);
		} else if (!open && str_eq(line, S("family-b 6"))) {
			w.side[B].family = AF_INET6;
		} else {
			if (!open)
				world_open(&w);
			open = true;
			if (verb.n)
				step(&w, &b, verb, from ? str_n(from, (size_t)(before.n ? line.p - from : in + n - from))
				                        : STR_NONE);
			verb = before.n ? line : STR_NONE;
			from = NULL;
		}
	}
	assert_int_equal(buf_err(&b), 0);
	path[strlen(path) - 2] = 'o';
	path[strlen(path) - 1] = 'k';
	if (getenv("POSTERN_GOLDEN_WRITE")) {
		FILE *f = fopen(path, "wb");

		assert_non_null(f);
		fwrite(b.p, 1, b.n, f);
		fclose(f);
	}
	ok = read_file(path, &n_ok);
	if (n_ok != b.n || memcmp(ok, b.p, b.n) != 0) {
		print_message("%s differs; got:\n%.*s", path, (int)b.n, b.p);
		fail();
	}
	free(ok);
	free(in);
	world_fini(&w);
}

static void test_golden(void **state)
{
	size_t n;
	char **list = files(TEST_SOURCE_DIR "/tests/data/sdp/golden", ".in", &n);

	(void)state;
	assert_true(n >= 10);
	for (size_t i = 0; i < n; i++) {
		run_golden(list[i]);
		free(list[i]);
	}
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vendors),
		cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
