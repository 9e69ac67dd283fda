"""What takes its time: lost ACK, silence, ring timeout, failover. The cases of 32 s run at once, in one case each."""
import time

from box import NUMBERS, uri
from lab import Failed, check
from raw import Call, party
from sip import Msg, Ua, ack_failure, sdp

CONFIG = {'trunk': {'duo': ['try-timeout=2s', 'probe-down=20'], 'itsp6': ['ring-timeout=5s'], 'itspt': ['max-duration=4s']}}
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


@case
def lost_ack(box):
    """the ACK of the caller never comes: 200 repeated with T1 doubling up to T2, after 64*T1 BYE on both legs"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.answer()
    c.b.expect('ACK')
    start = time.monotonic()
    seen = []
    while True:
        m = c.a.expect(lambda m: (m.status == 200 and m.method == 'INVITE') or m.method == 'BYE', 40)
        if m.method == 'BYE':
            break
        seen.append(round(time.monotonic() - start, 1))
    took = time.monotonic() - start
    c.a.reply(m, 200, 'OK')
    c.b.reply(c.b.expect('BYE'), 200, 'OK')
    check(len(seen) == 10, 'the 200 was repeated %d times at %s' % (len(seen), seen))
    want = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    check(all(abs(x - y) < 0.7 for x, y in zip(seen, want)), 'repeated at %s' % seen)
    check(31.5 < took < 34, 'BYE after %.1f s' % took)
    r = box.cdrs(1)[0]
    check('2117' in str(r) or 'NO_ACK' in str(r) or 'never acknowledged' in str(r), str(r))


@case
def silent_callee(box):
    """the far side answers nothing at all: INVITE repeated seven times, 408 after 64*T1"""
    c = Call(box)
    c.invite()
    c.arrive()
    start = time.monotonic()
    n = 1
    while True:
        try:
            c.b.expect('INVITE', 0.2)
            n += 1
        except Failed:
            pass
        try:
            m = c.a.expect(lambda m: m.status >= 200, 0.01)
            break
        except Failed:
            check(time.monotonic() - start < 40, 'no answer after 40 s')
    check(m.status in (408, 500, 480), m.start)
    check(30 < time.monotonic() - start < 35, 'after %.1f s' % (time.monotonic() - start))
    check(n == 7, 'INVITE was sent %d times' % n)
    ack_failure(c.a, c.inv, m, c.a.hop)


@case
def ring_timeout(box):
    """nobody answers within ring-timeout: CANCEL to the callee, 480 or 408 to the caller"""
    c = Call(box, 'pbx', 'itsp6')
    c.invite()
    c.arrive()
    c.ring()
    x = c.b.expect('CANCEL', 8)
    c.b.reply(x, 200, 'OK', tag=c.tag_b)
    c.b.reply(c.inv_b, 487, 'Gone', tag=c.tag_b)
    m = c.a.expect(lambda m: m.status >= 200)
    check(m.status in (480, 408), m.start)
    ack_failure(c.a, c.inv, m, c.a.hop)


@case
def too_long(box):
    """max-duration ends the call on both sides"""
    c = Call(box, 'pbx', 'itspt').up()
    for me in (c.a, c.b):
        me.reply(me.expect('BYE', 7), 200, 'OK')
    check('2125' in str(box.cdrs(1)[0]) or 'TOO_LONG' in str(box.cdrs(1)[0]) or 'max-duration' in str(box.cdrs(1)[0]),
          str(box.cdrs(1)[0]))


def second_target(box, first):
    """the first target of duo does `first`; the second one gets the call with a fresh leg"""
    c = Call(box, 'pbx', 'duo', ub=Ua(box.lab, 'itsp2', 5066))
    c.b.hop, c.b.family, c.b.realm = ('203.0.113.1', 5060), 4, 'wan'
    m1 = first(c)
    m2 = c.arrive(6)
    if m1 is not None:
        check(m1.get('call-id') != m2.get('call-id') and m1.tag('from') != m2.tag('from'),
              'the second try has the Call-ID or tag of the first')
    c.ring()
    c.answer()
    c.ack()
    c.bye()


@case
def failover_503(box):
    """503 of the first target: the second gets the call, with fresh Call-ID and tag"""
    def first(c):
        u = Ua(box.lab, 'itsp2', 5064)
        c.invite()
        m = u.expect('INVITE')
        u.reply(m, 503, 'Full', tag='x')
        u.expect('ACK')
        return m
    second_target(box, first)


@case
def failover_silent(box):
    """a silent first target: the second gets the call after try-timeout"""
    def first(c):
        u = Ua(box.lab, 'itsp2', 5064)
        c.invite()
        return u.expect('INVITE')
    second_target(box, first)


@case
def failover_refused(box):
    """a first target whose port is closed: the second gets the call"""
    def first(c):
        c.invite()
        return None
    second_target(box, first)


@case
def no_failover_busy(box):
    """486 of the first target is the answer: nobody else is tried"""
    u = Ua(box.lab, 'itsp2', 5064)
    c = Call(box, 'pbx', 'duo', ub=Ua(box.lab, 'itsp2', 5066))
    c.invite()
    m = u.expect('INVITE')
    u.reply(m, 486, 'Busy', tag='x')
    u.expect('ACK')
    r = c.a.expect(lambda m: m.status >= 200)
    check(r.status == 486, r.start)
    ack_failure(c.a, c.inv, r, c.a.hop)
    c.b.nothing(0.5, lambda m: m.method == 'INVITE')


@case
def all_fail(box):
    """every target answers 503: the caller gets 500, never the 503 of somebody else (FOV-03)"""
    u = Ua(box.lab, 'itsp2', 5064)
    c = Call(box, 'pbx', 'duo', ub=Ua(box.lab, 'itsp2', 5066))
    c.invite()
    for x in (u, c.b):
        m = x.expect('INVITE', 4)
        x.reply(m, 503, 'Full', tag='x')
        x.expect('ACK')
    r = c.a.expect(lambda m: m.status >= 200)
    check(r.status in (500, 480), r.start)
    ack_failure(c.a, c.inv, r, c.a.hop)


@case
def bye_unanswered(box):
    """the far side never answers our BYE: the leg is gone after 64*T1, the caller is not kept waiting"""
    c = Call(box).up()
    c.da.request('BYE')
    c.b.expect('BYE')
    r = c.a.expect(lambda m: m.status >= 200 and m.method == 'BYE', 34)
    check(r.status in (200, 408, 481), r.start)
