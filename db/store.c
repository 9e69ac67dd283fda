/* store.c - the thread that owns the file.
 *
 * Requests: taken from the FIFO all at once and run in one transaction, each in a savepoint of its own; answered
 * after the commit, in order. When the transaction itself is lost (disk full in the middle, commit refused) it is
 * rolled back and the requests are run again, one transaction each, so that every one gets its own answer and
 * none fails for another's fault.
 *
 * Journal: records and openings of calls, in a second queue with a cap. Written in a transaction of their own
 * when the window of the oldest has passed, when there are batch_max of them, before a request that reads, and at
 * close. A call that began and ended within one window is written as its record only; openings come when half of their
 * window has passed (db_open_after_ms()), so most such calls never come here twice. When they cannot be written
 * (full, locked) they stay, and are tried again after 1, 2, 4 … 30 s; beyond the cap new ones are lost, counted
 * and logged once per spell.
 *
 * On a box of one core this thread and the loop take turns, and a turn is milliseconds: a message that comes while a
 * batch is written would wait for one. So between records the thread offers the core, as long as it is on time; behind
 * its time it takes what the scheduler gives it.
 *
 * Owner: the signalling thread opens and closes; struct db is shared and every field below `lock` is guarded by it.
 */
#include "db/internal.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "sbc/base/thread.h"

#define RETRY_MIN_US 1000000
#define RETRY_MAX_US 30000000
#ifdef __SANITIZE_ADDRESS__
#define SLAB_BYTES 0 /* each item alone, so that an overrun is seen */
#else
#define SLAB_BYTES 65000
#endif
#define GIVE_WAY_US 200 /* of work between two offers of the core */
#define ALIVE_US 60000000 /* while calls are open and nothing else is written */

struct item {
	struct list node;
	bool open;
	struct db_cdr c; /* its slices point behind it */
};

/* Items lie one behind the other in slabs, in the order of the queue: the thread that writes calls down asks malloc
 * once for tens of them, and what was written together is freed together. */
struct slab {
	struct list node;
	size_t used, cap;
	_Alignas(16) char bytes[];
};

struct db {
	/* set at open, then only read */
	struct db_cfg cfg;
	char *path; /* own */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, answered;

	/* under lock */
	struct list queue;      /* struct db_req */
	struct list journal;    /* struct item, in slabs */
	struct list slabs;      /* own: struct slab, the one with room last */
	unsigned n_queue, n_journal;
	int64_t journal_since_us; /* when the oldest item came */
	bool closing, losing;
	struct db_stats stats;

	/* store thread only */
	struct db_handle h;
	int64_t retry_at_us, retry_us; /* retry_us 0: no trouble */
	int64_t alive_us;
	unsigned n_open; /* rows in call_open */
};

/* ---------------------------------------------------------------- requests */

static void count(struct db *db, uint64_t *counter)
{
	pthread_mutex_lock(&db->lock);
	(*counter)++;
	pthread_mutex_unlock(&db->lock);
}

static enum reason fixed(struct db *db, enum db_sql id, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(&db->h, id, err);

	return st ? db_run(&db->h, st, "transaction", err) : err->reason;
}

static void rollback(struct db *db)
{
	struct db_err ignored;

	if (!sqlite3_get_autocommit(db->h.sql))
		(void)fixed(db, SQL_ROLLBACK, &ignored);
	count(db, &db->stats.rollbacks);
}

static enum reason commit(struct db *db, struct db_err *err)
{
	int64_t t0 = db_mono_us(), took;
	enum reason r = fixed(db, SQL_COMMIT, err);

	if (r) {
		rollback(db);
		return r;
	}
	took = db_mono_us() - t0;
	pthread_mutex_lock(&db->lock);
	db->stats.commits++;
	if (took > db->stats.commit_max_us)
		db->stats.commit_max_us = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	pthread_mutex_unlock(&db->lock);
	return REASON_NONE;
}

static void run_done(void *arg)
{
	struct db_req *r = arg;

	r->done(r);
}

