"""Faults of media made on purpose, and good calls in all their moods: each gets the verdict that is true, live and in its
record. All calls run side by side for one time."""
import json
import struct
import threading
import time

from lab import check
from raw import Call, party
from sip import Rtp

CASES = []
RUN_S = 14          # a stop is told after 5 s, a clock after 10 s
FAULT_S = 3         # what happens to a call that was fine
REPORT = 110        # packets between two reports: 2.2 s


def case(fn):
    CASES.append(fn)
    return fn


class Side:
    """One far end: sends a packet each 20 ms and a report now and then, or does it wrong."""

    def __init__(self, lab, host, port, ssrc, other_ssrc):
        self.rtp, self.rtcp = Rtp(lab, host, port, ssrc=ssrc), Rtp(lab, host, port + 1)
        self.other = other_ssrc
        self.sent = 0
        self.to = None
        self.speak = self.report = self.hear = True
        self.lie = False            # its reports say that it sends
        self.pt, self.step, self.skip = 8, 160, 0

    def packet(self, payload=b'\xd5' * 160):
        self.sent += 1
        if self.skip and self.sent % self.skip == 0:
            self.rtp.seq += 1
            self.rtp.ts += self.step
            return
        self.rtp.send(self.to, pt=self.pt, payload=payload)
        self.rtp.ts += self.step - len(payload)

    def tell(self, highest):
        sender = self.speak or self.lie
        words = [0x80c80006 if sender else 0x80c90001, self.rtp.ssrc]
        if self.lie:
            self.sent += REPORT
        if sender:
            words += [1, 1, self.rtp.ts & 0xffffffff, self.sent, self.sent * 160]
        if self.hear:
            words[0] += 0x01000006
            words += [self.other, 0, highest & 0xffffffff, 0, 0, 0]
        self.rtcp.s.sendto(struct.pack('!%dI' % len(words), *words), (self.to[0], self.to[1] + 1))

    def close(self):
        self.rtp.close()
        self.rtcp.close()


class Talk:
    ports = 31000

    def __init__(self, name, box, a, b):
        port = Talk.ports = Talk.ports + 10
        self.name = name
        self.a = Side(box.lab, 'pbx0', port, 0xa0000 + port, 0xb0000 + port)
        self.b = Side(box.lab, 'itsp0', port + 4, 0xb0000 + port, 0xa0000 + port)
        self.call = Call(box, ua=a, ub=b)
        self.call.tag_b = 'T%d' % port
        self.call.port_a, self.call.port_b = port, port + 4

    def up(self):
        pts = ('8', '13')
        self.call.up(self.call.sdp_a(pts=pts), self.call.sdp_b(pts=pts))
        self.a.to, self.b.to = self.call.ok_a.media(), self.call.inv_b.media()
        return self

    def change(self, direction, answer):
        c = self.call
        c.da.request('INVITE', c.sdp_a(pts=('8', '13'), direction=direction, version=2))
        m = c.b.expect('INVITE', callid=c.inv_b.get('call-id'))
        c.b.reply(m, 200, 'OK', body=c.sdp_b(pts=('8', '13'), direction=answer, version=2))
        c.a.expect(lambda x: x.status == 200 and x.method == 'INVITE', callid=c.callid)
        c.da.ack(c.da.cseq)
        c.b.expect('ACK', callid=c.inv_b.get('call-id'))

    # ---- what goes wrong; called once, FAULT_S after the beginning
    def mute(self):
        self.a.speak = False

    def mute_without_reports(self):
        self.a.packet(b'\x40')      # one byte of noise level
        self.a.speak = self.a.report = False

    def stop(self):
        self.a.speak = self.a.report = False

    def stop_at_reinvite(self):
        self.change('sendrecv', 'sendrecv')
        self.stop()

    def hold(self):
        self.change('sendonly', 'recvonly')
        self.b.speak = False

    def hold_inactive(self):
        self.change('inactive', 'inactive')
        self.a.speak = self.b.speak = False

    def close_b(self):
        self.b.close()
        self.b.speak = self.b.report = False

    def other_codec(self):
        self.a.pt = 18

    def elsewhere(self):
        self.kept = self.a.rtp      # still there to be sent to
        self.a.rtp = Rtp(self.call.box.lab, 'pbx1', 0, ssrc=self.kept.ssrc)


