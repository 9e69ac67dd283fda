/* log.c - formatting, the ring and the file descriptor. */
#include "sbc/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sbc/base/buf.h"

const char *const log_level_names[4] = {"error", "warn", "info", "debug"};
const char *const log_area_names[LOG_AREAS] = {
    "app", "net", "sip", "call", "media", "db", "ctl", "policy"};

int logger_init(struct logger *lg, int fd, enum log_level level)
{
	memset(lg, 0, sizeof(*lg));
	lg->ring = calloc(LOG_RING, sizeof(*lg->ring));
	if (!lg->ring)
		return -ENOMEM;
	lg->fd = fd;
	lg->stamp = true;
	for (int i = 0; i < LOG_AREAS; i++)
		lg->level[i] = (uint8_t)level;
	pthread_mutex_init(&lg->lock, NULL);
	return 0;
}

void logger_fini(struct logger *lg)
{
	pthread_mutex_destroy(&lg->lock);
	free(lg->ring);
	lg->ring = NULL;
}

static int name_index(struct str s, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (str_ieq(s, str_z(names[i])))
			return i;
	return -EINVAL;
}

int log_level_parse(struct str s)
{
	return name_index(s, log_level_names, 4);
}

int log_area_parse(struct str s)
{
	return name_index(s, log_area_names, LOG_AREAS);
}

static void put_stamp(struct buf *b, int64_t wall_us)
{
	time_t t = (time_t)(wall_us / 1000000);
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_fmt(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us / 1000 % 1000));
}

void log_write_any(const struct log *l, enum log_level level, const char *event, const char *fmt, ...)
{
	struct logger *lg = l->to;
	char out[LOG_LINE_MAX + 64];
	struct log_line line;
	struct timespec ts;
	struct buf b, o;
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &ts);
	line.wall_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	line.level = (uint8_t)level;
	line.area = l->area;
	buf_init(&b, line.text, sizeof(line.text) - 1);
	buf_fmt(&b, "%s %s %s%s%s", log_level_names[level], log_area_names[l->area], event,
	    l->ctx[0] ? " " : "", l->ctx);
	if (fmt[0]) {
		size_t keep = b.n;

		buf_chr(&b, ' ');
		va_start(ap, fmt);
		buf_vfmt(&b, fmt, ap);
		va_end(ap);
		if (b.err) { /* too long: keep what fits */
			int n;

			va_start(ap, fmt);
			n = vsnprintf(line.text + keep + 1, sizeof(line.text) - keep - 2, fmt, ap);
			va_end(ap);
			b.n = n < 0 ? keep : sizeof(line.text) - 2;
			line.text[keep] = ' ';
		}
	}
	line.text[b.n] = '\0';
	buf_init(&o, out, sizeof(out));
	if (lg->stamp)
		put_stamp(&o, line.wall_us);
	buf_put(&o, line.text, b.n);
	buf_chr(&o, '\n');
	pthread_mutex_lock(&lg->lock);
	line.seq = ++lg->seq;
	lg->ring[line.seq % LOG_RING] = line;
	if (lg->fd >= 0 && write(lg->fd, out, o.n) < 0) {
		/* a full disk or a closed pipe must not stop a call; the ring still has the line */
	}
	pthread_mutex_unlock(&lg->lock);
}

unsigned logger_read_any(struct logger *lg, uint64_t after, struct log_line *ret_lines, unsigned max)
{
	bool newest = after == 0;
	unsigned n = 0;

	pthread_mutex_lock(&lg->lock);
	if (lg->seq > LOG_RING && after < lg->seq - LOG_RING)
		after = lg->seq - LOG_RING;
	if (newest && lg->seq - after > max)
		after = lg->seq - max;
	for (uint64_t s = after + 1; s <= lg->seq && n < max; s++)
		ret_lines[n++] = lg->ring[s % LOG_RING];
	pthread_mutex_unlock(&lg->lock);
	return n;
}

const char *log_quoted(struct log_quote *q, struct str s)
{
	struct buf b;

	buf_init(&b, q->text, sizeof(q->text));
	buf_chr(&b, '"');
	buf_escaped(&b, s, 80);
	buf_chr(&b, '"');
	return buf_z(&b);
}

bool log_gate_open(struct log_gate *g, int64_t now_us, int64_t quiet_us, unsigned *ret_unsaid)
{
	if (now_us < g->quiet_until_us) {
		g->unsaid++;
		return false;
	}
	*ret_unsaid = g->unsaid;
	g->unsaid = 0;
	g->quiet_until_us = now_us + quiet_us;
	return true;
}
