/* records.c - call records, and bans the guard made, on their way to the database.
 *
 * The B2BUA gives plain values; here they become a row. Texts in them are escaped already (b2b), so a quote or a
 * control byte of a peer cannot break the JSON below; the backslash of those escapes is doubled.
 */
#include "sbc/app/app.h"

#include <stdlib.h>

static void put_json_text(struct buf *b, const char *z)
{
	buf_chr(b, '"');
	for (;;) {
		size_t n = strcspn(z, "\\\"");

		buf_put(b, z, n);
		z += n;
		if (!*z)
			break;
		buf_chr(b, '\\');
		buf_chr(b, *z++);
	}
	buf_chr(b, '"');
}

static void put_tries(struct buf *b, const struct call_record *r)
{
	char code[REASON_CODE_MAX];

	buf_chr(b, '[');
	for (unsigned i = 0; i < r->n_tries; i++) {
		const struct call_try *t = &r->tries[i];

		buf_str(b, i ? S(",{\"trunk\":") : S("{\"trunk\":"));
		put_json_text(b, t->trunk);
		buf_lit(b, ",\"target\":\"");
		buf_str(b, net_proto_name((enum net_proto)t->proto));
		buf_chr(b, ' ');
		addr_put(b, &t->addr);
		buf_lit(b, "\",\"status\":");
		buf_u64(b, t->status);
		buf_lit(b, ",\"reason\":\"");
		buf_str(b, str_z(reason_code(t->reason, code)));
		buf_lit(b, "\",\"after_ms\":");
		buf_u64(b, t->after_ms);
		if (t->fragmented)
			buf_lit(b, ",\"fragmented\":true");
		buf_chr(b, '}');
	}
	buf_chr(b, ']');
}

/* What the reports of the far end and the counters say of how it sounds; nothing when they say nothing. */
static void put_quality(struct buf *b, const struct call_media *m)
{
	double mos = media_mos(&m->info, &m->stats);

	if (mos > 0)
		buf_fmt(b, ",\"mos\":%u.%02u", (unsigned)(mos * 100 + 0.5) / 100, (unsigned)(mos * 100 + 0.5) % 100);
	if (m->stats.round_trip_us)
		buf_fmt(b, ",\"rtt_us\":%u", m->stats.round_trip_us);
	if (m->stats.far_lost >= 0)
		buf_fmt(b, ",\"far_lost_percent\":%u", (unsigned)m->stats.far_lost * 100 / 256);
}

/* how it was encrypted, if it was or should have been */
static void put_keys(struct buf *b, const struct call_media *m)
{
	if (m->stats.rx_suite && m->stats.rx_suite < CRYPT_SUITES)
		buf_fmt(b, ",\"srtp\":\"%s\"", crypt_suites[m->stats.rx_suite].name);
	if (m->stats.dtls)
		buf_fmt(b, ",\"dtls\":\"%s\"", media_dtls_names[m->stats.dtls % 4]);
}

/* Both directions, in words and as the words that programs look for. */
static void put_verdicts(struct buf *b, const struct call_media *m)
{
	const struct media_judged *j = &m->judged;

	buf_lit(b, ",\"verdict\":\"");
	media_put_in(b, j, &m->stats);
	buf_fmt(b, "\",\"code\":\"%s\",\"hears\":\"", media_verdict_info((enum media_verdict)j->in)->word);
	media_put_out(b, j, &m->stats);
	buf_fmt(b, "\",\"hears_code\":\"%s\"", media_verdict_info((enum media_verdict)j->out)->word);
}

