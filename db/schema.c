/* schema.c - the tables, as a list of steps.
 *
 * steps[i] brings a file from user_version i to i + 1, in one transaction with the new version number. A step
 * that has been released is never edited: a change of the schema is a new step at the end, with a test in
 * tests/unit/db/schema.c that brings a filled file of every older version forward. Before a file that has content
 * is migrated a copy is kept beside it (PATH.v1), so that the older program can be put back.
 *
 * All tables are STRICT. Ids of trunks and routes are never given twice (AUTOINCREMENT): records and run-time
 * state refer to them after they are gone. Text that people type is checked by the code that stores it; CHECK here
 * is the second line.
 */
#include "db/internal.h"

#include <stdio.h>
#include <unistd.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const char *const steps[] = {
    /* 0 -> 1 */
    "CREATE TABLE trunk ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),"
    " name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),"
    " role TEXT NOT NULL CHECK (role IN ('pbx', 'itsp')),"
    " realm TEXT NOT NULL CHECK (realm <> ''),"
    " admin TEXT NOT NULL CHECK (admin IN ('enabled', 'disabled', 'draining'))"
    ") STRICT;"
    "CREATE TABLE trunk_setting ("
    " trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,"
    " key TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (trunk_id, key)"
    ") STRICT;"
    "CREATE TABLE trunk_target ("
    " trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,"
    " position INTEGER NOT NULL,"
    " host TEXT NOT NULL CHECK (host <> ''),"
    " port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),"
    " transport TEXT NOT NULL,"
    " priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 65535),"
    " weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),"
    " PRIMARY KEY (trunk_id, position)"
    ") STRICT;"
    "CREATE TABLE trunk_source ("
    " trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,"
    " position INTEGER NOT NULL,"
    " address TEXT NOT NULL CHECK (address <> ''),"
    " PRIMARY KEY (trunk_id, position)"
    ") STRICT;"
    "CREATE TABLE trunk_header ("
    " trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,"
    " name TEXT NOT NULL COLLATE NOCASE CHECK (name <> ''),"
    " pass INTEGER NOT NULL CHECK (pass IN (0, 1)),"
    " PRIMARY KEY (trunk_id, name)"
    ") STRICT;"
    "CREATE TABLE number ("
    " id INTEGER PRIMARY KEY,"
    " trunk_id INTEGER NOT NULL REFERENCES trunk,"
    " digits INTEGER NOT NULL CHECK (digits BETWEEN 1 AND 15),"
    " first TEXT NOT NULL CHECK (length(first) = digits + 1 AND first LIKE '+%'),"
    " last TEXT NOT NULL CHECK (length(last) = digits + 1 AND last >= first),"
    " UNIQUE (digits, first)"
    ") STRICT;"
    "CREATE INDEX number_trunk ON number (trunk_id);"
    "CREATE TABLE route ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),"
    " name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),"
    " position INTEGER NOT NULL,"
    " from_trunk INTEGER REFERENCES trunk,"
    " from_pattern TEXT NOT NULL, to_pattern TEXT NOT NULL,"
    " deny INTEGER NOT NULL CHECK (deny IN (0, 1))"
    ") STRICT;"
    "CREATE TABLE route_via ("
    " route_id INTEGER NOT NULL REFERENCES route ON DELETE CASCADE,"
    " position INTEGER NOT NULL,"
    " trunk_id INTEGER NOT NULL REFERENCES trunk,"
    " priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 65535),"
    " weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),"
    " PRIMARY KEY (route_id, position)"
    ") STRICT;"
    "CREATE TABLE cdr ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id INTEGER NOT NULL,"
    " start_us INTEGER NOT NULL, answer_us INTEGER NOT NULL, end_us INTEGER NOT NULL,"
    " ring_ms INTEGER NOT NULL, setup_ms INTEGER NOT NULL, talk_ms INTEGER NOT NULL,"
    " trunk_a INTEGER NOT NULL, trunk_b INTEGER NOT NULL,"
    " trunk_a_name TEXT NOT NULL, trunk_b_name TEXT NOT NULL,"
    " calling TEXT NOT NULL, called TEXT NOT NULL, route TEXT NOT NULL, peer_a TEXT NOT NULL,"
    " sip_call_id_a TEXT NOT NULL, sip_call_id_b TEXT NOT NULL,"
    " status INTEGER NOT NULL DEFAULT 0, peer_status INTEGER NOT NULL DEFAULT 0,"
    " reason INTEGER NOT NULL, released_by TEXT NOT NULL,"
    " peer_reason TEXT NOT NULL DEFAULT '', tries TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX cdr_id ON cdr (id);"
    "CREATE INDEX cdr_called ON cdr (called);"
    "CREATE TABLE call_open ("
    " id INTEGER PRIMARY KEY,"
    " start_us INTEGER NOT NULL, answer_us INTEGER NOT NULL,"
    " ring_ms INTEGER NOT NULL, setup_ms INTEGER NOT NULL,"
    " trunk_a INTEGER NOT NULL, trunk_b INTEGER NOT NULL,"
    " trunk_a_name TEXT NOT NULL, trunk_b_name TEXT NOT NULL,"
    " calling TEXT NOT NULL, called TEXT NOT NULL, route TEXT NOT NULL, peer_a TEXT NOT NULL,"
    " sip_call_id_a TEXT NOT NULL, sip_call_id_b TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE ban ("
    " address TEXT PRIMARY KEY NOT NULL,"
    " since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, why TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE revision ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " at_us INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, why TEXT NOT NULL,"
    " changes INTEGER NOT NULL, changeset BLOB NOT NULL"
    ") STRICT;"
    "PRAGMA user_version = 1;",

    /* 1 -> 2: routes by time of day, media quality in records, the moment the store was last alive (end of
     * calls that a crash cut), look-up of records by the calling number */
    "ALTER TABLE route ADD COLUMN days INTEGER NOT NULL DEFAULT 0 CHECK (days BETWEEN 0 AND 127);"
    "ALTER TABLE route ADD COLUMN from_min INTEGER NOT NULL DEFAULT 0 CHECK (from_min BETWEEN 0 AND 1439);"
    "ALTER TABLE route ADD COLUMN to_min INTEGER NOT NULL DEFAULT 1440 CHECK (to_min BETWEEN 0 AND 1440);"
    "ALTER TABLE cdr ADD COLUMN media TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE cdr ADD COLUMN codec_a TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE cdr ADD COLUMN rx_a INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN tx_a INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN lost_a INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN jitter_a_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN codec_b TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE cdr ADD COLUMN rx_b INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN tx_b INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN lost_b INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN jitter_b_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cdr ADD COLUMN media_bad INTEGER NOT NULL DEFAULT 0 CHECK (media_bad IN (0, 1));"
    "CREATE INDEX cdr_calling ON cdr (calling);"
    "CREATE INDEX cdr_start ON cdr (start_us);"
    "CREATE TABLE box (id INTEGER PRIMARY KEY CHECK (id = 1), alive_us INTEGER NOT NULL) STRICT;"
    "PRAGMA user_version = 2;",

    /* 2 -> 3: credentials of trunks, and the bindings of those who registered with us */
    "CREATE TABLE trunk_credential ("
    " trunk_id INTEGER PRIMARY KEY REFERENCES trunk ON DELETE CASCADE,"
    " user TEXT NOT NULL CHECK (user <> ''), realm TEXT NOT NULL,"
    " md5 TEXT NOT NULL, sha256 TEXT NOT NULL, sha512_256 TEXT NOT NULL,"
    " secret BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE binding ("
    " id INTEGER PRIMARY KEY,"
    " trunk_id INTEGER NOT NULL, aor TEXT NOT NULL, bulk INTEGER NOT NULL CHECK (bulk IN (0, 1)),"
    " q INTEGER NOT NULL, reg_id INTEGER NOT NULL, cseq INTEGER NOT NULL,"
    " uri TEXT NOT NULL, params TEXT NOT NULL, instance TEXT NOT NULL, call_id TEXT NOT NULL,"
    " path TEXT NOT NULL, user_agent TEXT NOT NULL,"
    " realm TEXT NOT NULL, transport TEXT NOT NULL, received TEXT NOT NULL,"
    " since_us INTEGER NOT NULL, expires_us INTEGER NOT NULL"
    ") STRICT;"
    "PRAGMA user_version = 3;",

    /* 3 -> 4: secrets of the box itself (keys of temporary GRUUs), with the time they are kept after they were replaced */
    "CREATE TABLE secret ("
    " name TEXT NOT NULL CHECK (name <> ''), n INTEGER NOT NULL CHECK (n BETWEEN 1 AND 4294967295),"
    " value TEXT NOT NULL, since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " PRIMARY KEY (name, n)"
    ") STRICT;"
    "PRAGMA user_version = 4;",

    /* 4 -> 5: the trunk setting no-response is try-timeout, the shorter of the two where both were set */