static void answer(struct db *db, struct db_req *r)
{
	if (r->done) {
		if (db->cfg.post)
			db->cfg.post(db->cfg.post_ctx, run_done, r);
		else
			run_done(r);
		return;
	}
	pthread_mutex_lock(&db->lock);
	r->answered = true;
	pthread_cond_broadcast(&db->answered);
	pthread_mutex_unlock(&db->lock);
}

/* One request within an open transaction. false: the transaction is gone. */
static bool run_one(struct db *db, struct db_req *r)
{
	struct db_err ignored;

	r->err = (struct db_err){.reason = REASON_NONE};
	if (r->kind == DB_READ) {
		(void)r->run(&db->h, r, &r->err);
		return !sqlite3_get_autocommit(db->h.sql);
	}
	if (fixed(db, SQL_SAVE, &r->err))
		return !sqlite3_get_autocommit(db->h.sql);
	if (r->run(&db->h, r, &r->err) != REASON_NONE && !sqlite3_get_autocommit(db->h.sql))
		(void)fixed(db, SQL_SAVE_BACK, &ignored);
	if (sqlite3_get_autocommit(db->h.sql))
		return false;
	(void)fixed(db, SQL_SAVE_DONE, &ignored);
	return true;
}

static void run_alone(struct db *db, struct db_req *r)
{
	struct db_err err = {.reason = REASON_NONE};

	if (r->kind == DB_READ) {
		r->err = err;
		(void)r->run(&db->h, r, &r->err);
		return;
	}
	if (fixed(db, SQL_BEGIN, &err)) {
		r->err = err;
		return;
	}
	if (!run_one(db, r)) {
		if (r->err.reason == REASON_NONE)
			db_fail(&r->err, REASON_DB_FAILED, NULL, "the transaction was lost");
		rollback(db);
		return;
	}
	if (r->err.reason)
		rollback(db);
	else if (commit(db, &err))
		r->err = err;
}

static void run_batch(struct db *db, struct list *batch)
{
	struct db_err err = {.reason = REASON_NONE};
	struct list *n;
	unsigned writes = 0, all = 0;
	bool alone;

	for (n = batch->next; n != batch; n = n->next, all++)
		writes += container_of(n, struct db_req, node)->kind == DB_WRITE;
	pthread_mutex_lock(&db->lock);
	db->stats.requests += all;
	pthread_mutex_unlock(&db->lock);
	if (writes != all)
		db_journal_flush(db);

	alone = writes < 2;
	if (!alone && fixed(db, SQL_BEGIN, &err))
		alone = true;
	if (!alone) {
		unsigned good = 0;

		for (n = batch->next; n != batch && !alone; n = n->next) {
			struct db_req *r = container_of(n, struct db_req, node);

			if (!run_one(db, r)) {
				alone = true;
				rollback(db);
			}
			good += r->err.reason == REASON_NONE;
		}
		if (!alone && good == 0)
			rollback(db); /* every one has its own answer */
		else if (!alone && commit(db, &err))
			alone = true;
	}
	if (alone)
		for (n = batch->next; n != batch; n = n->next)
			run_alone(db, container_of(n, struct db_req, node));
	while ((n = list_pop(batch))) {
		struct db_req *r = container_of(n, struct db_req, node);

		if (r->err.reason && r->kind == DB_WRITE)
			log_warn(&db->h.log, "db_refused", "reason=%s text=\"%s\"",
			    reason_info(r->err.reason)->name, r->err.text);
		answer(db, r);
	}
}

/* ---------------------------------------------------------------- journal */

/* Room for n bytes at the end of the queue; NULL: out of memory. Under lock. */
static void *item_room(struct db *db, size_t n)
{
	struct slab *s = container_of(db->slabs.prev, struct slab, node);
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (list_empty(&db->slabs) || s->cap - s->used < n) {
		size_t cap = n > SLAB_BYTES ? n : SLAB_BYTES;

		s = malloc(sizeof(*s) + cap);
		if (!s)
			return NULL;
		s->used = 0;
		s->cap = cap;
		list_push(&db->slabs, &s->node);
	}
	p = s->bytes + s->used;
	s->used += n;
	return p;
}

