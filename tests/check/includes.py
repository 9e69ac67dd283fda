#!/usr/bin/env python3
"""Holds every #include against the map of the rooms: arrows point down only.

ALLOWED is the map. A room may include itself and what is named here, nothing else of the project.
The CMake rooms must not link to more than that either.
"""
import re
import common

ALLOWED = {
    'sbc/base': '',
    'sbc/loop': 'sbc/base',
    'sbc/sip': 'sbc/base',
    'conf': 'sbc/base',
    'sbc/net': 'sbc/base sbc/loop',
    'db': 'sbc/base sbc/loop',
    'media': 'sbc/base sbc/loop',
    'sbc/txn': 'sbc/base sbc/loop sbc/sip sbc/net',
    # policy compiles what the configuration and the database say; of media and net it uses the plain
    # structs of media.h and net.h (modes, a path), no functions
    'sbc/policy': 'sbc/base sbc/loop sbc/sip sbc/net conf db media',
    'sbc/auth': 'sbc/base sbc/loop sbc/sip sbc/policy',
    'sbc/dialog': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn',
    'sbc/reg': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn sbc/dialog sbc/auth sbc/policy sbc/target',
    'sbc/target': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn sbc/policy',
    'sbc/b2b': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn sbc/dialog sbc/auth sbc/policy sbc/target sbc/reg media',
    'sbc/ctl': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn sbc/dialog sbc/auth sbc/policy sbc/target sbc/reg sbc/b2b'
               ' media db conf',
    'sbc/app': 'sbc/base sbc/loop sbc/sip sbc/net sbc/txn sbc/dialog sbc/auth sbc/policy sbc/target sbc/reg sbc/b2b'
               ' sbc/ctl'
               ' media db conf',
}
# Inside a room: files that are pure or private. File pattern -> what it may not include, and why.
FORBIDDEN = [
    (r'^sbc/b2b/', r'^media/(sdp|codec|relay)', 'b2b never looks inside a session description'),
    (r'^media/(sdp|codec|negotiate)', r'^sbc/loop/', 'sdp, codec and negotiate are pure: no clock, no loop'),
    (r'^media/(sdp|codec)', r'^media/(relay|media)\.h', 'sdp and codec are pure: no sessions, no sockets'),
    (r'^sbc/sip/', r'^<(sys/socket|netinet|uv\.h|unistd|pthread|time\.h)', 'sip is bytes and structs only'),
    (r'^sbc/(b2b|target|txn|dialog|policy|sip)/', r'^<(uv\.h|sys/socket\.h|sqlite3\.h|pthread\.h)',
     'protocol code owns no socket, loop, thread or disk'),
    (r'^media/sdp', r'^<(uv\.h|sys/socket\.h|pthread\.h)', 'sdp is pure'),
    (r'^(?!db/)', r'^<sqlite3\.h', 'only db talks to SQLite'),
    (r'^(?!media/crypt)', r'^<srtp2/', 'only crypt of media talks to libsrtp'),
    (r'^(?!conf/)', r'^<confuse\.h', 'only conf talks to libConfuse'),
    (r'^(?!sbc/reg/reginfo)', r'^<expat\.h', 'only reginfo talks to Expat'),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|(<[^>]+>))', re.M)


def room(path):
    for r in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(r + '/'):
            return r
    return None


upward, private = [], []
homeless = []
for path in common.sources('sbc', 'media', 'db', 'conf', ext=('.c', '.h', '.inc', '.def')):
    mine = room(path)
    if mine is None:
        homeless.append(path + ': lies in no room of the map')
        continue
    text = common.strip(common.read(path), keep_strings=True)
    for m in INCLUDE.finditer(text):
        what = m.group(1) or m.group(2)
        where = '%s:%d' % (path, common.line_of(text, m.start()))
        for own, other, why in FORBIDDEN:
            if re.search(own, path) and re.search(other, what):
                private.append('%s: includes %s: %s' % (where, what, why))
        if m.group(2):
            continue
        theirs = room(what)
        if theirs is None:
            if '/' in what:
                upward.append('%s: includes %s, which is in no room' % (where, what))
        elif theirs != mine and theirs not in ALLOWED[mine].split():
            upward.append('%s: %s may not include %s (%s)' % (where, mine, theirs, what))
common.case('every source file lies in a room of the map', homeless)
common.case('includes point down only', upward)
common.case('pure and private parts include nothing they must not', private)

links = []
for r in ALLOWED:
    try:
        text = common.read(r + '/CMakeLists.txt')
    except FileNotFoundError:
        continue
    names = {x.replace('/', '_'): x for x in ALLOWED}
    for m in re.finditer(r'postern_room\((\S+)([^)]*)\)', text):
        for dep in m.group(2).split():
            if dep in names and names[dep] != r and names[dep] not in ALLOWED[r].split():
                links.append('%s/CMakeLists.txt: %s may not link to %s' % (r, r, names[dep]))
common.case('rooms link down only', links)
common.finish()