def quiet_a(t):
    t.a.speak = t.a.report = False


def reports_only(t):
    t.a.speak = False


def lying_reports(t):
    t.a.speak, t.a.lie = False, True


def no_reports(t):
    t.a.report = t.b.report = False


def wrong_host(t):
    t.elsewhere()


def g729(t):
    t.a.pt = 18


def deaf_b(t):
    t.b.hear = False


def lossy(t):
    t.a.skip = 10


def fast_clock(t):
    t.a.step = 150      # of packets that come each 20 ms: 6.25 per cent slow


# name, from the beginning, after a while, (what comes from A, what A hears, what comes from B, what B hears)
TABLE = [
    ('good', None, None, ('OK', 'OK', 'OK', 'OK')),
    ('good without reports', no_reports, None, ('OK', 'OK', 'OK', 'OK')),
    ('muted', None, Talk.mute, ('PAUSED', 'OK', 'OK', 'OK')),
    ('silence suppressed', no_reports, Talk.mute_without_reports, ('QUIET', 'OK', 'OK', 'OK')),
    ('music on hold', None, Talk.hold, ('OK', 'HELD', 'HELD', 'OK')),
    ('hold', None, Talk.hold_inactive, ('HELD', 'HELD', 'HELD', 'HELD')),
    ('silent', quiet_a, None, ('SILENT', 'OK', 'OK', 'NOTHING_SENT')),
    ('only reports', reports_only, None, ('SILENT_RTCP', 'OK', 'OK', 'NOTHING_SENT')),
    ('lost on the way', lying_reports, None, ('LOST_ON_WAY', 'OK', 'OK', 'NOTHING_SENT')),
    ('wrong source', wrong_host, None, ('SOURCE', 'OK', 'OK', 'NOTHING_SENT')),
    ('wrong codec', g729, None, ('CODEC', 'OK', 'OK', 'NOTHING_SENT')),
    ('codec changed', None, Talk.other_codec, ('CODEC', 'OK', 'OK', 'OK')),
    ('source moved', None, Talk.elsewhere, ('SOURCE_MOVED', 'OK', 'OK', 'OK')),
    ('stopped', None, Talk.stop, ('STOPPED', 'OK', 'OK', 'OK')),
    ('stopped at a re-INVITE', None, Talk.stop_at_reinvite, ('STOPPED', 'OK', 'OK', 'OK')),
    ('deaf', deaf_b, None, ('OK', 'OK', 'OK', 'DEAF')),
    ('closed', None, Talk.close_b, ('OK', 'OK', 'STOPPED', 'UNREACHABLE')),
    ('lossy', lossy, None, ('LOSS', 'OK', 'OK', 'OK')),
    ('clock', fast_clock, None, ('DRIFT', 'OK', 'OK', 'OK')),
]
FINE = {'OK', 'PAUSED', 'QUIET', 'HELD', 'NOTHING_SENT', 'EARLY'}


def pump(talks, enough, over):
    """Packets of all of them until it is over; enough is set after RUN_S. A tick that comes late is made up for."""
    begin, tick = time.monotonic(), -1
    while not over.is_set():
        tick += 1
        if tick == RUN_S * 50:
            enough.set()
        for t in talks:
            t.tick(tick)
            for s in (t.a, t.b):
                if s.to and s.speak:
                    s.packet()
                if s.to and s.report and tick and tick % REPORT == 0:
                    other = t.b if s is t.a else t.a
                    s.tell(other.rtp.seq - 1)
        late = begin + (tick + 1) * 0.02 - time.monotonic()
        if late > 0:
            time.sleep(late)        # the pace of the packets


