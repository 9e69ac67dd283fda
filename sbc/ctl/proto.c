/* proto.c - lines of JSON to requests and back.
 *
 * Happy path: bytes are collected to a line, the line is a request, then data lines until {"d":null}.
 * What can go wrong: a line longer than CTL_REQUEST_MAX, brackets deeper than PROTO_DEPTH_MAX (counted before the
 * JSON reader sees them), no JSON, wrong types, too many arguments, more input than CTL_STDIN_MAX. Each ends the
 * connection with a text that says so.
 */
#include "sbc/ctl/proto.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "sbc/base/base64.h"
#include "sbc/ctl/ctl.h"

static void request_fini(struct proto_request *r)
{
	for (int i = 0; i < r->argc; i++)
		free(r->argv[i]);
	*r = (struct proto_request){.argc = 0};
}

void proto_fini(struct proto *p)
{
	free(p->line);
	request_fini(&p->req);
	text_fini(&p->input);
	*p = (struct proto){0};
}

static bool too_deep(struct str s)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '[' || c == '{') {
			if (++depth > PROTO_DEPTH_MAX)
				return true;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return false;
}

static json_t *read_object(struct str line)
{
	json_error_t err;
	json_t *j;

	if (too_deep(line))
		return NULL;
	j = json_loadb(line.p ? line.p : "", line.n, JSON_REJECT_DUPLICATES, &err);
	if (!json_is_object(j)) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int bad(struct proto *p, const char *why)
{
	p->why = why;
	return -EBADMSG;
}

static int on_request(struct proto *p, struct str line)
{
	json_t *j = read_object(line), *argv, *v;
	size_t i;
	int r = 0;

	if (!j)
		return bad(p, "request is not a JSON object");
	argv = json_object_get(j, "argv");
	if (json_integer_value(json_object_get(j, "v")) != PROTO_VERSION)
		r = bad(p, "request is of another protocol version: client and daemon must be of one release");
	else if (!json_is_array(argv) || json_array_size(argv) > PROTO_ARGS_MAX)
		r = bad(p, "argv is not a list of at most 128 texts");
	json_array_foreach(argv, i, v) {
		if (r < 0)
			break;
		if (!json_is_string(v) || json_string_length(v) > PROTO_ARG_MAX ||
		    strlen(json_string_value(v)) != json_string_length(v)) {
			r = bad(p, "argument is not a text of at most 4096 bytes");
			break;
		}
		p->req.argv[p->req.argc] = str_strdup(str_n(json_string_value(v), json_string_length(v)));
		if (!p->req.argv[p->req.argc])
			r = bad(p, "out of memory");
		else
			p->req.argc++;
	}
	if (r == 0) {
		json_int_t columns = json_integer_value(json_object_get(j, "columns"));

		p->req.columns = columns < 20 ? 100 : columns > 500 ? 500 : (unsigned)columns;
		p->req.json = json_is_true(json_object_get(j, "json"));
		p->req.abs = json_is_true(json_object_get(j, "abs"));
		p->req.input = json_is_true(json_object_get(j, "stdin"));
		p->have_req = true;
		p->input.max = CTL_STDIN_MAX;
		r = p->req.input ? 0 : 1;
	}
	json_decref(j);
	return r;
}

static int on_data(struct proto *p, struct str line)
{
	json_t *j = read_object(line), *d;
	int r = 0;

	if (!j)
		return bad(p, "data line is not a JSON object");
	d = json_object_get(j, "d");
	if (json_is_null(d))
		r = 1;
	else if (!json_is_string(d))
		r = bad(p, "data line without text");
	else
		text_put(&p->input, json_string_value(d), json_string_length(d));
	json_decref(j);
	if (p->input.failed)
		return bad(p, "more than 8 MiB of input: split the file");
	return r;
}

int proto_feed(struct proto *p, const void *bytes, size_t n)
{
	const char *at = bytes;
	int r = 0;

	while (n && r == 0) {
		const char *nl = memchr(at, '\n', n);
		size_t take = nl ? (size_t)(nl - at) : n;
		struct str line;

		if (p->n + take > CTL_REQUEST_MAX)
			return bad(p, "line is longer than 1 MiB");
		if (p->n + take + 1 > p->cap) {
			size_t cap = p->cap ? p->cap : 1024;
			char *q;

			while (cap < p->n + take + 1)
				cap *= 2;
			q = realloc(p->line, cap);
			if (!q)
				return bad(p, "out of memory");
			p->line = q;
			p->cap = cap;
		}
		memcpy(p->line + p->n, at, take);
		p->n += take;
		if (!nl)
			return 0;
		at += take + 1;
		n -= take + 1;
		line = str_n(p->line, p->n);
		p->n = 0;
		r = p->have_req ? on_data(p, line) : on_request(p, line);
	}
	return r;
}

/* -------------------------------------------------------------------- writing */

/* A JSON text of any bytes. */
static json_t *json_any(struct str s)
{
	json_t *j = json_stringn(s.p ? s.p : "", s.n);
	char *copy;

	if (j)
		return j;
	copy = str_strdup(s);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)copy[i] >= 0x80)
			copy[i] = '?';
	j = json_stringn(copy, s.n);
	free(copy);
	return j;
}

