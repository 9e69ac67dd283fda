#!/usr/bin/env python3
"""What must not stand in our code: functions that cannot be used safely, SQL outside db/, variables of file
scope that can change, tests and debug left-overs in the product."""
import re
import common

BANNED = {
    'strcpy': 'unbounded: use struct buf or memcpy with a checked length',
    'strcat': 'unbounded: use struct buf', 'stpcpy': 'unbounded', 'strncpy': 'does not terminate',
    'strncat': 'use struct buf', 'sprintf': 'unbounded: use buf_fmt or snprintf', 'vsprintf': 'unbounded',
    'gets': 'unbounded', 'atoi': 'no error: use the bounded reader of str.h', 'atol': 'no error',
    'atoll': 'no error', 'atof': 'no error', 'strtok': 'hidden state', 'strtok_r': 'writes into its input',
    'sscanf': 'overflows numbers', 'scanf': 'unbounded', 'fscanf': 'overflows numbers',
    'alloca': 'stack by input', 'strdupa': 'stack by input', 'system': 'shell', 'popen': 'shell',
    'tmpnam': 'race', 'mktemp': 'race', 'rand': 'not ours to seed: use struct rng', 'srand': 'use struct rng',
    'random': 'use struct rng', 'gethostbyname': 'blocks', 'getaddrinfo': 'blocks the loop',
    'inet_ntoa': 'static buffer', 'inet_addr': 'no error', 'setjmp': 'no', 'longjmp': 'no',
    'localtime': 'static buffer: localtime_r', 'gmtime': 'static buffer: gmtime_r', 'asctime': 'static buffer',
    'ctime': 'static buffer', 'strerror': 'not for threads: use %m or strerror_r',
    'signal': 'use sigaction or uv_signal', 'sleep': 'blocks', 'usleep': 'blocks',
}
CALL = re.compile(r'(?<![\w.>])(%s)\s*\(' % '|'.join(BANNED))
# A sleep, a signal() or strerror() in the command line client does not stop a loop.
EXCEPT = {
    ('sbc/ctl', 'sleep'), ('sbc/ctl', 'usleep'), ('sbc/ctl', 'strerror'),
    ('sbc/ctl', 'signal'), ('sbc/app', 'signal'),
    ('sbc/app', 'strerror'),  # while starting, before there are threads
}
SQL = re.compile(r'\b(SELECT\b.*\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|'
                 r'DROP\s+TABLE|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)\b')
LEFT = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')

calls, sql, left = [], [], []
for path in common.sources('sbc', 'media', 'db', 'conf'):
    text = common.read(path)
    code = common.strip(text)
    for m in CALL.finditer(code):
        room = next((r for r in ('sbc/ctl', 'sbc/app') if path.startswith(r + '/')), '')
        # a member or a declaration of the same name (uv_signal_t signal; void (*signal)()) is no call
        before = code[max(0, m.start() - 12):m.start()]
        if (room, m.group(1)) in EXCEPT or re.search(r'(\*|struct |\.)\s*$', before):
            continue
        calls.append('%s:%d: %s(): %s' % (path, common.line_of(code, m.start()), m.group(1), BANNED[m.group(1)]))
    if not path.startswith('db/'):
        for line, s in common.strings(text):
            if SQL.search(s):
                sql.append('%s:%d: SQL text "%s"' % (path, line, s[:60]))
    for m in LEFT.finditer(text):
        left.append('%s:%d: %s' % (path, common.line_of(text, m.start()), m.group(1)))
common.case('no banned function is called', calls)
common.case('SQL stands in db/ only', sql)
common.case('no unfinished work is marked in the code', left)

# SQL is never put together from data: every statement goes to sqlite3_prepare as a literal or a named constant
built = []
for path in common.sources('db', ext=('.c',)):
    code = common.strip(common.read(path), keep_strings=True)
    for m in re.finditer(r'\b(snprintf|buf_fmt|buf_puts?|sqlite3_mprintf|asprintf)\s*\([^;]*?"[^"]*\b(SELECT|INSERT|DELETE|UPDATE)\b', code):
        built.append('%s:%d: statement built with %s' % (path, common.line_of(code, m.start()), m.group(1)))
common.case('no SQL statement is built from data', built)

# File-scope variables that can change: a definition at column 0 that is not const, extern, a type or a function.
VAR = re.compile(r'^(?:static\s+)?(?:_Thread_local\s+)?(?:volatile\s+)?(?:unsigned\s+|signed\s+)?'
                 r'(?:struct\s+\w+|enum\s+\w+|\w+)[\s*]+(\w+)\s*(?:\[[^\]]*\]\s*)*(?:=[^=]|;)', re.M)
NOT = re.compile(r'^(?:typedef|extern|return|struct\s+\w+\s*;|enum\s+\w+\s*;|union\s+\w+\s*;|goto|else)')
ALLOW_VAR = {('sbc/base/log.c', 'log_level')}
state = []
for path in common.sources('sbc', 'media', 'db', 'conf', ext=('.c',)):
    if path.endswith('_main.c'):
        continue
    code = common.strip(common.read(path))
    depth = 0
    for n, l in enumerate(code.split('\n'), 1):
        if depth == 0 and l and not l[0].isspace() and l[0] != '#':
            m = VAR.match(l)
            if m and not NOT.match(l) and not re.search(r'\bconst\b', l.split('=')[0]) \
                    and (path, m.group(1)) not in ALLOW_VAR:
                state.append('%s:%d: %s' % (path, n, l.strip()[:70]))
        depth += l.count('{') - l.count('}')
common.case('no mutable variable of file scope', state)
common.finish()