static void slabs_free(struct list *slabs)
{
	struct list *e;

	while ((e = list_pop(slabs)))
		free(container_of(e, struct slab, node));
}

/* Takes all items that wait, with their slabs. Returns how many. */
static unsigned take_all(struct db *db, struct list *items, struct list *slabs, int64_t *ret_since_us)
{
	unsigned n;

	list_init(items);
	list_init(slabs);
	pthread_mutex_lock(&db->lock);
	n = db->n_journal;
	*ret_since_us = db->journal_since_us;
	list_splice(items, &db->journal);
	list_splice(slabs, &db->slabs);
	db->n_journal = 0;
	pthread_mutex_unlock(&db->lock);
	return n;
}

/* Gives items back to the front of the queue, in order. */
static void put_back(struct db *db, struct list *items, struct list *slabs, unsigned n)
{
	pthread_mutex_lock(&db->lock);
	list_splice(items, &db->journal);
	list_splice(&db->journal, items);
	list_splice(slabs, &db->slabs);
	list_splice(&db->slabs, slabs);
	db->n_journal += n;
	pthread_mutex_unlock(&db->lock);
}

/* Is the end of this call further down in the same batch? */
static bool ends_here(const uint64_t *ended, size_t mask, uint64_t id)
{
	for (size_t i = (size_t)(id * 0x9e3779b97f4a7c15u >> 32) & mask; ended[i]; i = (i + 1) & mask)
		if (ended[i] == id)
			return true;
	return false;
}

static uint64_t *ended_set(const struct list *items, unsigned n, size_t *ret_mask)
{
	size_t cap = 16;
	uint64_t *set;

	while (cap < (size_t)n * 2)
		cap *= 2;
	if (!(set = calloc(cap, sizeof(*set))))
		return NULL;
	*ret_mask = cap - 1;
	for (const struct list *e = items->next; e != items; e = e->next) {
		const struct item *it = container_of(e, struct item, node);
		size_t i = (size_t)(it->c.id * 0x9e3779b97f4a7c15u >> 32) & *ret_mask;

		if (it->open || !it->c.id)
			continue;
		while (set[i])
			i = (i + 1) & *ret_mask;
		set[i] = it->c.id;
	}
	return set;
}

static void give_way(int64_t *at_us)
{
	int64_t now = db_mono_us();

	if (now - *at_us < GIVE_WAY_US)
		return;
	sched_yield();
	*at_us = db_mono_us();
}

/* Is that the end of one item only? The others can be written. */
static bool refused(struct db *db, enum reason r, const struct db_err *err)
{
	if (r != REASON_DB_FAILED || sqlite3_get_autocommit(db->h.sql))
		return false;
	log_error(&db->h.log, "cdr_refused", "text=\"%s\"", err->text);
	return true;
}

/* Records of ended calls; open: how many rows call_open has. */
static enum reason write_records(struct db *db, struct item *const v[], unsigned n, unsigned *lost, unsigned *open,
    struct db_err *err)
{
	enum reason r = REASON_NONE;
	unsigned done = 0;
	bool was;

	if (n == DB_CDR_MANY) {
		const struct db_cdr *c[DB_CDR_MANY];

		for (unsigned i = 0; i < n; i++)
			c[i] = &v[i]->c;
		r = db_cdr_insert_many(&db->h, c, &done, err);
		if (r && (r != REASON_DB_FAILED || sqlite3_get_autocommit(db->h.sql)))
			return r;
		r = REASON_NONE; /* the rest one by one: which one it is shows there */
	}
	for (unsigned i = 0; i < n && !r; i++) {
		if (i >= done)
			r = db_cdr_insert(&db->h, &v[i]->c, false, err);
		if (!r && *open && !v[i]->c.never_open && !(r = db_open_delete(&db->h, v[i]->c.id, &was, err)))
			*open -= was && *open;
		if (refused(db, r, err)) {
			++*lost;
			r = REASON_NONE;
		}
	}
	return r;
}