static void put_media(struct buf *b, const struct call_record *r)
{
	unsigned n = r->n_streams < CALL_STREAMS_MAX ? r->n_streams : CALL_STREAMS_MAX;
	bool first = true;

	buf_chr(b, '[');
	for (int side = 0; side < 2; side++) {
		for (unsigned i = 0; i < n; i++) {
			const struct call_media *m = &r->media[side][i];

			if (!first)
				buf_chr(b, ',');
			first = false;
			buf_lit(b, "{\"leg\":\"");
			buf_chr(b, "ab"[side]);
			buf_lit(b, "\",\"stream\":");
			buf_u64(b, i);
			buf_lit(b, ",\"kind\":");
			put_json_text(b, m->info.kind);
			buf_lit(b, ",\"codec\":");
			put_json_text(b, m->info.codec);
			buf_lit(b, ",\"rx\":");
			buf_u64(b, m->stats.rx_packets);
			buf_lit(b, ",\"tx\":");
			buf_u64(b, m->stats.tx_packets);
			buf_lit(b, ",\"lost\":");
			if (m->stats.lost < 0) /* packets came twice */
				buf_chr(b, '-');
			buf_u64(b, m->stats.lost < 0 ? 0 - (uint64_t)m->stats.lost : (uint64_t)m->stats.lost);
			buf_lit(b, ",\"jitter_us\":");
			buf_u64(b, m->stats.jitter_us);
			if (m->stats.reordered || m->stats.doubled)
				buf_fmt(b, ",\"reordered\":%u,\"doubled\":%u", m->stats.reordered, m->stats.doubled);
			if (m->stats.gap_us)
				buf_fmt(b, ",\"gap_us\":%u", m->stats.gap_us);
			put_quality(b, m);
			put_keys(b, m);
			buf_lit(b, ",\"from\":\"");
			addr_put(b, &m->stats.source);
			buf_chr(b, '"');
			put_verdicts(b, m);
			buf_chr(b, '}');
		}
	}
	buf_chr(b, ']');
}

static uint32_t ms(int64_t from_us, int64_t to_us)
{
	int64_t d = from_us && to_us > from_us ? (to_us - from_us) / 1000 : 0;

	return d > UINT32_MAX ? UINT32_MAX : (uint32_t)d;
}

struct row_texts {
	char peer[80], tries[2048], media[8192];
};

/* What is known of a call while it is up. */
static void open_row_of(const struct call_record *r, struct db_cdr *c, struct row_texts *t)
{
	struct buf b;

	*c = (struct db_cdr){.id = r->id,
	    .start_us = r->start_wall_us,
	    .answer_us = r->answer_wall_us,
	    .end_us = r->end_wall_us,
	    .ring_ms = ms(r->start_us, r->ring_us),
	    .setup_ms = ms(r->start_us, r->answer_us ? r->answer_us : r->end_us),
	    .talk_ms = ms(r->answer_us, r->end_us),
	    .trunk_a = r->trunk_a_id,
	    .trunk_b = r->trunk_b_id,
	    .trunk_a_name = str_z(r->trunk_a),
	    .trunk_b_name = str_z(r->trunk_b),
	    .calling = str_z(r->calling),
	    .called = str_z(r->called),
	    .route = str_z(r->route),
	    .sip_call_id_a = str_z(r->sip_call_id_a),
	    .status = r->status,
	    .peer_status = r->peer_status,
	    .reason = r->reason,
	    .released_by = r->released_by,
	    .never_open = !r->noted,
	    .peer_reason = str_z(r->peer_reason)};
	if (r->n_tries)
		c->sip_call_id_b = str_z(r->tries[r->n_tries - 1].sip_call_id);
	buf_init(&b, t->peer, sizeof(t->peer));
	buf_str(&b, net_proto_name((enum net_proto)r->proto_a));
	buf_chr(&b, ' ');
	addr_put(&b, &r->peer_a);
	c->peer_a = buf_text(&b);
}

