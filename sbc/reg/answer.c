/* answer.c - what a REGISTER is told.
 *
 * The 200 has every contact of its address (RFC 3261 10.3), bulk ones as they are (GINS-22); with GRUUs where they were
 * asked for (RFC 5627 5.3, RFC 6140 7.1).
 */
#include "sbc/reg/internal.h"

#include <time.h>

#include "sbc/reg/flow_token.h"
#include "sbc/sip/print.h"

#define ANSWER_MAX 49152 /* bytes of headers of a 200 */
#define FLOW_TIMER_S 120

void answer_refuse(struct reg *r, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why, struct str headers)
{
	r->metrics[REG_REFUSED]++;
	if (trunk)
		r->user->on_event(r->ctx, trunk->id, NULL, why);
	if (t && txn_srv_refuse(t, why, trunk && trunk->sip.trusted, headers) < 0)
		txn_srv_detach(t);
}

void answer_challenge(struct reg *r, struct txn_srv *t, const struct account_ask *ask)
{
	char text[2048];
	struct buf h;

	r->metrics[REG_CHALLENGED]++;
	buf_init(&h, text, sizeof(text));
	account_put_challenge(ask, &h);
	(void)txn_srv_reply_once(t, &(struct txn_reply){.status = 401, .headers = buf_err(&h) ? STR_NONE : buf_text(&h)});
}

