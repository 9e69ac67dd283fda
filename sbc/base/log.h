/* log.h - "time level area event key=value ..." lines.
 *
 * The event is a fixed word one can grep for; the context ("call=7f3a leg=b") is carried by the object that
 * logs. Text of a peer goes in through log_quoted() only: escaped and clipped. Lines go to a file descriptor
 * and into a ring for `postern log tail`. Any thread may log (one lock, held for a copy).
 */
#ifndef SBC_BASE_LOG_H
#define SBC_BASE_LOG_H

#include <pthread.h>

#include "sbc/base/list.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_area { LOG_APP, LOG_NET, LOG_SIP, LOG_CALL, LOG_MEDIA, LOG_DB, LOG_CTL, LOG_POLICY, LOG_AREAS };

extern const char *const log_level_names[4];
extern const char *const log_area_names[LOG_AREAS];

#define LOG_LINE_MAX 768
#define LOG_RING 1024

struct log_line {
	uint64_t seq; /* 1.. */
	int64_t wall_us;
	uint8_t level, area;
	char text[LOG_LINE_MAX]; /* without time */
};


struct logger {
	pthread_mutex_t lock;
	int fd; /* -1: none */
	bool stamp; /* prefix lines with the time (not under journald) */
	_Atomic uint8_t level[LOG_AREAS];
	struct log_line *ring; /* own, LOG_RING of them */
	uint64_t seq;
};

/* What an object carries. */
struct log {
	struct logger *to; /* borrow: process; NULL logs nowhere */
	uint8_t area;
	char ctx[39]; /* "" or "call=7f3a" */
};

MUST_USE int logger_init(struct logger *lg, int fd, enum log_level level);
void logger_fini(struct logger *lg);
/* Copies lines with seq > after, oldest first, at most max; after 0: the newest max lines. Returns how many. */
unsigned logger_read_any(struct logger *lg, uint64_t after, struct log_line *ret_lines, unsigned max);
int log_level_parse(struct str s); /* enum log_level, or -EINVAL */
int log_area_parse(struct str s);  /* enum log_area, or -EINVAL  */

static inline bool log_on(const struct log *l, enum log_level level)
{
	return l->to && level <= l->to->level[l->area];
}

void log_write_any(const struct log *l, enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define log_at(l, level, event, ...) \
	do { \
		if (log_on((l), (level))) \
			log_write_any((l), (level), "" event, __VA_ARGS__); \
	} while (0)
#define log_error(l, event, ...) log_at(l, LOG_ERROR, event, __VA_ARGS__)
#define log_warn(l, event, ...) log_at(l, LOG_WARN, event, __VA_ARGS__)
#define log_info(l, event, ...) log_at(l, LOG_INFO, event, __VA_ARGS__)
#define log_debug(l, event, ...) log_at(l, LOG_DEBUG, event, __VA_ARGS__)

/* What others can trigger is said once in a while and counted meanwhile. Zeroed memory: may be said at once. */
struct log_gate {
	int64_t quiet_until_us;
	unsigned unsaid;
};
/* true: a line may be written now, and none for quiet_us; *ret_unsaid: how many were not since the last one */
bool log_gate_open(struct log_gate *g, int64_t now_us, int64_t quiet_us, unsigned *ret_unsaid);

/* Peer bytes for a "%s": quoted, escaped, clipped to 80 bytes. */
struct log_quote {
	char text[340];
};
const char *log_quoted(struct log_quote *q, struct str s);

#endif