/* since_us: when the oldest of them came */
static enum reason write_items(struct db *db, struct list *items, unsigned n, int64_t since_us, unsigned *ret_lost,
    unsigned *ret_open, struct db_err *err)
{
	int64_t at_us = db_mono_us();
	bool on_time = at_us - since_us < 2 * (int64_t)db->cfg.window_ms * 1000;
	struct item *records[DB_CDR_MANY];
	size_t mask = 0;
	uint64_t *ended;
	unsigned open = db->n_open, lost = 0, k = 0;
	enum reason r;

	if ((r = fixed(db, SQL_BEGIN, err)))
		return r;
	ended = ended_set(items, n, &mask);
	for (struct list *e = items->next; e != items && !r; e = e->next) {
		struct item *it = container_of(e, struct item, node);

		if (it->open && ended && ends_here(ended, mask, it->c.id))
			continue;
		if (on_time)
			give_way(&at_us);
		if (!it->open) {
			records[k++] = it;
			if (k == DB_CDR_MANY) {
				r = write_records(db, records, k, &lost, &open, err);
				k = 0;
			}
			continue;
		}
		r = db_cdr_insert(&db->h, &it->c, true, err);
		open += !r;
		if (refused(db, r, err)) {
			lost++;
			r = REASON_NONE;
		}
	}
	free(ended);
	if (!r)
		r = write_records(db, records, k, &lost, &open, err);
	if (!r && open)
		r = db_alive(&db->h, err);
	if (!r)
		r = commit(db, err);
	else
		rollback(db);
	*ret_lost = lost;
	*ret_open = open;
	return r;
}

/* Writes all that waits; on the store thread, outside a transaction. */
void db_journal_flush(struct db *db)
{
	struct db_err err = {.reason = REASON_NONE};
	unsigned lost = 0, open = 0, records = 0, n;
	struct list items, slabs;
	int64_t since_us;
	enum reason r;

	n = take_all(db, &items, &slabs, &since_us);
	if (!n)
		return;
	r = write_items(db, &items, n, since_us, &lost, &open, &err);
	if (r) {
		int64_t wait = db->retry_us ? db->retry_us * 2 : RETRY_MIN_US;

		put_back(db, &items, &slabs, n);
		if (!db->retry_us)
			log_error(&db->h.log, "cdr_waiting", "reason=%s text=\"%s\" records=%u",
			    reason_info(r)->name, err.text, n);
		db->retry_us = wait > RETRY_MAX_US ? RETRY_MAX_US : wait;
		db->retry_at_us = db_mono_us() + db->retry_us;
	} else {
		if (db->retry_us)
			log_warn(&db->h.log, "cdr_written_again", "records=%u", n);
		db->retry_us = 0;
		db->n_open = open;
		db->alive_us = db_mono_us();
		for (const struct list *e = items.next; e != &items; e = e->next)
			records += !container_of((struct list *)e, struct item, node)->open;
		slabs_free(&slabs);
	}
	pthread_mutex_lock(&db->lock);
	db->stats.trouble = r;
	db->stats.cdr_lost += lost;
	db->stats.cdr_written += records - (lost > records ? records : lost);
	if (!r)
		db->losing = false;
	pthread_mutex_unlock(&db->lock);
}

