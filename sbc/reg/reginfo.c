/* reginfo.c - registration information as XML.
 *
 * Reading takes no DOCTYPE, so there are no entities of the sender's; depth and texts are bounded, and elements of other
 * namespaces are passed over whole. One contact is gathered at a time.
 */
#include "sbc/reg/reginfo.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>

#define NS "urn:ietf:params:xml:ns:reginfo"
#define DEPTH_MAX 16

const char *const reginfo_state_names[3] = {"init", "active", "terminated"};
const char *const reginfo_event_names[REGINFO_EVENTS] = {"registered", "created", "refreshed", "shortened", "expired",
    "deactivated", "probation", "unregistered", "rejected"};

/* ------------------------------------------------------------------ writing */

/* bytes of the character at p as UTF-8; 0: it is none that XML has */
static size_t utf8(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
	uint32_t v = len == 1 ? c : len == 2 ? c & 0x1fu : len == 3 ? c & 0x0fu : c & 0x07u;

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)p[i] & 0x3fu);
	}
	if (v < 0x20 || v == 0x7f || (v >= 0xd800 && v < 0xe000) || v == 0xfffe || v == 0xffff || v > 0x10ffff ||
	    (len == 3 && v < 0x800) || (len == 4 && v < 0x10000))
		return 0;
	return len;
}

/* As content or as a value in quotes. What no document may hold becomes '?'. */
static void put(struct buf *b, struct str s)
{
	size_t n;

	for (size_t i = 0; i < s.n; i += n ? n : 1) {
		n = utf8(s.p + i, s.n - i);
		if (n == 0)
			buf_chr(b, '?');
		else if (s.p[i] == '&')
			buf_lit(b, "&amp;");
		else if (s.p[i] == '<')
			buf_lit(b, "&lt;");
		else if (s.p[i] == '>')
			buf_lit(b, "&gt;");
		else if (s.p[i] == '"')
			buf_lit(b, "&quot;");
		else
			buf_put(b, s.p + i, n);
	}
}

static void put_attr(struct buf *b, const char *name, struct str value)
{
	buf_chr(b, ' ');
	buf_str(b, str_z(name));
	buf_lit(b, "=\"");
	put(b, value);
	buf_chr(b, '"');
}

static void put_number(struct buf *b, const char *name, uint32_t v)
{
	buf_fmt(b, " %s=\"%u\"", name, v);
}

void reginfo_begin(struct buf *b, uint32_t version, bool full)
{
	buf_lit(b, "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"" NS "\" xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\"");
	put_number(b, "version", version);
	put_attr(b, "state", full ? S("full") : S("partial"));
	buf_lit(b, ">\n");
}

void reginfo_put_registration(struct buf *b, struct str aor, struct str id, enum reginfo_state state)
{
	buf_lit(b, " <registration");
	put_attr(b, "aor", aor);
	put_attr(b, "id", id);
	put_attr(b, "state", str_z(reginfo_state_names[state]));
	buf_lit(b, ">\n");
}

static void put_param(struct buf *b, struct str name, struct str value)
{
	buf_lit(b, "   <unknown-param");
	put_attr(b, "name", name);
	buf_chr(b, '>');
	put(b, value);
	buf_lit(b, "</unknown-param>\n");
}

