-- A file as the first schema left it, filled. Never edited: it is what is out there.
PRAGMA application_id = 1349743730;
CREATE TABLE trunk (
 id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
 name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),
 role TEXT NOT NULL CHECK (role IN ('pbx', 'itsp')),
 realm TEXT NOT NULL CHECK (realm <> ''),
 admin TEXT NOT NULL CHECK (admin IN ('enabled', 'disabled', 'draining'))
) STRICT;
CREATE TABLE trunk_setting (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 key TEXT NOT NULL, value TEXT NOT NULL,
 PRIMARY KEY (trunk_id, key)
) STRICT;
CREATE TABLE trunk_target (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 position INTEGER NOT NULL,
 host TEXT NOT NULL CHECK (host <> ''),
 port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
 transport TEXT NOT NULL,
 priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 65535),
 weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),
 PRIMARY KEY (trunk_id, position)
) STRICT;
CREATE TABLE trunk_source (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 position INTEGER NOT NULL,
 address TEXT NOT NULL CHECK (address <> ''),
 PRIMARY KEY (trunk_id, position)
) STRICT;
CREATE TABLE trunk_header (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 name TEXT NOT NULL COLLATE NOCASE CHECK (name <> ''),
 pass INTEGER NOT NULL CHECK (pass IN (0, 1)),
 PRIMARY KEY (trunk_id, name)
) STRICT;
CREATE TABLE number (
 id INTEGER PRIMARY KEY,
 trunk_id INTEGER NOT NULL REFERENCES trunk,
 digits INTEGER NOT NULL CHECK (digits BETWEEN 1 AND 15),
 first TEXT NOT NULL CHECK (length(first) = digits + 1 AND first LIKE '+%'),
 last TEXT NOT NULL CHECK (length(last) = digits + 1 AND last >= first),
 UNIQUE (digits, first)
) STRICT;
CREATE INDEX number_trunk ON number (trunk_id);
CREATE TABLE route (
 id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
 name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),
 position INTEGER NOT NULL,
 from_trunk INTEGER REFERENCES trunk,
 from_pattern TEXT NOT NULL, to_pattern TEXT NOT NULL,
 deny INTEGER NOT NULL CHECK (deny IN (0, 1))
) STRICT;
CREATE TABLE route_via (
 route_id INTEGER NOT NULL REFERENCES route ON DELETE CASCADE,
 position INTEGER NOT NULL,
 trunk_id INTEGER NOT NULL REFERENCES trunk,
 priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 65535),
 weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),
 PRIMARY KEY (route_id, position)
) STRICT;
CREATE TABLE cdr (
 seq INTEGER PRIMARY KEY AUTOINCREMENT,
 id INTEGER NOT NULL,
 start_us INTEGER NOT NULL, answer_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
 ring_ms INTEGER NOT NULL, setup_ms INTEGER NOT NULL, talk_ms INTEGER NOT NULL,
 trunk_a INTEGER NOT NULL, trunk_b INTEGER NOT NULL,
 trunk_a_name TEXT NOT NULL, trunk_b_name TEXT NOT NULL,
 calling TEXT NOT NULL, called TEXT NOT NULL, route TEXT NOT NULL, peer_a TEXT NOT NULL,
 sip_call_id_a TEXT NOT NULL, sip_call_id_b TEXT NOT NULL,
 status INTEGER NOT NULL DEFAULT 0, peer_status INTEGER NOT NULL DEFAULT 0,
 reason INTEGER NOT NULL, released_by TEXT NOT NULL,
 peer_reason TEXT NOT NULL DEFAULT '', tries TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX cdr_id ON cdr (id);
CREATE INDEX cdr_called ON cdr (called);
CREATE TABLE call_open (
 id INTEGER PRIMARY KEY,
 start_us INTEGER NOT NULL, answer_us INTEGER NOT NULL,
 ring_ms INTEGER NOT NULL, setup_ms INTEGER NOT NULL,
 trunk_a INTEGER NOT NULL, trunk_b INTEGER NOT NULL,
 trunk_a_name TEXT NOT NULL, trunk_b_name TEXT NOT NULL,
 calling TEXT NOT NULL, called TEXT NOT NULL, route TEXT NOT NULL, peer_a TEXT NOT NULL,
 sip_call_id_a TEXT NOT NULL, sip_call_id_b TEXT NOT NULL
) STRICT;
CREATE TABLE ban (
 address TEXT PRIMARY KEY NOT NULL,
 since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
 reason INTEGER NOT NULL, why TEXT NOT NULL
) STRICT;
CREATE TABLE revision (
 id INTEGER PRIMARY KEY AUTOINCREMENT,
 at_us INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, why TEXT NOT NULL,
 changes INTEGER NOT NULL, changeset BLOB NOT NULL
) STRICT;
PRAGMA user_version = 1;
INSERT INTO trunk VALUES (1, 'acme', 'itsp', 'wan', 'enabled'), (2, 'pbx', 'pbx', 'lan', 'draining');
INSERT INTO trunk_setting VALUES (1, 'max-calls', '30');
INSERT INTO trunk_target VALUES (1, 1, '192.0.2.1', 5060, '', 1, 1), (2, 1, '10.0.0.1', 5070, 'tcp', 2, 3);
INSERT INTO trunk_source VALUES (1, 1, '198.51.100.0/24');
INSERT INTO trunk_header VALUES (1, 'X-Foo', 1);
INSERT INTO number (trunk_id, digits, first, last) VALUES (2, 11, '+49301234500', '+49301234599');
INSERT INTO route VALUES (1, 'out', 1, 2, '*', '+49*', 0), (2, 'no', 2, NULL, '*', '0900*', 1);
INSERT INTO route_via VALUES (1, 1, 1, 1, 10);
INSERT INTO cdr (id, start_us, answer_us, end_us, ring_ms, setup_ms, talk_ms, trunk_a, trunk_b, trunk_a_name,
 trunk_b_name, calling, called, route, peer_a, sip_call_id_a, sip_call_id_b, status, reason, released_by)
 VALUES (77, 1000000, 2000000, 5000000, 500, 1000, 3000, 1, 2, 'acme', 'pbx', '+4989', '+49301234500', 'number',
 'udp 192.0.2.1:5060', 'a@x', 'b@y', 200, 2001, 'a');
INSERT INTO call_open VALUES (78, 6000000, 7000000, 0, 1000, 1, 2, 'acme', 'pbx', '+4989', '+49301234501', 'number',
 'udp 192.0.2.1:5060', 'c@x', 'd@y');
INSERT INTO ban VALUES ('203.0.113.5', 1, 0, 2101, 'scanner');
INSERT INTO revision (at_us, uid, user, why, changes, changeset) VALUES (1, 0, 'root', 'old', 1, x'');