static struct str keep(char **at, struct str s)
{
	struct str copy = {*at, s.n};

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static bool enqueue(struct db *db, const struct db_cdr *c, bool open)
{
	const struct str texts[] = {c->trunk_a_name, c->trunk_b_name, c->calling, c->called, c->route, c->peer_a,
	    c->sip_call_id_a, c->sip_call_id_b, c->peer_reason, c->tries, c->media, c->side[0].codec,
	    c->side[1].codec};
	int64_t since_us = db_mono_us();
	struct item *it = NULL;
	size_t n = 0;
	bool wake, first_loss;
	char *at;

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		n += texts[i].n;
	pthread_mutex_lock(&db->lock);
	if (db->n_journal < db->cfg.queue_max)
		it = item_room(db, sizeof(*it) + n);
	if (it) {
		at = (char *)(it + 1);
		*it = (struct item){.open = open, .c = *c};
		it->c.trunk_a_name = keep(&at, c->trunk_a_name);
		it->c.trunk_b_name = keep(&at, c->trunk_b_name);
		it->c.calling = keep(&at, c->calling);
		it->c.called = keep(&at, c->called);
		it->c.route = keep(&at, c->route);
		it->c.peer_a = keep(&at, c->peer_a);
		it->c.sip_call_id_a = keep(&at, c->sip_call_id_a);
		it->c.sip_call_id_b = keep(&at, c->sip_call_id_b);
		it->c.peer_reason = keep(&at, c->peer_reason);
		it->c.tries = keep(&at, c->tries);
		it->c.media = keep(&at, c->media);
		it->c.side[0].codec = keep(&at, c->side[0].codec);
		it->c.side[1].codec = keep(&at, c->side[1].codec);
	} else {
		db->stats.cdr_lost += !open;
		first_loss = !db->losing;
		db->losing = true;
		pthread_mutex_unlock(&db->lock);
		if (first_loss)
			log_error(&db->h.log, "cdr_lost", "reason=%s waiting=%u",
			    reason_info(REASON_CDR_LOST)->name, db->cfg.queue_max);
		return false;
	}
	list_push(&db->journal, &it->node);
	if (open) /* has waited already */
		since_us -= (int64_t)db_open_after_ms(db->cfg.window_ms) * 1000;
	wake = db->n_journal++ == 0 || since_us < db->journal_since_us || db->n_journal == db->cfg.batch_max;
	if (db->n_journal == 1 || since_us < db->journal_since_us)
		db->journal_since_us = since_us;
	if (wake)
		pthread_cond_signal(&db->wake);
	pthread_mutex_unlock(&db->lock);
	return true;
}

bool db_call_open(struct db *db, const struct db_cdr *c)
{
	return enqueue(db, c, true);
}

bool db_cdr_write(struct db *db, const struct db_cdr *c)
{
	return enqueue(db, c, false);
}

/* ---------------------------------------------------------------- the thread */

static void wait_until(struct db *db, int64_t mono_us)
{
	struct timespec t = {.tv_sec = mono_us / 1000000, .tv_nsec = mono_us % 1000000 * 1000};

	if (mono_us == INT64_MAX)
		pthread_cond_wait(&db->wake, &db->lock);
	else
		pthread_cond_timedwait(&db->wake, &db->lock, &t);
}

/* When the journal is to be written; INT64_MAX: not. Under lock. */
static int64_t journal_due_us(const struct db *db)
{
	int64_t due;

	if (!db->n_journal)
		return db->n_open ? db->alive_us + ALIVE_US : INT64_MAX;
	due = db->n_journal >= db->cfg.batch_max ? 0
						 : db->journal_since_us + (int64_t)db->cfg.window_ms * 1000;
	return db->retry_us && due < db->retry_at_us ? db->retry_at_us : due;
}

static void still_alive(struct db *db)
{
	struct db_err err;

	db->alive_us = db_mono_us();
	(void)db_alive(&db->h, &err); /* a failure shows with the next record */
}

static void *store_main(void *arg)
{
	struct db *db = arg;
	struct list batch, *e;

	thread_patient();
	for (;;) {
		bool journal, any, closing;
		int64_t due;

		list_init(&batch);
		pthread_mutex_lock(&db->lock);
		while (db->n_queue == 0 && !db->closing && (due = journal_due_us(db)) > db_mono_us())
			wait_until(db, due);
		while ((e = list_pop(&db->queue)))
			list_push(&batch, e);
		db->n_queue = 0;
		closing = db->closing;
		journal = journal_due_us(db) <= db_mono_us();
		any = db->n_journal > 0;
		pthread_mutex_unlock(&db->lock);

		if (!list_empty(&batch))
			run_batch(db, &batch);
		else if (closing)
			break;
		if (journal && any)
			db_journal_flush(db);
		else if (journal)
			still_alive(db);
	}
	db_journal_flush(db);
	return NULL;
}

void db_submit_any(struct db *db, struct db_req *r)
{
	r->db = db;
	pthread_mutex_lock(&db->lock);
	assert(!db->closing);
	list_push(&db->queue, &r->node);
	if (db->n_queue++ == 0)
		pthread_cond_signal(&db->wake);
	pthread_mutex_unlock(&db->lock);
}

enum reason db_call(struct db *db, struct db_req *r)
{
	r->done = NULL;
	r->answered = false;
	db_submit_any(db, r);
	pthread_mutex_lock(&db->lock);
	while (!r->answered)
		pthread_cond_wait(&db->answered, &db->lock);
	pthread_mutex_unlock(&db->lock);
	return r->err.reason;
}

void db_stats_any(struct db *db, struct db_stats *ret)
{
	pthread_mutex_lock(&db->lock);
	*ret = db->stats;
	ret->waiting = db->n_queue + db->n_journal;
	pthread_mutex_unlock(&db->lock);
}

/* ---------------------------------------------------------------- open, close */

static enum reason recover(struct db *db, struct db_err *err)
{
	enum reason r = fixed(db, SQL_BEGIN, err);