static char *dump_line(json_t *j, size_t *ret_n)
{
	size_t n = j ? json_dumpb(j, NULL, 0, JSON_COMPACT) : 0;
	char *p = n ? malloc(n + 2) : NULL;

	if (p) {
		(void)json_dumpb(j, p, n, JSON_COMPACT);
		p[n] = '\n';
		p[n + 1] = '\0';
		*ret_n = n + 1;
	}
	json_decref(j);
	return p;
}

#define DATA_CHUNK ((size_t)128 * 1024)

char *proto_write_request(int argc, char *const *argv, unsigned columns, bool json, bool abs, struct str input,
    size_t *ret_n)
{
	json_t *j = json_object(), *a = json_array();
	struct text t = {.max = (size_t)64 << 20};
	size_t n;
	char *p;

	for (int i = 0; i < argc; i++)
		json_array_append_new(a, json_any(str_z(argv[i])));
	json_object_set_new(j, "v", json_integer(PROTO_VERSION));
	json_object_set_new(j, "argv", a);
	json_object_set_new(j, "columns", json_integer(columns));
	json_object_set_new(j, "json", json_boolean(json));
	json_object_set_new(j, "abs", json_boolean(abs));
	json_object_set_new(j, "stdin", json_boolean(input.p != NULL));
	p = dump_line(j, &n);
	if (!p)
		return NULL;
	text_put(&t, p, n);
	free(p);
	for (size_t off = 0; input.p && off < input.n; off += DATA_CHUNK) {
		j = json_object();
		json_object_set_new(j, "d", json_any(str_head(str_from(input, off), DATA_CHUNK)));
		p = dump_line(j, &n);
		if (!p) {
			text_fini(&t);
			return NULL;
		}
		text_put(&t, p, n);
		free(p);
	}
	if (input.p)
		text_lit(&t, "{\"d\":null}\n");
	if (t.failed) {
		text_fini(&t);
		return NULL;
	}
	*ret_n = t.n;
	return t.p;
}

static json_t *json_base64(struct str s)
{
	size_t cap = BASE64_PADDED(s.n);
	char *p = malloc(cap + 1);
	struct buf b;
	json_t *j;

	if (!p)
		return NULL;
	buf_init(&b, p, cap);
	base64_put_padded(&b, (const uint8_t *)s.p, s.n);
	j = json_stringn(p, b.n);
	free(p);
	return j;
}

/* in place; false when it is no base64 */
static bool decode(char *p, size_t n, size_t *ret_n)
{
	return n % 4 == 0 && base64_get(base64_unpad(str_n(p, n)), (uint8_t *)p, n, ret_n);
}

char *proto_write_answer(char kind, struct str text, int code, size_t *ret_n)
{
	const char key[2] = {kind, '\0'};
	json_t *j = json_object(), *v;

	v = kind == 'x' ? json_integer(code) : kind == 'b' ? json_base64(text) : json_any(text);
	if (!j || !v || json_object_set_new(j, key, v) < 0) {
		json_decref(j);
		return NULL;
	}
	return dump_line(j, ret_n);
}

char proto_read_answer(struct str line, char **ret_text, size_t *ret_n, int *ret_code)
{
	json_t *j = read_object(line), *v;
	char kind = 0;

	for (const char *k = "oebx"; j && *k && !kind; k++) {
		const char key[2] = {*k, '\0'};

		v = json_object_get(j, key);
		if (*k == 'x' ? json_is_integer(v) : json_is_string(v))
			kind = *k;
	}
	if (kind == 'x') {
		json_int_t code = json_integer_value(json_object_get(j, "x"));

		*ret_code = code < 0 || code > 255 ? 2 : (int)code;
	} else if (kind) {
		const char key[2] = {kind, '\0'};

		v = json_object_get(j, key);
		*ret_n = json_string_length(v);
		*ret_text = str_strdup(str_n(json_string_value(v), *ret_n));
		if (!*ret_text || (kind == 'b' && !decode(*ret_text, *ret_n, ret_n))) {
			free(*ret_text);
			*ret_text = NULL;
			kind = 0;
		}
	}
	json_decref(j);
	return kind;
}
