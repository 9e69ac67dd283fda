-- A file as the third schema left it, filled. Never edited: it is what is out there.
PRAGMA application_id = 1349743730;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE ban (
 address TEXT PRIMARY KEY NOT NULL,
 since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
 reason INTEGER NOT NULL, why TEXT NOT NULL
) STRICT;
INSERT INTO "ban" VALUES('203.0.113.5',1,0,2101,'scanner');
CREATE TABLE binding ( id INTEGER PRIMARY KEY, trunk_id INTEGER NOT NULL, aor TEXT NOT NULL, bulk INTEGER NOT NULL CHECK (bulk IN (0, 1)), q INTEGER NOT NULL, reg_id INTEGER NOT NULL, cseq INTEGER NOT NULL, uri TEXT NOT NULL, params TEXT NOT NULL, instance TEXT NOT NULL, call_id TEXT NOT NULL, path TEXT NOT NULL, user_agent TEXT NOT NULL, realm TEXT NOT NULL, transport TEXT NOT NULL, received TEXT NOT NULL, since_us INTEGER NOT NULL, expires_us INTEGER NOT NULL) STRICT;
INSERT INTO "binding" VALUES(77,1,'',1,1000,0,4,'sip:192.0.2.1;bnc','','','call-1','','','lan','UDP','192.0.2.1:5060',1,9000000000000000);
CREATE TABLE box (id INTEGER PRIMARY KEY CHECK (id = 1), alive_us INTEGER NOT NULL) STRICT;
INSERT INTO "box" VALUES(1,9000000);
CREATE TABLE call_open (
 id INTEGER PRIMARY KEY,
 start_us INTEGER NOT NULL, answer_us INTEGER NOT NULL,
 ring_ms INTEGER NOT NULL, setup_ms INTEGER NOT NULL,
 trunk_a INTEGER NOT NULL, trunk_b INTEGER NOT NULL,
 trunk_a_name TEXT NOT NULL, trunk_b_name TEXT NOT NULL,
 calling TEXT NOT NULL, called TEXT NOT NULL, route TEXT NOT NULL, peer_a TEXT NOT NULL,
 sip_call_id_a TEXT NOT NULL, sip_call_id_b TEXT NOT NULL
) STRICT;
INSERT INTO "call_open" VALUES(78,6000000,7000000,0,1000,1,2,'acme','pbx','+4989','+49301234501','number','udp 192.0.2.1:5060','c@x','d@y');
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
, media TEXT NOT NULL DEFAULT '', codec_a TEXT NOT NULL DEFAULT '', rx_a INTEGER NOT NULL DEFAULT 0, tx_a INTEGER NOT NULL DEFAULT 0, lost_a INTEGER NOT NULL DEFAULT 0, jitter_a_us INTEGER NOT NULL DEFAULT 0, codec_b TEXT NOT NULL DEFAULT '', rx_b INTEGER NOT NULL DEFAULT 0, tx_b INTEGER NOT NULL DEFAULT 0, lost_b INTEGER NOT NULL DEFAULT 0, jitter_b_us INTEGER NOT NULL DEFAULT 0, media_bad INTEGER NOT NULL DEFAULT 0 CHECK (media_bad IN (0, 1))) STRICT;
INSERT INTO "cdr" VALUES(1,77,1000000,2000000,5000000,500,1000,3000,1,2,'acme','pbx','+4989','+49301234500','number','udp 192.0.2.1:5060','a@x','b@y',200,0,2001,'a','','','[]','PCMA',150,0,0,0,'',0,0,0,0,0);
CREATE TABLE number (
 id INTEGER PRIMARY KEY,
 trunk_id INTEGER NOT NULL REFERENCES trunk,
 digits INTEGER NOT NULL CHECK (digits BETWEEN 1 AND 15),
 first TEXT NOT NULL CHECK (length(first) = digits + 1 AND first LIKE '+%'),
 last TEXT NOT NULL CHECK (length(last) = digits + 1 AND last >= first),
 UNIQUE (digits, first)
) STRICT;
INSERT INTO "number" VALUES(1,2,11,'+49301234500','+49301234599');
CREATE TABLE revision (
 id INTEGER PRIMARY KEY AUTOINCREMENT,
 at_us INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, why TEXT NOT NULL,
 changes INTEGER NOT NULL, changeset BLOB NOT NULL
) STRICT;
INSERT INTO "revision" VALUES(1,1,0,'root','old',1,X'');
CREATE TABLE route (
 id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
 name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),
 position INTEGER NOT NULL,
 from_trunk INTEGER REFERENCES trunk,
 from_pattern TEXT NOT NULL, to_pattern TEXT NOT NULL,
 deny INTEGER NOT NULL CHECK (deny IN (0, 1))
