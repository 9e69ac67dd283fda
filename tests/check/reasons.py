#!/usr/bin/env python3
"""Every refusal has a reason of the catalogue.

Held: the catalogue is well formed; nobody answers with a bare 4xx-6xx; a reason is named, never numbered;
each reason is used by the code, or stands in reserved.txt with the why.
"""
import re
import common

DEF = re.compile(r'^REASON\((\w+), (\d+), (\d+), (\d+), "((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\)', re.M)
catalogue = DEF.findall(common.read('sbc/base/reason.def'))
bad = []
last = 0
for name, number, sip, q850, text, remedy in catalogue:
    number = int(number)
    if number <= last:
        bad.append('%s: number %d is not above %d' % (name, number, last))
    last = number
    if not 1000 <= number < 7000:
        bad.append('%s: number %d outside 1000..6999' % (name, number))
    if int(sip) and not 300 <= int(sip) <= 699:
        bad.append('%s: %s is no refusing status' % (name, sip))
    if int(q850) > 127:
        bad.append('%s: Q.850 cause %s' % (name, q850))
    if not text or text[0].isupper() and not text.split()[0].isupper() and not text.startswith(('SIP', 'CSeq', 'INFO', 'Max', 'Content', 'URI')) \
            or text.endswith('.'):
        bad.append('%s: text "%s" must be lower case without full stop' % (name, text))
    if not remedy:
        bad.append('%s: no remedy' % name)
if len({c[0] for c in catalogue}) != len(catalogue):
    bad.append('a name stands twice')
if common.read('sbc/base/reason.def').count('\nREASON(') != len(catalogue):
    bad.append('a line of reason.def cannot be read by this check')
common.case('catalogue is well formed', bad)

# A status that refuses, written as a number, in a call that answers. RFC 3261 leaves these to machines that
# have no call and no reason of their own to give (see the comments in the files named here).
ANSWER = re.compile(r'\b(\w*(?:reply|respond|answer|refuse|reject)\w*)\s*\(([^;{}]*?)\)\s*;', re.S)
STATUS = re.compile(r'(?<![\w.])([3-6]\d\d)(?:u|U)?(?![\w.])')
ALLOW = {
    # file: {status: why it needs no reason}
    'sbc/txn/server.c': {'481': 'CANCEL of no INVITE: RFC 3261 9.2, answered before anybody is asked'},
    'sbc/b2b/change.c': {'487': 'pending re-INVITE of a call that ends: RFC 3261 15.1.2 and 9.2; the call has the reason'},
    'sbc/b2b/indialog.c': {'487': 'pending request of a call that ends: RFC 3261 15.1.2; the call has the reason'},
    'sbc/b2b/proof.c': {'401': 'a question and no refusal: RFC 3261 22.1', '407': 'the same, 22.2'},
    'sbc/b2b/leg.c': {'500': 'of a reason that has no status of its own'},
}
bare = []
for path in common.sources('sbc', ext=('.c',)):
    code = common.strip(common.read(path))
    for m in ANSWER.finditer(code):
        for s in STATUS.findall(m.group(2)):
            if s not in ALLOW.get(path, {}):
                bare.append('%s:%d: %s() with %s and no reason'
                            % (path, common.line_of(code, m.start()), m.group(1), s))
common.case('no answer refuses with a bare status', bare)

numbered = []
for path in common.sources('sbc', 'media', 'db', 'conf', ext=('.c', '.h')):
    code = common.strip(common.read(path))
    for m in re.finditer(r'\(enum reason\)\s*(\d+)', code):
        numbered.append('%s:%d: reason by number %s' % (path, common.line_of(code, m.start()), m.group(1)))
common.case('reasons are named, not numbered', numbered)

used = set()
for path in common.sources('sbc', 'media', 'db', 'conf', ext=('.c', '.h')):
    if path != 'sbc/base/reason.h':
        used |= set(re.findall(r'\bREASON_(\w+)', common.strip(common.read(path))))
reserved = {}
for n, l in enumerate(common.read('tests/check/reserved.txt').split('\n'), 1):
    l = l.split('#')[0].strip()
    if l:
        name, _, why = l.partition(' ')
        reserved[name] = why.strip()
names = {c[0] for c in catalogue}
lost = ['%s is used by no code and not reserved' % n for n in sorted(names - used - set(reserved))]
lost += ['%s is reserved without saying why' % n for n in sorted(reserved) if not reserved[n]]
lost += ['%s is reserved but used: take it off the list' % n for n in sorted(set(reserved) & used)]
lost += ['%s is reserved but not in the catalogue' % n for n in sorted(set(reserved) - names)]
lost += ['REASON_%s is used but not in the catalogue' % n for n in sorted(used - names - {'NONE', 'COUNT'})
         if not n.startswith(('CODE_', 'H'))]
common.case('each reason is used or reserved', lost)
common.finish()