@case
def corpus(box):
    """each fault of media has its verdict, live and in the record, and no good call has one: hold, music on hold, mute, silence suppression, early media"""
    a, b = party(box, 'pbx'), party(box, 'itsp')
    talks = []
    for name, first, later, want in TABLE:
        t = Talk(name, box, a, b).up()
        if first:
            first(t)
        t.want = want
        t.tick = (lambda n, t=t, f=later: f(t) if f and n == FAULT_S * 50 else None)
        talks.append(t)
    early = Talk('early', box, a, b)
    c = early.call
    c.invite()
    c.arrive()
    c.b.reply(c.inv_b, 183, 'Progress', tag=c.tag_b, body=c.sdp_b())
    early.b.to = c.inv_b.media()
    c.a.expect(183)
    early.b.speak = early.b.report = False
    early.want = ('EARLY', 'NOTHING_SENT', 'EARLY', 'NOTHING_SENT')
    early.tick = lambda n: None
    talks.append(early)
    # packets go on while people look
    enough, over = threading.Event(), threading.Event()
    failed = []

    def run():
        try:
            pump(talks, enough, over)
        except Exception as e:
            failed.append(e)
            enough.set()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        check(enough.wait(RUN_S * 3) and not failed, 'the parties: %s' % failed)
        judge(box, talks)
    finally:
        over.set()
        thread.join()
    in_records(box, talks)


def judge(box, talks):
    live = {r['id']: r for r in box.json('call', 'list')['calls']}
    wrong, by_call = [], {}
    for i in live:
        shown = json.loads(box.cli('call', 'show', i, '-j', ok=None)[1])['data']    # its exit status is the verdict
        by_call[shown['call']['sip_call_id']] = (i, sorted(shown['media'], key=lambda m: m['leg']))
    for t in talks:
        i, (x, y) = by_call[t.call.callid]
        t.id = i
        got = (x['verdict_code'], x['hears_code'], y['verdict_code'], y['hears_code'])
        if got != t.want:
            wrong.append('%s: %s, not %s (%s | %s)' % (t.name, got, t.want, x, y))
        bad = [v for v in got if v not in FINE]
        if bool(bad) != any(m['level'] == 2 for m in (x, y)) or bool(bad) != live[i]['media_bad']:
            wrong.append('%s: level' % t.name)
        for m in (x, y):
            for code, remedy in (('verdict_code', 'verdict_remedy'), ('hears_code', 'hears_remedy')):
                if (m[code] not in FINE) != bool(m.get(remedy)):
                    wrong.append('%s: remedy of %s' % (t.name, m[code]))
        t.words = (x['verdict'], y['hears'])
        t.change = x.get('since_reinvite')
    check(not wrong, '\n'.join(wrong))

    said = {t.name: t for t in talks}
    for name, part in (('wrong source', '198.51.100.11:'), ('codec changed', '18 (G729)'), ('source moved', '198.51.100.11:'),
                       ('clock', 'ppm'), ('closed', 'nothing listens there'), ('stopped at a re-INVITE', 'since re-INVITE 1')):
        check(any(part in w for w in said[name].words), '%s: %s' % (name, said[name].words))
    check([t.name for t in talks if t.change] == ['stopped at a re-INVITE'], 'since a re-INVITE: %s'
          % [(t.name, t.change) for t in talks])
    ill = {r['id'] for r in box.json('call', 'list', '--ill')['calls']}
    check(ill == {t.id for t in talks if set(t.want) - FINE}, 'call list --ill: %s' % ill)
    text = box.cli('call', 'media', said['wrong source'].id, ok=2)[1]
    check('latch=on' in text and 'postern trunk set pbx' in text.replace('\n    ', ' '), text)
    for t in talks:
        box.cli('call', 'clear', t.id, '--force', '--yes')


def in_records(box, talks):
    box.cdrs(len(talks))
    for t in talks:
        m = json.loads(box.cli('cdr', 'show', t.id, '-j', ok=None)[1])['data']['record']['media']
        m = sorted(m, key=lambda s: s['leg'])
        got = (m[0]['code'], m[0]['hears_code'], m[1]['code'], m[1]['hears_code'])
        check(got == t.want, 'record of %s: %s' % (t.name, m))
