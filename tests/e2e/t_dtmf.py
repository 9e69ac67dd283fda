"""Digits: events of RTP (RFC 4733) and INFO, each by what its trunk wants, none twice and none lost."""
import struct

from box import rows
from lab import check
from raw import Call

CONFIG = {'extra': 'media { workers = 2  quarantine = 1ms }\n'}
CASES = []
CODE = '0123456789*#ABCD'


def case(fn):
    CASES.append(fn)
    return fn


def modes(box, a, b):
    for trunk, mode in (('pbx', a), ('itsp', b)):
        if mode != 'pass':
            box.set(trunk, 'dtmf=' + mode, 'dtmf=pass')


class Sender:
    """Audio of 20 ms at a side's socket, with one count; a digit in it as events."""

    def __init__(self, rtp, to, pt):
        self.rtp, self.to, self.pt = rtp, to, pt

    def _send(self, pt, ts, payload, marker=0):
        self.rtp.s.sendto(struct.pack('!BBHII', 0x80, marker << 7 | pt, self.rtp.seq & 0xffff, ts, self.rtp.ssrc) + payload, self.to)
        self.rtp.seq += 1

    def audio(self, n=1):
        for _ in range(n):
            self._send(8, self.rtp.ts, bytes([self.rtp.seq & 0xff]) * 160)
            self.rtp.ts += 160

    def digit(self, c):
        """60 ms, its end three times, 60 ms of audio behind"""
        ts = self.rtp.ts
        for i, length in enumerate((160, 320, 480, 480, 480)):
            self._send(self.pt, ts, struct.pack('!BBH', CODE.index(c), 0x8a if i > 1 else 0x0a, length), marker=i == 0)
        self.rtp.ts += 480
        self.audio(3)


def event_pt(msg):
    for l in msg.body.splitlines():
        if 'telephone-event' in l:
            return int(l.split(':')[1].split()[0])
    return None


def infos(ua, n):
    """the digits of so many INFOs, each answered"""
    out = ''
    for _ in range(n):
        m = ua.expect('INFO', 5)
        check(m.get('content-type') == 'application/dtmf-relay', m.get('content-type'))
        fields = dict(l.split('=') for l in m.body.split())
        check(40 <= int(fields['Duration']) <= 100, m.body)
        out += fields['Signal']
        ua.reply(m, 200, 'OK')
    return out


@case
def events_become_info(box):
    """twelve digits as events of the PBX arrive at a provider with dtmf=info as twelve INFOs, in order; its media has no events"""
    modes(box, 'pass', 'info')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.invite()
    c.arrive()
    check('telephone-event' not in c.inv_b.body, c.inv_b.body)
    c.ring()
    c.answer(c.sdp_b(pts=('8',)))
    check(event_pt(c.ok_a) == 101, c.ok_a.body)
    c.ack()
    s = Sender(c.rtp_a, c.ok_a.media(), 101)
    s.audio(2)
    got = ''
    for d in '0123456789*#':
        s.digit(d)
        got += infos(c.b, 1)
    check(got == '0123456789*#', got)
    # the audio came, and no event with it
    kinds = set()
    while True:
        p = c.rtp_b.recv(0.2)
        if not p:
            break
        kinds.add(p[0])
    check(kinds == {8}, str(kinds))
    c.b.nothing(0.2, lambda m: m.method == 'INFO')
    c.bye()