#define MS(value) \
	"CAST(" value " AS INTEGER) * CASE WHEN " value " LIKE '%ms' THEN 1 WHEN " value " LIKE '%s' THEN 1000" \
	" WHEN " value " LIKE '%m' THEN 60000 ELSE 3600000 END"
    "INSERT INTO trunk_setting (trunk_id, key, value)"
    " SELECT trunk_id, 'try-timeout', CASE WHEN " MS("value") " < 500 THEN '500ms' ELSE value END FROM trunk_setting"
    " WHERE key = 'no-response' AND value GLOB '[1-9]*'"
    " ON CONFLICT DO UPDATE SET value = excluded.value WHERE " MS("excluded.value") " < " MS("trunk_setting.value") ";"
    "DELETE FROM trunk_setting WHERE key = 'no-response';"
#undef MS
    "PRAGMA user_version = 5;",

    /* 5 -> 6: a credential without its secret, which nobody wrote. Not by DROP COLUMN: there are files of version 3 to 5
     * that never had it. */
    "CREATE TABLE credential_now ("
    " trunk_id INTEGER PRIMARY KEY REFERENCES trunk ON DELETE CASCADE,"
    " user TEXT NOT NULL CHECK (user <> ''), realm TEXT NOT NULL,"
    " md5 TEXT NOT NULL, sha256 TEXT NOT NULL, sha512_256 TEXT NOT NULL"
    ") STRICT;"
    "INSERT INTO credential_now SELECT trunk_id, user, realm, md5, sha256, sha512_256 FROM trunk_credential;"
    "DROP TABLE trunk_credential;"
    "ALTER TABLE credential_now RENAME TO trunk_credential;"
    "PRAGMA user_version = 6;",

    /* 6 -> 7: revisions that are taken back unless somebody keeps them */
    "CREATE TABLE trial ("
    " revision INTEGER PRIMARY KEY REFERENCES revision ON DELETE CASCADE,"
    " until_us INTEGER NOT NULL"
    ") STRICT;"
    "PRAGMA user_version = 7;",
};