static void row_of(const struct call_record *r, struct db_cdr *c, struct row_texts *t)
{
	unsigned n = r->n_streams < CALL_STREAMS_MAX ? r->n_streams : CALL_STREAMS_MAX;
	struct buf b;

	open_row_of(r, c, t);
	/* one try that took the call says nothing that the other columns do not */
	if (r->n_tries > 1 || (r->n_tries == 1 && r->tries[0].reason != REASON_NONE)) {
		buf_init(&b, t->tries, sizeof(t->tries));
		put_tries(&b, r);
		c->tries = buf_err(&b) ? STR_NONE : buf_text(&b);
	}
	for (int side = 0; side < 2; side++) {
		struct db_cdr_side *s = &c->side[side];

		for (unsigned i = 0; i < n; i++) {
			const struct call_media *m = &r->media[side][i];

			if (i == 0)
				s->codec = str_z(m->info.codec);
			s->rx_packets += m->stats.rx_packets;
			s->tx_packets += m->stats.tx_packets;
			s->lost += m->stats.lost;
			if (m->stats.jitter_us > s->jitter_us)
				s->jitter_us = m->stats.jitter_us;
			c->media_bad = c->media_bad || m->bad;
		}
	}
	if (n) {
		buf_init(&b, t->media, sizeof(t->media));
		put_media(&b, r);
		c->media = buf_err(&b) ? STR_NONE : buf_text(&b);
	}
}

void app_on_record(void *ctx, const struct call_record *rec)
{
	struct app *a = ctx;
	struct row_texts t;
	struct db_cdr c;

	row_of(rec, &c, &t);
	(void)db_cdr_write(a->db, &c); /* a loss is counted and logged by the store */
	if (a->ctl)
		ctl_server_cdr(a->ctl, rec);
}

void app_on_answered(void *ctx, const struct call_record *rec)
{
	struct app *a = ctx;
	struct row_texts t;
	struct db_cdr c;

	open_row_of(rec, &c, &t);
	(void)db_call_open(a->db, &c);
}

/* ------------------------------------------------------------------ bans */

struct ban_change {
	struct db_change change;
	struct guard_ban ban;
	bool began;
	struct app *app;
};

static enum reason ban_apply(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	const struct ban_change *b = container_of(c, struct ban_change, change);
	char text[ADDR_TEXT_MAX + 8];
	struct db_ban row = {0};
	struct buf t;

	buf_init(&t, text, sizeof(text));
	addr_put_ip(&t, &b->ban.net.base);
	if (b->ban.net.bits < (addr_is6(&b->ban.net.base) ? 128 : 32))
		buf_fmt(&t, "/%u", b->ban.net.bits);
	row.address = buf_text(&t);
	if (!b->began)
		return db_ban_del(h, row.address, err);
	row.since_us = b->app->loop.clock.wall_us;
	row.until_us = b->ban.until_wall_us == INT64_MAX ? 0 : b->ban.until_wall_us;
	row.reason = REASON_BANNED;
	row.why = S("guard");
	return db_ban_put(h, &row, err);
}

static void ban_done(struct db_change *c)
{
	struct ban_change *b = container_of(c, struct ban_change, change);

	if (c->req.err.reason != REASON_NONE && c->req.err.reason != REASON_NO_SUCH)
		log_warn(&b->app->log, "ban_not_stored", "text=\"%s\"", c->req.err.text);
	db_rows_free(c->rows);
	free(b);
}

/* The guard's own bans outlive a restart, as the operator's do. */
void app_on_ban(void *ctx, const struct guard_ban *ban, bool began)
{
	struct ban_change *b = calloc(1, sizeof(*b));
	char text[ADDR_TEXT_MAX];
	struct app *a = ctx;

	if (began)
		log_warn(&a->log, "ban", "source=%s", addr_text(&ban->net.base, text));
	else
		log_info(&a->log, "ban_over", "source=%s", addr_text(&ban->net.base, text));
	if (!b)
		return;
	b->app = a;
	b->ban = *ban;
	b->began = began;
	b->change.apply = ban_apply;
	b->change.done = ban_done;
	memcpy(b->change.who.user, "posternd", sizeof("posternd"));
	memcpy(b->change.who.why, "guard", sizeof("guard"));
	db_change_submit_any(a->db, &b->change);
}
