/* number.c - blocks of numbers.
 *
 * A block is first..last of one length, so text order is number order and one index (digits, first) finds the
 * neighbour that might overlap: among blocks of that length the last one that begins at or before our end. Since
 * blocks never overlap it is the only candidate. The check and the insert are in one transaction of one writer.
 */
#include "db/internal.h"

#include <assert.h>

/* value of the digits behind '+' */
static uint64_t value(const char *number)
{
	uint64_t v = 0;

	for (number++; *number; number++)
		v = v * 10 + (uint64_t)(*number - '0');
	return v;
}

/* v as a number with that many digits */
static void print_value(uint64_t v, size_t digits, char ret[DB_NUMBER_MAX])
{
	assert(digits < DB_NUMBER_MAX - 1);
	ret[0] = '+';
	ret[digits + 1] = '\0';
	for (size_t i = digits; i > 0; i--, v /= 10)
		ret[i] = (char)('0' + v % 10);
}

/* Copies digits (and 'x' as given digit) of one end. 0 or -EINVAL-like false. */
static bool read_end(struct str s, char x, char ret[DB_NUMBER_MAX], bool *ret_x)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == ' ' || c == '-' || c == '(' || c == ')' || c == '.' || c == '/' || c == '\t')
			continue;
		if (c == 'x' || c == 'X') {
			*ret_x = true;
			c = x;
		} else if (*ret_x || !(chr_digit(c) || (c == '+' && n == 0))) {
			return false; /* x only at the end */
		}
		if (n + 1 >= DB_NUMBER_MAX)
			return false;
		ret[n++] = c;
	}
	ret[n] = '\0';
	return n > 0;
}

enum reason db_number_parse(struct str text, struct db_number *ret, struct db_err *err)
{
	static const char hint[] = "+49301234500 or +49301234500..+49301234599 or +493012345xx";
	struct db_number n = {.trunk_id = 0};
	struct str first, last = STR_NONE;
	ptrdiff_t dots;
	size_t digits;
	bool x = false, x2 = false;

	text = str_trim(text);
	dots = str_find(text, S(".."));
	first = dots < 0 ? text : str_head(text, (size_t)dots);
	if (dots >= 0)
		last = str_from(text, (size_t)dots + 2);
	if (!read_end(first, '0', n.first, &x) || (dots >= 0 && (x || !read_end(last, '9', n.last, &x2) || x2)))
		return db_fail(err, REASON_BAD_VALUE, hint, "'%.*s' is not a number or a range of numbers",
		    STR(str_head(text, 64)));
	digits = strlen(n.first) - 1;
	if (n.first[0] != '+' || n.first[1] == '0' || digits < 3 || digits > 15)
		return db_fail(err, REASON_BAD_VALUE, hint,
		    "'%.*s' is not an E.164 number: '+', country code, 3 to 15 digits in all",
		    STR(str_head(text, 64)));
	if (x) {
		(void)read_end(first, '9', n.last, &x2);
	} else if (dots < 0) {
		memcpy(n.last, n.first, sizeof(n.last));
	} else if (n.last[0] != '+') { /* "+49301234500..99": the tail of the last one */
		char whole[DB_NUMBER_MAX];
		size_t tail = strlen(n.last);

		if (tail > digits)
			return db_fail(err, REASON_BAD_VALUE, hint, "'%.*s': the end is longer than the beginning",
			    STR(str_head(text, 64)));
		memcpy(whole, n.first, sizeof(whole));
		memcpy(whole + 1 + digits - tail, n.last, tail);
		memcpy(n.last, whole, sizeof(whole));
	}
	if (strlen(n.last) - 1 != digits)
		return db_fail(err, REASON_BAD_VALUE, hint, "%s and %s have different lengths", n.first, n.last);
	if (memcmp(n.last, n.first, digits + 1) < 0)
		return db_fail(err, REASON_BAD_VALUE, hint, "%s comes after %s", n.first, n.last);
	*ret = n;
	return REASON_NONE;
}

uint64_t db_number_count(const struct db_number *n)
{
	return value(n->last) - value(n->first) + 1;
}

/* The last block of that length beginning at or before `bound`. */
struct hit {
	bool found;
	struct db_number n;
	int64_t id;
	char trunk[DB_NAME_MAX + 1];
};