/* "a=1;b=\"x;y\"": the next one; quoted strings stay whole */
static bool next_param(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	bool quoted = false;
	size_t i, eq = SIZE_MAX;

	while (rest->n && (rest->p[0] == ';' || rest->p[0] == ' '))
		*rest = str_from(*rest, 1);
	for (i = 0; i < rest->n && (quoted || rest->p[i] != ';'); i++) {
		if (quoted && rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
		else if (rest->p[i] == '"')
			quoted = !quoted;
		else if (rest->p[i] == '=' && eq == SIZE_MAX && !quoted)
			eq = i;
	}
	*ret_name = str_trim(str_head(*rest, eq < i ? eq : i));
	*ret_value = eq < i ? str_trim(str_n(rest->p + eq + 1, i - eq - 1)) : STR_NONE;
	*rest = str_from(*rest, i);
	return ret_name->n > 0;
}

void reginfo_put_contact(struct buf *b, const struct reginfo_contact *c)
{
	struct str rest = c->params, name, value;

	buf_lit(b, "  <contact");
	put_attr(b, "id", c->id);
	put_attr(b, "state", c->active ? S("active") : S("terminated"));
	put_attr(b, "event", str_z(reginfo_event_names[c->event]));
	if (c->has_since)
		put_number(b, "duration-registered", c->since_s);
	if (c->has_expires)
		put_number(b, "expires", c->expires_s);
	if (c->has_retry)
		put_number(b, "retry-after", c->retry_s);
	if (c->q < 1000)
		buf_fmt(b, " q=\"0.%03u\"", c->q);
	if (c->call_id.n) {
		put_attr(b, "callid", c->call_id);
		put_number(b, "cseq", c->cseq);
	}
	buf_lit(b, ">\n   <uri>");
	put(b, c->uri);
	buf_lit(b, "</uri>\n");
	if (c->instance.n) {
		buf_lit(b, "   <unknown-param name=\"+sip.instance\">&quot;");
		put(b, c->instance);
		buf_lit(b, "&quot;</unknown-param>\n");
	}
	while (next_param(&rest, &name, &value))
		put_param(b, name, value);
	if (c->pub_gruu.n) {
		buf_lit(b, "   <gr:pub-gruu");
		put_attr(b, "uri", c->pub_gruu);
		buf_lit(b, "/>\n");
	}
	buf_lit(b, "  </contact>\n");
}

void reginfo_end_registration(struct buf *b)
{
	buf_lit(b, " </registration>\n");
}

void reginfo_end(struct buf *b)
{
	buf_lit(b, "</reginfo>\n");
}

/* ------------------------------------------------------------------ reading */

enum where { OUTSIDE, REGINFO, REGISTRATION, CONTACT, URI };

struct reading {
	XML_Parser x;
	const struct reginfo_reader *r;
	void *ctx;
	enum where where;
	unsigned depth, skip; /* elements that are open; of them within one that is passed over */
	bool bad, seen, has_uri;
	struct reginfo_contact c;
	char aor[REGINFO_TEXT_MAX], uri[REGINFO_TEXT_MAX], id[REGINFO_TEXT_MAX];
	size_t n_aor, n_uri, n_id;
};

static void stop(struct reading *d)
{
	d->bad = true;
	(void)XML_StopParser(d->x, XML_FALSE);
}

static const char *attr(const char *const *a, const char *name)
{
	for (; a[0]; a += 2)
		if (strcmp(a[0], name) == 0)
			return a[1];
	return NULL;
}

/* -ENOENT: there is none; -EBADMSG */
static int number(const char *const *a, const char *name, uint32_t *ret)
{
	const char *v = attr(a, name);
	int e;

	if (!v)
		return -ENOENT;
	e = str_u32(str_trim(str_z(v)), UINT32_MAX, ret);
	if (e == -ERANGE)
		*ret = UINT32_MAX;
	return e == -EINVAL ? -EBADMSG : 0;
}

/* index among names; -1: none of them, or no such attribute */
static int word(const char *const *a, const char *name, const char *const *names, unsigned n)
{
	const char *v = attr(a, name);

	for (unsigned i = 0; v && i < n; i++)
		if (strcmp(v, names[i]) == 0)
			return (int)i;
	return -1;
}

/* No line ends and their like: these texts go into lines of ours. */
static bool clean(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool keep(char *to, size_t *ret_n, const char *v)
{
	size_t n = v ? strlen(v) : 0;

	if (!v || n > REGINFO_TEXT_MAX || !clean(str_n(v, n)))
		return false;
	memcpy(to, v, n);
	*ret_n = n;
	return true;
}

static bool begin_reginfo(struct reading *d, const char *const *a)
{
	static const char *const states[] = {"full", "partial"};
	int state = word(a, "state", states, 2);
	uint32_t version;

	if (d->seen || state < 0 || number(a, "version", &version) < 0)
		return false;
	d->seen = true;
	if (d->r->begin)
		d->r->begin(d->ctx, version, state == 0);
	return true;
}

static bool begin_registration(struct reading *d, const char *const *a)
{
	int state = word(a, "state", reginfo_state_names, 3);

	if (state < 0 || !keep(d->aor, &d->n_aor, attr(a, "aor")) || !keep(d->id, &d->n_id, attr(a, "id")))
		return false;
	if (d->r->registration)
		d->r->registration(d->ctx, str_n(d->aor, d->n_aor), str_n(d->id, d->n_id), (enum reginfo_state)state);
	return true;
}

static bool begin_contact(struct reading *d, const char *const *a)
{
	int state = word(a, "state", reginfo_state_names, 3), event = word(a, "event", reginfo_event_names, REGINFO_EVENTS);
	int e, r;

	if ((state != REGINFO_ACTIVE && state != REGINFO_TERMINATED) || event < 0 || !keep(d->id, &d->n_id, attr(a, "id")))
		return false;
	d->c = (struct reginfo_contact){
	    .id = str_n(d->id, d->n_id), .active = state == REGINFO_ACTIVE, .event = (enum reginfo_event)event, .q = 1000};
	e = number(a, "expires", &d->c.expires_s);
	r = number(a, "retry-after", &d->c.retry_s);
	d->c.has_expires = e == 0;
	d->c.has_retry = r == 0;
	d->n_uri = 0;
	d->has_uri = false;
	return e != -EBADMSG && r != -EBADMSG;
}

static void on_start(void *ctx, const char *name, const char **a)
{
	static const struct {
		const char *name;
		enum where in;
		bool (*begin)(struct reading *d, const char *const *a);
	} known[] = {
	    {NS "|reginfo", OUTSIDE, begin_reginfo},
	    {NS "|registration", REGINFO, begin_registration},
	    {NS "|contact", REGISTRATION, begin_contact},
	    {NS "|uri", CONTACT, NULL},
	};
	struct reading *d = ctx;

	if (++d->depth > DEPTH_MAX) {
		stop(d);
		return;
	}
	for (unsigned i = 0; !d->skip && i < ARRAY_LEN(known); i++) {
		if (known[i].in != d->where || strcmp(name, known[i].name) != 0)
			continue;
		d->where = (enum where)(known[i].in + 1);
		d->has_uri = d->has_uri || d->where == URI;
		if (known[i].begin && !known[i].begin(d, (const char *const *)a))
			stop(d);
		return;
	}
	if (d->where == OUTSIDE)
		stop(d); /* the root is something else */
	d->skip++;
}

static void on_end(void *ctx, const char *name)
{
	struct reading *d = ctx;

	(void)name;
	d->depth--;
	if (d->skip) {
		d->skip--;
		return;
	}
	if (d->where == CONTACT && !d->bad) {
		d->c.uri = str_trim(str_n(d->uri, d->n_uri));
		if (!d->has_uri || !d->c.uri.n || !clean(d->c.uri)) {
			stop(d);
			return;
		}
		if (d->r->contact)
			d->r->contact(d->ctx, str_n(d->aor, d->n_aor), &d->c);
	}
	d->where = (enum where)(d->where - 1);
}

static void on_text(void *ctx, const char *s, int n)
{
	struct reading *d = ctx;

	if (d->where != URI || d->skip)
		return;
	if (d->n_uri + (size_t)n > sizeof(d->uri)) {
		stop(d);
		return;
	}
	memcpy(d->uri + d->n_uri, s, (size_t)n);
	d->n_uri += (size_t)n;
}

static void on_doctype(void *ctx, const char *name, const char *sysid, const char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	stop(ctx);
}

int reginfo_read(struct str text, const struct reginfo_reader *r, void *ctx)
{
	struct reading *d;
	int e = 0;

	if (text.n == 0 || text.n > (1u << 20))
		return -EBADMSG;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->r = r;
	d->ctx = ctx;
	d->x = XML_ParserCreateNS(NULL, '|');
	if (!d->x) {
		free(d);
		return -ENOMEM;
	}
	XML_SetUserData(d->x, d);
	XML_SetElementHandler(d->x, on_start, on_end);
	XML_SetCharacterDataHandler(d->x, on_text);
	XML_SetStartDoctypeDeclHandler(d->x, on_doctype);
	if (XML_Parse(d->x, text.p, (int)text.n, 1) != XML_STATUS_OK || d->bad || !d->seen)
		e = !d->bad && XML_GetErrorCode(d->x) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EBADMSG;
	XML_ParserFree(d->x);
	free(d);
	return e;
}