static void put_date(struct buf *h, int64_t wall_us)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm))
		return;
	buf_fmt(h, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday, tm.tm_mday,
	    months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void put_q(struct buf *h, uint16_t q)
{
	if (q == 1000)
		return;
	buf_fmt(h, ";q=0.%03u", q);
	while (h->n && h->p[h->n - 1] == '0' && h->p[h->n - 2] != '.')
		h->n--;
}

/* What it may be called by from anywhere: one for good and, not to be traced back to it, one that is new each time (RFC
 * 5627 5.3). Of a bulk contact the PBX makes both for its phones (RFC 6140 7.1). */
static void put_gruus(const struct work *w, const struct reg_contact *c, struct buf *h)
{
	struct reg *r = w->r;
	char cookie[GIN_COOKIE_TEXT];
	bool good = gin_cookie(&r->gruu.secret, c->id, c->call_id, cookie) == 0;
	size_t before;

	buf_lit(h, ";pub-gruu=\"");
	if (c->bulk) {
		gin_put_pub_gruu(h, w->domain, c->instance);
	} else {
		buf_lit(h, "sip:");
		sip_put_user(h, w->aor.n ? w->aor : w->trunk->reg.user);
		buf_chr(h, '@');
		buf_str(h, w->domain);
		buf_lit(h, ";gr=");
		buf_str(h, str_n(c->instance.p + 1, c->instance.n - 2));
	}
	buf_chr(h, '"');
	if (!good)
		return;
	if (c->bulk) {
		buf_lit(h, ";temp-gruu-cookie=");
		buf_put(h, cookie, sizeof(cookie));
		return;
	}
	if (!gruu_key(&r->gruu))
		return;
	before = h->n;
	buf_lit(h, ";temp-gruu=\"sip:");
	if (gin_temp_gruu(gruu_key(&r->gruu), &r->gruu.secret, str_n(cookie, sizeof(cookie)), r->env->rng, h) < 0) {
		h->n = before;
		return;
	}
	buf_chr(h, '@');
	buf_str(h, w->domain);
	buf_lit(h, ";gr\"");
}

/* One Contact of the 200: uri is the binding's, or the implicit one of a number. */
static void put_contact(struct work *w, const struct reg_contact *c, struct str uri, struct buf *h)
{
	int64_t left = (c->expires_us - w->r->env->clock->mono_us + 999999) / 1000000;

	buf_lit(h, "Contact: <");
	buf_str(h, uri);
	buf_chr(h, '>');
	put_q(h, c->q);
	buf_lit(h, ";expires=");
	buf_u64(h, left > 0 ? (uint64_t)left : 0);
	if (c->instance.n) {
		buf_lit(h, ";+sip.instance=\"");
		buf_str(h, c->instance);
		buf_chr(h, '"');
	}
	if (c->reg_id) {
		buf_lit(h, ";reg-id=");
		buf_u64(h, c->reg_id);
	}
	if (c->params.n) {
		buf_chr(h, ';');
		buf_str(h, c->params);
	}
	if (w->gruu && c->instance.n)
		put_gruus(w, c, h);
	buf_lit(h, "\r\n");
}

/* What a first hop adds for a flow (RFC 5626 5.1), and a registrar gives back (RFC 3327 5.3); for who knows it. */
static void put_own_path(const struct work *w, struct buf *h)
{
	const struct net_local *us;
	size_t before = h->n;

	if (!w->outbound || !w->knows_path || !w->r->cfg.net)
		return;
	us = net_local(w->r->cfg.net, w->flow.realm, (enum net_proto)w->flow.proto, w->flow.remote.sa.sa_family);
	for (unsigned i = 0; us && i < w->n_put; i++) {
		if (!w->put[i].reg_id)
			continue;
		buf_str(h, w->flow.proto == NET_TLS ? S("Path: <sips:") : S("Path: <sip:")); /* transport=tls is none (RFC 5630) */
		if (flow_token_put(&w->r->gruu.secret, w->put[i].id, &w->flow, h) < 0) {
			h->n = before;
			return;
		}
		buf_chr(h, '@');
		buf_str(h, us->host);
		buf_chr(h, ':');
		buf_u64(h, us->port);
		if (w->flow.proto == NET_TCP)
			buf_lit(h, ";transport=tcp");
		buf_lit(h, ";lr;ob>\r\n");
		return;
	}
}

void answer_ok(struct work *w)
{
	struct reg *r = w->r;
	const struct reg_contact *c;
	struct sip_uri bulk;
	char text[ANSWER_MAX], uri[1024];
	struct buf h, u;

	if (!w->t)
		return;
	buf_init(&h, text, sizeof(text));
	for (c = bindings_next(r->bindings, w->trunk->id, w->aor, NULL); c;
	     c = bindings_next(r->bindings, w->trunk->id, w->aor, c))
		put_contact(w, c, c->uri, &h);
	/* of a number: the contacts it has through the trunk's bulk registrations (GINS-08) */
	for (c = w->aor.n ? bindings_next(r->bindings, w->trunk->id, STR_NONE, NULL) : NULL; c;
	     c = bindings_next(r->bindings, w->trunk->id, STR_NONE, c)) {
		buf_init(&u, uri, sizeof(uri));
		if (c->bulk && sip_uri_parse(c->uri, &bulk) == 0 && gin_expand(&bulk, w->aor, STR_NONE, &u) == 0)
			put_contact(w, c, buf_text(&u), &h);
	}
	if (w->path.n) {
		buf_lit(&h, "Path: ");
		buf_str(&h, w->path);
		buf_lit(&h, "\r\n");
	} else {
		put_own_path(w, &h);
	}
	if (w->outbound)
		buf_fmt(&h, "Require: outbound\r\nFlow-Timer: %d\r\n", FLOW_TIMER_S);
	if (w->trunk->reg.event != POL_REG_EVENT_OFF) /* a PBX that can may watch what it has registered */
		buf_lit(&h, "Allow-Events: reg\r\n");
	put_date(&h, r->env->clock->wall_us);
	if (buf_err(&h)) {
		answer_refuse(r, w->t, w->trunk, REASON_TOO_LARGE, STR_NONE);
		return;
	}
	if (txn_srv_reply(w->t, &(struct txn_reply){.status = 200, .headers = buf_text(&h)}) < 0)
		txn_srv_detach(w->t);
}

void answer_not_stored(struct work *w, enum reason why)
{
	struct reg *r = w->r;

	r->metrics[REG_FAILED]++;
	if (w->t && txn_srv_reply(w->t, &(struct txn_reply){.status = 500, .headers = S("Retry-After: 10\r\n")}) < 0)
		txn_srv_detach(w->t);
	r->user->on_event(r->ctx, w->trunk->id, NULL, why);
}