@case
def info_becomes_events(box):
    """twelve INFOs of the PBX become twelve digits in the provider's RTP: one source, no gap in its sequence, three ends each"""
    modes(box, 'info', 'rtp')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.invite(c.sdp_a(pts=('8',)))
    c.arrive()
    pt = event_pt(c.inv_b)
    check(pt, c.inv_b.body)
    c.ring()
    c.answer(c.sdp_b(pts=('8', str(pt))))
    check('telephone-event' not in c.ok_a.body, c.ok_a.body)
    c.ack()
    s = Sender(c.rtp_a, c.ok_a.media(), 0)
    s.audio()
    check(c.rtp_b.recv(3), 'no audio')
    for i, d in enumerate('0123456789*#'):
        kind = i % 3
        c.da.request('INFO', body='%s\r\n' % d if kind == 1 else 'Signal=%s\r\nDuration=%d\r\n' % (d, 60 + 10 * i),
                     ctype='application/dtmf' if kind == 1 else 'application/dtmf-relay')
        r = c.a.expect(lambda m: m.status >= 200 and m.method == 'INFO')
        check(r.status == 200, r.start)
    s.audio(200)                # the digits travel in the place of these
    raw = []
    c.rtp_b.s.settimeout(2)
    while len(raw) < 200:
        raw.append(c.rtp_b.s.recv(2048))
    seqs = [struct.unpack('!H', p[2:4])[0] for p in raw]
    check(seqs == [(seqs[0] + i) & 0xffff for i in range(200)], 'the sequence jumps: %s' % seqs)
    check({p[8:12] for p in raw} == {raw[0][8:12]}, 'more than one source')
    digits, ends = {}, {}
    for p in raw:
        if p[1] & 127 == pt:
            check(len(p) == 16, str(p))
            digits[p[4:8]] = CODE[p[12]]
            ends[p[4:8]] = ends.get(p[4:8], 0) + (p[13] >> 7)
    check(''.join(digits.values()) == '0123456789*#', str(digits))
    check(set(ends.values()) == {3}, str(ends))
    c.b.nothing(0.1, lambda m: m.method == 'INFO')
    c.bye()


@case
def never_twice(box):
    """a phone that sends each digit as events and as INFO, at a trunk with dtmf=rtp: the provider gets it once"""
    modes(box, 'rtp', 'info')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.up(None, c.sdp_b(pts=('8',)))
    s = Sender(c.rtp_a, c.ok_a.media(), 101)
    for d in '42':
        s.digit(d)
        c.da.request('INFO', body='Signal=%s\r\nDuration=100\r\n' % d, ctype='application/dtmf-relay')
        check(c.a.expect(lambda m: m.status >= 200 and m.method == 'INFO').status == 200, 'INFO refused')
        check(infos(c.b, 1) == d, 'not ' + d)
    c.b.nothing(0.3, lambda m: m.method == 'INFO')
    c.bye()


@case
def as_they_come(box):
    """dtmf=pass on both sides: events stay events, INFO stays INFO"""
    c = Call(box, 'pbx', 'itsp', media=True)
    c.up()
    s = Sender(c.rtp_a, c.ok_a.media(), 101)
    s.digit('7')
    got = [c.rtp_b.recv(3) for _ in range(8)]
    check([p[0] for p in got] == [101] * 5 + [8] * 3, str(got))
    c.da.request('INFO', body='Signal=7\r\nDuration=100\r\n', ctype='application/dtmf-relay')
    m = c.b.expect('INFO')
    check(m.body == 'Signal=7\r\nDuration=100\r\n', m.body)
    c.b.reply(m, 200, 'OK')
    check(c.a.expect(lambda m: m.status >= 200 and m.method == 'INFO').status == 200, 'INFO refused')
    c.bye()


@case
def not_shown(box):
    """the digits of an INFO are neither in the ladder nor in the log"""
    modes(box, 'info', 'pass')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.up()
    for d in '0123456789':
        c.da.request('INFO', body='Signal=%s\r\nDuration=147\r\n' % d, ctype='application/dtmf-relay')
        m = c.b.expect('INFO')
        check(m.body.startswith('Signal=' + d), m.body)
        c.b.reply(m, 200, 'OK')
        c.a.expect(lambda m: m.status >= 200 and m.method == 'INFO')
    ident = rows(box.json('call', 'list'))[0]['id']
    shown = box.cli('call', 'ladder', ident, '--full', ok=None)[1] + box.log_text()
    check('Signal=*' in shown and 'Duration=147' in shown, shown[-2000:])
    for d in '0123456789':
        check('Signal=' + d not in shown, 'Signal=%s is shown' % d)
    c.bye()
