"""Whole calls between SIPp parties: each scenario in both directions, over UDP, TCP, IPv4, IPv6 and mixed."""
import re

import peers
from box import BODIES, NUMBERS
from lab import Failed, check

PLAIN = ['short', 'call', 'echo', 'calleebye', 'busy', 'decline', 'notfound', 'cancel180', 'cancel100', 'early', 'hold',
         'holdback', 'lateoffer', 'update', 'info', 'optionsin', 'refuse']
CASES = []


def case(doc, fn):
    fn.__doc__ = doc
    fn.__name__ = re.sub(r'\W+', '_', doc)
    CASES.append(fn)


def out(box, scn, **k):
    """pbx0 calls by way of the trunk itsp"""
    return peers.Sipp(box.lab, scn, 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'],
                      bodies=BODIES, **k).finish()


def into(box, scn, **k):
    """itsp0 calls a number of pbx0"""
    return peers.Sipp(box.lab, scn, 'itsp0', 'pbx0', 'wan', called=NUMBERS['pbx'], calling=NUMBERS['itsp'],
                      bodies=BODIES, **k).finish()


for s in PLAIN:
    case('%s, PBX to ITSP' % s, lambda box, s=s: out(box, s, echo=s == 'echo'))
    case('%s, ITSP to PBX' % s, lambda box, s=s: into(box, s, echo=s == 'echo'))


def big_from_tcp(box):
    """big INVITE over TCP arrives whole"""
    peers.Sipp(box.lab, 'big', 'pbx1', 'itsp1', 'lan', 't1', called=NUMBERS['itspt'], calling=NUMBERS['pbxt']).finish()


def big_udp_to_tcp(box):
    """big INVITE to a UDP trunk leaves over TCP"""
    s = peers.Sipp(box.lab, 'big', 'pbx1', 'itsp0', 'lan', 't1', callee_transport='t1', called=NUMBERS['itsp'],
                   calling=NUMBERS['pbxt']).finish()
    check('TCP message received' in s.text('uas'), 'it did not arrive by TCP')


CASES += [big_from_tcp, big_udp_to_tcp]

# transports and families, each with what is most likely to break there: in-dialog requests from both sides
KINDS = {'UDP': ('pbx', 'pbx0', 'u1', 4, 'itsp', 'itsp0'), 'TCP': ('pbxt', 'pbx1', 't1', 4, 'itspt', 'itsp1'),
         'UDP6': ('pbx6', 'pbx0', 'u1', 6, 'itsp6', 'itsp0'), 'TCP6': ('pbx6t', 'pbx1', 't1', 6, 'itsp6t', 'itsp1')}


def mixed(box, scn, a, b, inbound=False):
    ta, ha, tra, fa, ia, sa = KINDS[a]
    tb, hb, trb, fb, ib, sb = KINDS[b]
    if inbound:
        peers.Sipp(box.lab, scn, sa, hb, 'wan', tra, fa, trb, fb, called=NUMBERS[tb], calling=NUMBERS[ia],
                   bodies=BODIES, echo=scn == 'echo').finish()
    else:
        peers.Sipp(box.lab, scn, ha, sb, 'lan', tra, fa, trb, fb, called=NUMBERS[ib], calling=NUMBERS[ta],
                   bodies=BODIES, echo=scn == 'echo').finish()


for a in KINDS:
    for b in KINDS:
        if (a, b) == ('UDP', 'UDP'):
            continue
        for scn in ('short', 'calleebye', 'hold') if a != b else ('short', 'calleebye', 'hold', 'holdback', 'cancel180', 'busy', 'lateoffer'):
            case('%s, %s to %s, PBX to ITSP' % (scn, a, b), lambda box, scn=scn, a=a, b=b: mixed(box, scn, a, b))
        case('calleebye, %s to %s, ITSP to PBX' % (a, b), lambda box, a=a, b=b: mixed(box, 'calleebye', a, b, True))


def keepalive(box):
    """OPTIONS of a trunk is answered 200 with Allow"""
    for host, via in (('pbx0', 'lan'), ('itsp0', 'wan')):
        peers.Sipp(box.lab, 'options', host, 'itsp0' if host[0] == 'p' else 'pbx0', via).finish()


def many(box):
    """200 calls at 50 calls/s, none fails, each has its record"""

    peers.Sipp(box.lab, 'short', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], calls=200,
               rate=50, seconds=60).finish()




def hiding(box):
    """nothing of leg A reaches leg B: addresses, Call-ID, tags, Via, Contact; both directions"""
    for run, mine, theirs in ((out, '198.51.100.', '203.0.113.'), (into, '203.0.113.', '198.51.100.')):
        s = run(box, 'hold')
        far = [m for sent, m in peers.messages(s.text('uas')) if not sent]
        near = [m for sent, m in peers.messages(s.text('uac')) if sent]
        back = [m for sent, m in peers.messages(s.text('uac')) if not sent]
        check(len(far) >= 6 and len(near) >= 6, 'the message files could not be read (%d, %d)' % (len(far), len(near)))
        ids = {re.search(r'(?m)^Call-ID: *(\S+)', m).group(1) for m in near}
        tags = {t for m in near for t in re.findall(r'From:.*;tag=([^;>\s]+)', m)}
        branches = {t for m in near for t in re.findall(r'branch=([^;\s]+)', m)}
        for m in far:
            for what in [mine] + sorted(ids | tags | branches) + ['20518 ']:
                if what in m:
                    raise Failed('"%s" of the caller reached the callee in: %s' % (what, m[:1500]))
            vias = re.findall(r'(?mi)^(?:via|v): ', m)
            check(len(vias) <= 1, 'more than one Via: ' + m[:300])
        for m in back:
            check(theirs not in m, 'the callee\'s address reached the caller in: ' + m[:1500])


def dialogs_are_ours(box):
    """Call-ID, tags and Contact of each leg are our own and stay the same"""
    s = out(box, 'hold')
    for side in ('uac', 'uas'):
        ids = {re.search(r'(?m)^Call-ID: *(\S+)', m).group(1) for _, m in peers.messages(s.text(side))}
        check(len(ids) == 1, '%s: %d Call-IDs' % (side, len(ids)))


def call_records(box):
    """an answered, a busy and a cancelled call leave their records"""
    out(box, 'short')
    a = box.cdrs(1)[0]
    out(box, 'busy')
    out(box, 'cancel180')
    l = box.cdrs(3)[:3]
    text = str(l)
    check('486' in text or 'PEER_BUSY' in text or 'busy' in text, 'no busy call in ' + text)
    check('487' in text or 'CANCELLED' in text or 'gave up' in text, 'no cancelled call in ' + text)
    check(NUMBERS['itsp'] in str(a) and NUMBERS['pbx'] in str(a), 'numbers are not in ' + str(a))


CASES += [keepalive, many, hiding, dialogs_are_ours, call_records]