const unsigned db_schema_version = ARRAY_LEN(steps);

static enum reason keep_copy(struct db_handle *h, unsigned version, struct db_err *err)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s.v%u", h->path, version);

	if (n < 0 || (size_t)n >= sizeof(path))
		return db_fail(err, REASON_DB_FAILED, NULL, "path of the database is too long");
	if (access(path, F_OK) == 0)
		return REASON_NONE; /* of an earlier attempt */
	log_warn(&h->log, "db_migrate", "from=%u to=%u copy=%s", version, db_schema_version, path);
	return db_copy_file(h, path, err);
}

static enum reason one_step(struct db_handle *h, unsigned from, struct db_err *err)
{
	enum reason r;

	if ((r = db_exec(h, "BEGIN IMMEDIATE", "migration", err)))
		return r;
	if ((r = db_exec(h, steps[from], "migration", err)) == REASON_NONE &&
	    (r = db_exec(h, "COMMIT", "migration", err)) == REASON_NONE)
		return REASON_NONE;
	sqlite3_exec(h->sql, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

enum reason db_migrate(struct db_handle *h, struct db_err *err)
{
	int64_t app, version, tables;
	enum reason r;

	if ((r = db_get_i64(h, "PRAGMA application_id", &app, err)) ||
	    (r = db_get_i64(h, "PRAGMA user_version", &version, err)) ||
	    (r = db_get_i64(h, "SELECT count(*) FROM sqlite_schema", &tables, err)))
		return r;
	if (app != DB_APPLICATION_ID && (app != 0 || tables != 0))
		return db_fail(err, REASON_DB_DAMAGED,
		    "correct 'state-dir' in postern.conf, or move the file away",
		    "%s is an SQLite file, but not one of Postern", h->path);
	if (version < 0 || version > (int64_t)db_schema_version)
		return db_fail(err, REASON_DB_VERSION, NULL,
		    "%s has schema %lld, this program knows up to %u", h->path, (long long)version,
		    db_schema_version);
	if (app == 0 && (r = db_exec(h, "PRAGMA application_id = " TEXT(DB_APPLICATION_ID), "new database", err)))
		return r;
	if (version > 0 && version < (int64_t)db_schema_version &&
	    (r = keep_copy(h, (unsigned)version, err)))
		return r;
	for (unsigned v = (unsigned)version; v < db_schema_version; v++)
		if ((r = one_step(h, v, err)))
			return r;
	return REASON_NONE;
}