	if (r)
		return r;
	if ((r = db_recover(&db->h, &db->stats.recovered, err)))
		rollback(db);
	else
		r = commit(db, err);
	if (!r && db->stats.recovered)
		log_warn(&db->h.log, "db_recovered", "calls=%llu reason=%s",
		    (unsigned long long)db->stats.recovered, reason_info(REASON_CRASHED)->name);
	return r;
}

static bool start_thread(struct db *db)
{
	pthread_condattr_t attr;
	int rc;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&db->answered, NULL);
	rc = pthread_create(&db->thread, NULL, store_main, db);
	if (rc == 0)
		return true;
	pthread_cond_destroy(&db->wake);
	pthread_cond_destroy(&db->answered);
	return false;
}

enum reason db_open(const struct db_cfg *cfg, struct db **ret, struct db_err *err)
{
	struct db_err own;
	struct db *db = calloc(1, sizeof(*db));
	enum reason r;

	if (!err)
		err = &own;
	*err = (struct db_err){.reason = REASON_NONE};
	if (!db || !(db->path = str_strdup(str_z(cfg->path)))) {
		free(db);
		return db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
	}
	db->cfg = *cfg;
	db->cfg.path = db->path;
	if (!db->cfg.window_ms)
		db->cfg.window_ms = 200;
	if (!db->cfg.batch_max)
		db->cfg.batch_max = 10000;
	if (!db->cfg.queue_max)
		db->cfg.queue_max = 100000;
	list_init(&db->queue);
	list_init(&db->journal);
	list_init(&db->slabs);
	pthread_mutex_init(&db->lock, NULL);
	/* nobody asks SQLite how much memory it has: no lock and no sums for each piece; too late once the library runs */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if ((r = db_handle_open(&db->cfg, &db->h, err)) == REASON_NONE) {
		db->h.db = db;
		db->stats.schema = db_schema_version;
		if (!cfg->read_only)
			r = recover(db, err);
		if (!r && !start_thread(db))
			r = db_fail(err, REASON_NO_MEMORY, NULL, "the store thread could not be started");
		if (!r) {
			*ret = db;
			return REASON_NONE;
		}
		db_handle_close(&db->h);
	}
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
	return r;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	pthread_mutex_lock(&db->lock);
	db->closing = true;
	pthread_cond_signal(&db->wake);
	pthread_mutex_unlock(&db->lock);
	pthread_join(db->thread, NULL);
	if (db->n_journal)
		log_error(&db->h.log, "cdr_lost", "reason=%s records=%u", reason_info(db->stats.trouble)->name,
		    db->n_journal);
	slabs_free(&db->slabs);
	db_handle_close(&db->h);
	pthread_cond_destroy(&db->wake);
	pthread_cond_destroy(&db->answered);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}
