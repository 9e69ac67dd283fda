/* proto.h - what goes over the control socket: lines of JSON, both ways.
 *
 * client: {"v":1,"argv":["trunk","list"],"columns":100,"json":false,"abs":false,"stdin":false}
 *         with "stdin":true then {"d":"text"} lines and one {"d":null}
 * server: {"o":"text"} for standard output, {"e":"text"} for standard error, {"b":"base64"} for files, and at the
 *         end {"x":code}; then it closes.
 * One request per connection. This file is pure: bytes in, a request or a refusal out.
 */
#ifndef SBC_CTL_PROTO_H
#define SBC_CTL_PROTO_H

#include "sbc/ctl/text.h"

#define PROTO_VERSION   1
#define PROTO_ARGS_MAX  128
#define PROTO_ARG_MAX   4096 /* bytes of one argument */
#define PROTO_DEPTH_MAX 8    /* brackets in brackets */

struct proto_request {
	char *argv[PROTO_ARGS_MAX]; /* own */
	int argc;
	unsigned columns; /* 20..500 */
	bool json, abs, input;
};

struct proto {
	char *line;        /* own: bytes of the unfinished line */
	size_t n, cap;
	struct proto_request req;
	bool have_req;
	struct text input; /* of the data lines */
	const char *why;   /* after -EBADMSG: what was wrong, static text */
};

/* Zeroed memory is a fresh reader. */
void proto_fini(struct proto *p);
/* 0: more is needed; 1: p->req and p->input are complete (what stands behind is ignored); -EBADMSG with p->why. */
MUST_USE int proto_feed(struct proto *p, const void *bytes, size_t n);

/* The lines of a request for the client; malloc'ed, NULL when out of memory. input.p NULL: none. */
char *proto_write_request(int argc, char *const *argv, unsigned columns, bool json, bool abs, struct str input,
    size_t *ret_n);

/* One line of the server, without its newline: which key it has, its text (malloc'ed) or code. 'o', 'e', 'b', 'x', or
 * 0 when it cannot be read. Text of 'b' is decoded. */
char proto_read_answer(struct str line, char **ret_text, size_t *ret_n, int *ret_code);
/* A line of that kind, with newline, malloc'ed; bytes that are not UTF-8 are replaced by '?'. */
char *proto_write_answer(char kind, struct str text, int code, size_t *ret_n);

#endif