, days INTEGER NOT NULL DEFAULT 0 CHECK (days BETWEEN 0 AND 127), from_min INTEGER NOT NULL DEFAULT 0 CHECK (from_min BETWEEN 0 AND 1439), to_min INTEGER NOT NULL DEFAULT 1440 CHECK (to_min BETWEEN 0 AND 1440)) STRICT;
INSERT INTO "route" VALUES(1,'out',1,2,'*','+49*',0,0,0,1440);
INSERT INTO "route" VALUES(2,'no',2,NULL,'*','0900*',1,31,480,1080);
CREATE TABLE route_via (
 route_id INTEGER NOT NULL REFERENCES route ON DELETE CASCADE,
 position INTEGER NOT NULL,
 trunk_id INTEGER NOT NULL REFERENCES trunk,
 priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 65535),
 weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),
 PRIMARY KEY (route_id, position)
) STRICT;
INSERT INTO "route_via" VALUES(1,1,1,1,10);
CREATE TABLE trunk (
 id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
 name TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 31),
 role TEXT NOT NULL CHECK (role IN ('pbx', 'itsp')),
 realm TEXT NOT NULL CHECK (realm <> ''),
 admin TEXT NOT NULL CHECK (admin IN ('enabled', 'disabled', 'draining'))
) STRICT;
INSERT INTO "trunk" VALUES(1,'acme','itsp','wan','enabled');
INSERT INTO "trunk" VALUES(2,'pbx','pbx','lan','draining');
CREATE TABLE trunk_credential ( trunk_id INTEGER PRIMARY KEY REFERENCES trunk ON DELETE CASCADE, user TEXT NOT NULL CHECK (user <> ''), realm TEXT NOT NULL, md5 TEXT NOT NULL, sha256 TEXT NOT NULL, sha512_256 TEXT NOT NULL, secret BLOB NOT NULL) STRICT;
INSERT INTO "trunk_credential" VALUES(1,'u1','example.net','939e7578ed9e3c518a452acee763bce9','','',X'');
CREATE TABLE trunk_header (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 name TEXT NOT NULL COLLATE NOCASE CHECK (name <> ''),
 pass INTEGER NOT NULL CHECK (pass IN (0, 1)),
 PRIMARY KEY (trunk_id, name)
) STRICT;
INSERT INTO "trunk_header" VALUES(1,'X-Foo',1);
CREATE TABLE trunk_setting (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 key TEXT NOT NULL, value TEXT NOT NULL,
 PRIMARY KEY (trunk_id, key)
) STRICT;
INSERT INTO "trunk_setting" VALUES(1,'max-calls','30');
CREATE TABLE trunk_source (
 trunk_id INTEGER NOT NULL REFERENCES trunk ON DELETE CASCADE,
 position INTEGER NOT NULL,
 address TEXT NOT NULL CHECK (address <> ''),
 PRIMARY KEY (trunk_id, position)
) STRICT;
INSERT INTO "trunk_source" VALUES(1,1,'198.51.100.0/24');
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
INSERT INTO "trunk_target" VALUES(1,1,'192.0.2.1',5060,'',1,1);
INSERT INTO "trunk_target" VALUES(2,1,'10.0.0.1',5070,'tcp',2,3);
CREATE INDEX number_trunk ON number (trunk_id);
CREATE INDEX cdr_id ON cdr (id);
CREATE INDEX cdr_called ON cdr (called);
CREATE INDEX cdr_calling ON cdr (calling);
CREATE INDEX cdr_start ON cdr (start_us);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('trunk',2);
INSERT INTO "sqlite_sequence" VALUES('route',2);
INSERT INTO "sqlite_sequence" VALUES('cdr',1);
INSERT INTO "sqlite_sequence" VALUES('revision',1);
COMMIT;