static enum reason look(struct db_handle *h, size_t digits, const char *bound, struct hit *ret, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_NUMBER_OVER, err);
	enum reason r = REASON_NONE;
	int rc;

	*ret = (struct hit){.found = false};
	if (!st)
		return err->reason;
	db_bind_i64(st, 1, (int64_t)digits);
	db_bind_str(st, 2, str_z(bound));
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		struct str first = db_col_str(st, 0), last = db_col_str(st, 1), name = db_col_str(st, 3);

		if (first.n >= DB_NUMBER_MAX || last.n >= DB_NUMBER_MAX || name.n > DB_NAME_MAX) {
			r = db_fail(err, REASON_DB_DAMAGED, NULL, "a number is longer than it can be");
		} else {
			ret->found = true;
			memcpy(ret->n.first, first.p, first.n);
			memcpy(ret->n.last, last.p, last.n);
			ret->n.trunk_id = db_col_u32(st, 2);
			memcpy(ret->trunk, name.p, name.n);
			ret->id = sqlite3_column_int64(st, 4);
		}
	} else if (rc != SQLITE_DONE) {
		r = db_sql_fail(h, err, "looking for a number");
	}
	sqlite3_reset(st);
	return r;
}

static enum reason insert(struct db_handle *h, const struct db_number *n, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_NUMBER_ADD, err);

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, n->trunk_id);
	db_bind_i64(st, 2, (int64_t)strlen(n->first) - 1);
	db_bind_str(st, 3, str_z(n->first));
	db_bind_str(st, 4, str_z(n->last));
	return db_run(h, st, "adding a number", err);
}

enum reason db_number_add(struct db_handle *h, const struct db_number *n, struct db_err *err)
{
	struct db_err own;
	struct hit hit;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = look(h, strlen(n->first) - 1, n->last, &hit, err)))
		return r;
	if (hit.found && strcmp(hit.n.last, n->first) >= 0) {
		char hint[96];
		struct buf b;

		buf_init(&b, hint, sizeof(hint) - 1);
		buf_fmt(&b, "postern number del %s", hit.n.first);
		if (strcmp(hit.n.first, hit.n.last))
			buf_fmt(&b, "..%s", hit.n.last);
		hint[b.n] = '\0';
		return db_fail(err, REASON_NUMBER_TAKEN, hint, "%s..%s overlaps %s..%s of trunk %s", n->first,
		    n->last, hit.n.first, hit.n.last, hit.trunk);
	}
	return insert(h, n, err);
}

static enum reason drop(struct db_handle *h, int64_t id, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_NUMBER_DEL, err);

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, id);
	return db_run(h, st, "deleting a number", err);
}

/* Takes from..to out of the block that was hit: what stands left and right of it stays. */
static enum reason cut(struct db_handle *h, const struct hit *hit, uint64_t from, uint64_t to, size_t digits,
    struct db_err *err)
{
	struct db_number rest = hit->n;
	enum reason r;

	if ((r = drop(h, hit->id, err)))
		return r;
	if (value(hit->n.first) < from) {
		print_value(from - 1, digits, rest.last);
		if ((r = insert(h, &rest, err)))
			return r;
	}
	if (value(hit->n.last) > to) {
		rest = hit->n;
		print_value(to + 1, digits, rest.first);
		return insert(h, &rest, err);
	}
	return REASON_NONE;
}

enum reason db_number_del(struct db_handle *h, const struct db_number *n, uint32_t trunk_id, uint64_t *ret_removed,
    struct db_err *err)
{
	size_t digits = strlen(n->first) - 1;
	uint64_t from = value(n->first), to = value(n->last), removed = 0;
	struct db_err own;
	char bound[DB_NUMBER_MAX];
	struct hit hit;
	enum reason r;

	if (!err)
		err = &own;
	memcpy(bound, n->last, sizeof(bound));
	for (;;) {
		uint64_t first, last;

		if ((r = look(h, digits, bound, &hit, err)))
			return r;
		if (!hit.found || (last = value(hit.n.last)) < from)
			break;
		first = value(hit.n.first);
		if (!trunk_id || hit.n.trunk_id == trunk_id) {
			if ((r = cut(h, &hit, from, to, digits, err)))
				return r;
			removed += (last < to ? last : to) - (first > from ? first : from) + 1;
		}
		if (first <= from)
			break;
		print_value(first - 1, digits, bound);
	}
	if (!removed)
		return db_fail(err, REASON_NO_SUCH, "postern number list", "no number of %s..%s is there%s", n->first,
		    n->last, trunk_id ? " (of that trunk)" : "");
	if (ret_removed)
		*ret_removed = removed;
	return REASON_NONE;
}
