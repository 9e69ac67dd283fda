"""Real phones (baresip) with audio that is listened to."""
import re

import audio
import peers
from box import NUMBERS, rows, uri
from lab import ITSP_PORT, PBX_PORT, Failed, check, wait


def heard(phone, other, seconds):
    """The phone's recording holds the other's tone for so long, and nothing of its own."""
    mine, theirs = phone.hz, other.hz
    check(phone.recordings(), '%s recorded nothing' % phone.host)
    good = own = 0
    for path in phone.recordings():
        g, o = audio.seconds_of(path, theirs, mine)
        good, own = good + g, own + o
    check(good >= seconds, '%s heard %.1f s of %d Hz, wanted %.1f (%s)' % (phone.host, good, theirs, seconds, path))
    check(own == 0, '%s heard itself for %.1f s' % (phone.host, own))


def listen(phones, seconds):
    """Until each phone has recorded so much more."""
    ends = [(p, p.recorded() + seconds) for p in phones]
    wait('%.1f s more to be recorded by each' % seconds, lambda: all(p.recorded() >= end for p, end in ends), seconds * 2 + 3)


def talk(caller, callee, to, seconds=3.0, while_up=None):
    """A call of so long, and as long as while_up(caller) takes; both recordings are judged."""
    caller.command('dial', to)
    caller.event('CALL_ESTABLISHED', 12)
    listen((caller, callee), seconds)
    if while_up:
        while_up(caller)
    caller.command('hangup')
    callee.event('CALL_CLOSED')
    caller.stop()
    callee.stop()
    heard(callee, caller, seconds - 0.5)
    heard(caller, callee, seconds - 0.5)


def crossing(box):
    """Packets of both phones cross, 40 more each way on each side; what call media says then."""
    one = box.media()

    def more():
        two = box.media()
        return all(y[k] - x[k] >= 40 for x, y in zip(one, two) for k in ('rx_packets', 'tx_packets')) and two
    two = wait('40 packets more each way than ' + str(one), more, 3)
    check(all(m['direction'] == 'sendrecv' for m in two), str(two))
    return two


def hold_and_resume(box, phone):
    """The phone holds the call and resumes it; what call media says when packets cross again."""
    for what in ('hold', 'resume'):
        phone.command(what)
        wait('the ' + what, lambda: all((m['direction'] == 'sendrecv') == (what == 'resume') for m in box.media()))
    return crossing(box)


def two_phones(lab, caller, callee, uri, family=4, transport='udp', while_up=None, family_b=None, srtp=(None, None), mux=False,
               ice=(False, False)):
    """A call with 440 Hz one way and 1000 Hz the other; both recordings are judged."""
    port = {'p': PBX_PORT, 'i': ITSP_PORT}
    a = peers.Baresip(lab, 'a', caller, port[caller[0]], 440, family, transport, srtp=srtp[0], mux=mux, ice=ice[0])
    b = peers.Baresip(lab, 'b', callee, port[callee[0]], 1000, family_b or family, transport, answer=True, srtp=srtp[1], ice=ice[1],
                      number=uri.split(':', 1)[1].split('@')[0])
    talk(a, b, uri, while_up=while_up)
    return a, b


CASES = []


def call(doc, caller, callee, to, **k):
    def run(box):
        two_phones(box.lab, caller, callee, to, **k)
    run.__doc__ = doc
    run.__name__ = doc.replace(' ', '_')
    CASES.append(run)


def shows(box):
    """while two phones talk, call media shows four directions, no loss, how it sounds, and the way there and back by their reports"""
    text = []

    def look(_):
        l = rows(box.json('call', 'list'))
        check(len(l) == 1, 'calls: %s' % l)
        # phones report every few seconds, and a round trip needs a report of each
        wait('both round trips', lambda: all(m.get('rtt_us') for m in box.media()), 20)
        m = box.media()
        check(all(4.3 < x['mos'] < 4.5 and x['rtt_us'] < 1000000 and x['far_lost_percent'] < 1 for x in m), str(m))
        text.append(box.cli('call', 'media', str(l[0].get('id')), ok=None)[1])
    two_phones(box.lab, 'pbx0', 'itsp0', uri(NUMBERS['itsp'], 'lan'), while_up=look)
    check(text[0].count('PCMA') >= 2 and 'MOS' in text[0], text[0])
    # and the record of the call keeps it
    ident = re.search(r'^call +(\S+)', text[0]).group(1)
    wait('the record', lambda: ident in box.cli('cdr', 'tail')[1], 5)
    m = box.json('cdr', 'show', ident)
    m = m['record']['media']
    check(len(m) == 2 and all(4.3 < x['mos'] < 4.5 and x['rtt_us'] > 0 for x in m), str(m))


call('audio both ways, PBX to ITSP', 'pbx0', 'itsp0', uri(NUMBERS['itsp'], 'lan'))
call('audio both ways, ITSP to PBX', 'itsp0', 'pbx0', uri(NUMBERS['pbx'], 'wan'))
call('audio both ways over IPv6', 'pbx0', 'itsp0', uri(NUMBERS['itsp6'], 'lan', 6), family=6)
call('audio both ways, IPv4 to IPv6', 'pbx0', 'itsp0', uri(NUMBERS['itsp6'], 'lan', 4), family=4, family_b=6)
call('audio both ways over TCP', 'pbx1', 'itsp1', uri(NUMBERS['itspt'], 'lan', 4, 'tcp'), transport='tcp')


def after_hold(box):
    """packets of both phones cross again after hold and resume"""
    # baresip's recorder stops at a hold and does not go on, so the second half is judged by our counters
    two_phones(box.lab, 'pbx0', 'itsp0', uri(NUMBERS['itsp'], 'lan'), while_up=lambda phone: hold_and_resume(box, phone))


CASES.append(after_hold)
CASES.append(shows)
