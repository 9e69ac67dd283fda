"""Encrypted media (SDES): two phones of others with every suite they have, and parties of ours that do what phones seldom do.

POSTERN_SRTP_ALL=1 runs the whole matrix of the phones over both families and directions, instead of the part that has each
suite once. Every suite beside every other is shown by tests/unit/media/relay_keys.c."""
import os
import struct

import srtp
from box import NUMBERS, rows, uri
from lab import BOX, check, wait
from raw import Call
from sip import Dialog, Msg
from t_audio import hold_and_resume, two_phones

CONFIG = {'extra': 'media { workers = 2  quarantine = 1ms }\n'}
CASES = []
CM80, CM32, CM256 = 'AES_CM_128_HMAC_SHA1_80', 'AES_CM_128_HMAC_SHA1_32', 'AES_256_CM_HMAC_SHA1_80'
GCM128, GCM256 = 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'
# what a baresip takes; as caller it offers CM80 alone
PHONES = {'RTP': None, 'CM80': CM80, 'CM32': CM32, 'GCM128': GCM128, 'GCM256': GCM256}


def case(fn):
    CASES.append(fn)
    return fn


def secure(box, trunk, suite, mode='required', **more):
    """For this case the trunk's media is encrypted with that suite; None: in clear."""
    if not suite:
        return
    # keys over UDP, which the command line doubts (exit 1)
    for k, v, back in [('srtp', mode, 'off'), ('srtp-suites', suite, ''), ('srtp-clear', 'yes', 'no')] + \
            [(k.replace('_', '-'), v, '') for k, v in more.items()]:
        box.cli('trunk', 'set', trunk, '%s=%s' % (k, v), ok=None)
        box.undoing.append(('trunk', 'set', trunk, '%s=%s' % (k, back)))


# ------------------------------------------------------------------------------ phones of others

def matrix(a, b, family, enc='srtp-mand', hold=False, name=None, inbound=False):
    def run(box):
        pa, pb = ('pbx', 'itsp') if family == 4 else ('pbx6', 'itsp6')
        hosts, face = ('pbx0', 'itsp0'), 'lan'
        if inbound:
            pa, pb, hosts, face = pb, pa, hosts[::-1], 'wan'
        mode = 'preferred' if enc == 'srtp' else 'required'
        secure(box, pa, PHONES[a], mode)
        secure(box, pb, PHONES[b], mode)
        seen = []

        two_phones(box.lab, hosts[0], hosts[1], uri(NUMBERS[pb], face, family), family=family,
                   srtp=(enc if PHONES[a] else None, enc if PHONES[b] else None),
                   while_up=lambda phone: seen.extend(hold_and_resume(box, phone) if hold else box.media()))
        for leg, want in (('a', PHONES[a]), ('b', PHONES[b])):
            m = [x for x in seen if x['leg'] == leg][0]
            check(m['srtp_in'] == m['srtp_out'] == (want or 'none'), '%s: %s' % (leg, m))
            # baresip sends its first RTCP in clear, before it turns its encryption on; more of it when the machine is slow
            check(m['srtp_auth_failed'] <= 3 and m['srtp_replayed'] == 0 and m['dropped'] < 5, str(m['drops']))
            check(m['level'] == 0, m['verdict'])
    run.__doc__ = name or '%s %s calls %s over IPv%d: both phones hear each other' % (
        a, 'provider' if inbound else 'PBX', b, family)
    CASES.append(run)


if os.environ.get('POSTERN_SRTP_ALL'):
    for f in (4, 6):
        for direction in (False, True):
            for x in ('RTP', 'CM80'):
                for y in PHONES:
                    matrix(x, y, f, inbound=direction)
else:
    matrix('RTP', 'CM80', 4)
    matrix('CM80', 'RTP', 6)
    matrix('CM80', 'GCM128', 6, inbound=True)
    matrix('CM80', 'CM32', 4, inbound=True)
    matrix('CM80', 'GCM256', 4)
matrix('CM80', 'CM80', 4, hold=True, name='hold and resume between encrypted phones: packets cross again, nothing fails')
matrix('CM80', 'GCM128', 4, enc='srtp', name='RTP/AVP with keys (RFC 8643) on both sides becomes SRTP')


@case
def opportunistic_in_clear(box):
    """RTP/AVP with keys offered to a phone that has no SRTP: audio in clear, and the call says so"""
    secure(box, 'itsp', CM80, 'preferred')
    seen = []
    two_phones(box.lab, 'pbx0', 'itsp0', uri(NUMBERS['itsp'], 'lan'), while_up=lambda _: seen.extend(box.media()))
    check(all(m['srtp'] == '-' for m in seen), str(seen))


# ------------------------------------------------------------------------------ parties of ours

class Talk:
    """A call whose sides may be encrypted with keys of ours; packets are made and read one by one."""

    def body(self, side, params='', version=1):
        key = self.keys[side]
        text = (self.c.sdp_a if side == 0 else self.c.sdp_b)(version=version)
        return text.replace('RTP/AVP', 'RTP/SAVP') + key.line(1, params) if key else text


def call(box, keys, start=(1, 1), params='', trunks=('pbx', 'itsp'), **k):
    """up to the ACK; .ours: the keys the controller uses towards a and b"""
    t = Talk()
    t.box, t.keys, t.seq = box, list(keys), list(start)
    t.c = Call(box, trunks[0], trunks[1], media=True, **k)
    t.c.invite(t.body(0, params))
    t.c.arrive()
    t.c.ring()
    t.c.answer(t.body(1, params))
    t.c.ack()
    t.ours = [ours(t.c.ok_a), ours(t.c.inv_b)]
    return t


def ours(m):
    """the key in the first crypto line of what the controller said; None: it said none"""
    l = srtp.lines(m.body)
    return l[min(l)][1] if l else None


def say(t, side, n=1, key=None):
    """n packets of a side, sealed with its key; what came out at the other, opened. A failure names the packet."""
    c = t.c
    rtp = (c.rtp_a, c.rtp_b)
    to = (c.ok_a, c.inv_b)[side].media()
    key = key or t.keys[side]
    for _ in range(n):
        seq = t.seq[side] & 0xffff
        payload = bytes([seq & 0xff]) * 160
        p = struct.pack('!BBHII', 0x80, 8, seq, seq * 160 & 0xffffffff, 0xaa00 + side) + payload
        if key:
            key.roc = t.seq[side] >> 16
            p = key.seal(p)
        rtp[side].s.sendto(p, to)
        rtp[1 - side].s.settimeout(2)
        try:
            got = rtp[1 - side].s.recv(2048)
        except OSError:
            raise AssertionError('packet %d of side %d did not arrive: %s' % (t.seq[side], side, t.box.media()))
        k = t.ours[1 - side]
        if k:
            check(len(got) == len(p) - (key.tag + len(key.mki) if key else 0) + k.tag, 'length %d' % len(got))
            k.roc = t.out_roc[1 - side] if hasattr(t, 'out_roc') else t.seq[side] >> 16
            got = k.open(got)
            check(got, 'packet %d of side %d cannot be opened' % (t.seq[side], side))
        check(got[12:] == payload and got[2:4] == struct.pack('!H', seq), 'packet %d changed: %r' % (seq, got[:20]))
        t.seq[side] += 1


def reinvite(t, side, body, answer):
    """a re-INVITE of a side whose body is given, answered by the other one"""
    c = t.c
    d, me, other = (c.da, c.a, c.b) if side == 0 else (c.db, c.b, c.a)
    d.request('INVITE', body)
    m = other.expect('INVITE')
    other.reply(m, 200, 'OK', body=answer)
    ok = me.expect(lambda x: x.status >= 200 and x.method == 'INVITE')
    check(ok.status == 200, ok.start)
    d.ack(int(ok.get('cseq').split()[0]))
    other.expect('ACK')
    return m, ok


def suite_pair(a, b, title):
    def run(box):
        secure(box, 'pbx', a)
        secure(box, 'itsp', b)
        t = call(box, [srtp.Key(a) if a else None, srtp.Key(b) if b else None], start=(65530, 65533))
        for _ in range(6):
            say(t, 0, 2)
            say(t, 1, 2)
        m = box.media()
        check([x['srtp'] for x in m] == [a or '-', b or '-'], str(m))
        check(all(x['level'] == 0 for x in m), str(m))
        t.c.bye()
    run.__doc__ = title
    CASES.append(run)


suite_pair(CM256, CM32, 'AES-256 on one side, short tags on the other, over a wrap of the sequence: sealed by the RFC alone')
suite_pair(None, CM256, 'clear to AES-256')


@case
def mki_and_lifetime(box):
    """a key with lifetime and MKI is opened by it, and ours has none"""
    secure(box, 'pbx', CM80, srtp_lifetime='yes')
    k = srtp.Key(CM80, mki=b'\0\0\0\7')
    t = call(box, [k, None])
    check('|2^31' in t.c.ok_a.body, t.c.ok_a.body)
    say(t, 0, 3)
    say(t, 1, 3)
    t.c.bye()


@case
def rtcp(box):
    """SRTCP of one side comes out as RTCP at the other, and back"""
    secure(box, 'pbx', CM32)
    k = srtp.Key(CM32)
    t = call(box, [k, None])
    say(t, 0, 1)
    sr = struct.pack('!BBHI', 0x80, 200, 6, 0xaa00) + b'\1' * 20
    t.c.rtp_a.s.sendto(k.seal_rtcp(sr), t.c.ok_a.media())       # at the RTP port: where it shares one
    m = wait('RTCP to be counted', lambda: [x for x in box.media() if x['leg'] == 'a' and x['dropped'] == 0], 2)
    check(m, str(box.media()))
    say(t, 1, 1)
    t.c.bye()


@case
def new_key_in_reinvite(box):
    """re-INVITE with a new key: both keys are taken while it changes, ours stays, the counter begins at 0"""
    secure(box, 'pbx', CM80)
    secure(box, 'itsp', CM80)
    t = call(box, [srtp.Key(CM80), srtp.Key(CM80)], start=(65000, 65000))
    for s in (0, 1):
        for _ in range(4):
            say(t, s, 3)
            t.seq[s] += 30000
    old, t.keys[0] = t.keys[0], srtp.Key(CM80)
    before = srtp.lines(t.c.ok_a.body)
    _, ok = reinvite(t, 0, t.body(0, version=2), t.body(1))
    check({k: v[1].master for k, v in srtp.lines(ok.body).items()} == {k: v[1].master for k, v in before.items()},
          'our key changed with theirs')
    # a packet that was on its way, then the new key: its counter begins at 0, what we send goes on where it was
    c = t.c
    say(t, 0, 1, key=old)
    high = t.seq[0] >> 16
    check(high > 0, 'the test is too short')
    out = [None, high]
    for _ in range(70):
        t.out_roc = [t.seq[1] >> 16, high]
        seq = t.seq[0]
        t.seq[0] = seq & 0xffff
        say(t, 0, 1)
        t.seq[0] = seq + 1
    t.out_roc = [t.seq[1] >> 16, t.seq[1] >> 16]
    say(t, 1, 3)
    m = box.media()
    check(all(x['srtp_auth_failed'] == 0 and x['level'] == 0 for x in m), str(m))
    # and now nobody else's key is taken, not even the one before
    old.roc = high
    c.rtp_a.s.sendto(old.seal(struct.pack('!BBHII', 0x80, 8, (t.seq[0] + 5) & 0xffff, 0, 0xaa00) + b'x' * 160), c.ok_a.media())
    wait('the old key to be refused', lambda: box.media()[0]['srtp_auth_failed'] == 1, 3)
    t.c.bye()


@case
def six_reinvites(box):
    """counters over two wraps with holds, resumes and refreshes of both sides in between: nothing is lost"""
    secure(box, 'pbx', CM80)
    secure(box, 'itsp', CM32)
    t = call(box, [srtp.Key(CM80), srtp.Key(CM32)], start=(65500, 65500))
    for i in range(6):
        for s in (0, 1):
            say(t, s, 2)
            t.seq[s] += 30000
            say(t, s, 2)
        side = i % 2
        hold = 'sendonly' if i % 3 == 1 else 'sendrecv'
        back = 'recvonly' if i % 3 == 1 else 'sendrecv'
        reinvite(t, side, t.body(side, version=2 + i).replace('sendrecv', hold), t.body(1 - side, version=2 + i).replace('sendrecv', back))
        if hold != 'sendrecv':
            reinvite(t, side, t.body(side, version=3 + i), t.body(1 - side, version=3 + i))
    check(t.seq[0] >> 16 >= 3, 'two wraps: %d' % t.seq[0])
    m = box.media()
    check(all(x['srtp_auth_failed'] == 0 and x['srtp_replayed'] == 0 and x['level'] == 0 for x in m), str(m))
    t.c.bye()


def restarted(policy, most):
    def run(box):
        secure(box, 'pbx', CM80, srtp_roc=policy)
        t = call(box, [srtp.Key(CM80), None], start=(65000, 1))
        for _ in range(4):
            say(t, 0, 2)
            t.seq[0] += 30000
        check(t.seq[0] >> 16 == 2, str(t.seq))
        reinvite(t, 0, t.body(0, version=2), t.body(1, version=2))
        lost = 0
        seq = t.seq[0] & 0xffff
        to = t.c.ok_a.media()
        t.keys[0].roc = 0
        t.c.rtp_b.s.settimeout(0.3)
        for i in range(60):
            t.c.rtp_a.s.sendto(t.keys[0].seal(struct.pack('!BBHII', 0x80, 8, seq + i, 0, 0xaa00) + b'y' * 160), to)
            try:
                check(t.c.rtp_b.s.recv(2048)[12:] == b'y' * 160, 'payload')
            except OSError:
                lost += 1
        check(lost <= most, '%d packets were lost' % lost)
        m = box.media()[0]
        check(m['level'] == 0, m['verdict'])
        if policy == 'auto':
            check('rollover counter' in m['verdict'] and 'srtp-roc=reset' in m['verdict'], m['verdict'])
        t.c.bye()
    run.__doc__ = 'a far end that restarts its rollover counter at a re-INVITE: srtp-roc=%s' % policy
    CASES.append(run)


restarted('auto', 8)
restarted('reset', 0)


@case
def wrong_key(box):
    """packets of another key, in clear and replayed: dropped by name, said with a remedy, nothing is heard"""
    secure(box, 'pbx', CM80)
    t = call(box, [srtp.Key(CM80), None])
    say(t, 0, 2)
    c, to = t.c, t.c.ok_a.media()
    other = srtp.Key(CM80)
    clear = struct.pack('!BBHII', 0x80, 8, 9, 0, 0xaa00) + b'z' * 160
    again = t.keys[0].seal(struct.pack('!BBHII', 0x80, 8, 3, 0, 0xaa00) + bytes([3]) * 160)
    c.rtp_a.s.sendto(again, to)
    c.rtp_b.s.settimeout(2)
    check(len(c.rtp_b.s.recv(2048)) == 172, 'the first')
    c.rtp_a.s.sendto(again, to)
    for i in range(10):
        c.rtp_a.s.sendto(other.seal(struct.pack('!BBHII', 0x80, 8, 10 + i, 0, 0xaa00) + b'z' * 160), to)
        c.rtp_a.s.sendto(clear, to)
    m = wait('drops by name', lambda: [x for x in box.media() if x['srtp_auth_failed'] == 20 and x['srtp_replayed'] == 1], 3)[0]
    c.rtp_b.s.settimeout(0.2)
    try:
        check(False, 'heard %r' % c.rtp_b.s.recv(2048)[:20])
    except OSError:
        pass
    cid = rows(box.json('call', 'list'))[0]['id']

    def told():         # after a second of nothing that could be read: then it is no accident any more
        return any('cannot be decrypted any more' in x['verdict'] and x['level'] == 2 for x in box.media())
    wait('a verdict that nothing can be decrypted any more', told, 3)
    rc, out = box.cli('call', 'media', cid, ok=None)
    check(rc == 2 and 'cannot be decrypted' in out and 'srtp-roc' in out, out)
    check(m['srtp_in'] == CM80, str(m))
    say(t, 0, 0)
    t.seq[0] = 40
    say(t, 0, 2)
    check(not told(), str(box.media()))
    t.c.bye()


def refused(title, settings, body, want_reason, warning='302'):
    def run(box):
        box.set('pbx', 'trusted=yes', 'trusted=no')
        for s, back in settings:
            box.cli('trunk', 'set', 'pbx', s, ok=None)
            box.undoing.append(('trunk', 'set', 'pbx', back))
        c = Call(box)
        c.invite(body(c))
        m = c.a.expect(488)
        check('Warning: %s ' % warning in str(m) or warning in m.get('warning'), str(m))
        c.a.raw('ACK %s SIP/2.0\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\n'
                'Content-Length: 0\r\n\r\n' % (c.inv.split()[1], Msg(c.inv.encode()).get('via'), m.get('from'), m.get('to'),
                                               m.get('call-id')), c.a.hop)
        r = box.cdrs(1, reason=want_reason)[0]
        check(r['reason'] == want_reason, str(r))
    run.__doc__ = title
    CASES.append(run)


KEY = srtp.Key(CM80)
SAVP = lambda c: c.sdp_a().replace('RTP/AVP', 'RTP/SAVP') + KEY.line()
refused('an encrypted offer to a trunk without SRTP: 488 with its reason', [], SAVP, 'PSN-E3011')
refused('a clear offer from a trunk that requires SRTP: 488 with its reason', [('srtp=required', 'srtp=off')],
        lambda c: c.sdp_a(), 'PSN-E3012')
refused('a crypto line that would weaken the stream: 488 with its reason',
        [('srtp=required', 'srtp=off'), ('srtp-clear=yes', 'srtp-clear=no')],
        lambda c: c.sdp_a().replace('RTP/AVP', 'RTP/SAVP') + KEY.line(1, ' UNENCRYPTED_SRTP'), 'PSN-E3013')
refused('keys over UDP that nobody allowed: 488 with its reason', [('srtp=required', 'srtp=off')], SAVP, 'PSN-E3014')


@case
def answer_in_clear(box):
    """an answer in clear to a required encryption: the caller gets 488, the callee BYE, and no packet passes"""
    secure(box, 'itsp', CM80)
    c = Call(box, media=True)
    c.invite()
    c.arrive()
    check('RTP/SAVP' in c.inv_b.body and 'a=crypto:1 ' + CM80 in c.inv_b.body, c.inv_b.body)
    c.b.reply(c.inv_b, 200, 'OK', tag=c.tag_b, body=c.sdp_b())
    c.b.expect('ACK')
    m = c.b.expect('BYE')
    c.b.reply(m, 200, 'OK')
    r = c.a.expect(488)
    from sip import ack_failure
    ack_failure(c.a, c.inv, r, c.a.hop)
    check(box.cdrs(1)[0]['reason'] == 'PSN-E3015', str(box.cdrs(1)[0]))


@case
def keys_are_nowhere(box):
    """no key of a call is in its ladder, its capture, the log or the records, and the command line warns of keys over UDP"""
    rc, out = box.cli('trunk', 'set', 'itsp', 'srtp=required', ok=None)
    box.undoing.append(('trunk', 'set', 'itsp', 'srtp=off'))
    check(rc == 1 and 'PSN-E3014' in out and 'srtp-clear=yes' in out, out)
    secure(box, 'pbx', CM80)
    secure(box, 'itsp', CM80)
    box.cli('log', 'level', 'media', 'debug')
    t = call(box, [srtp.Key(CM80), srtp.Key(CM80)])
    say(t, 0, 1)
    cid = rows(box.json('call', 'list'))[0]['id']
    pcap = box.lab.path('srtp.pcap')
    box.cli('call', 'pcap', cid, '-o', pcap)
    texts = [box.cli('call', 'ladder', cid, '--full', ok=None)[1], open(pcap, 'rb').read().decode('latin1'),
             box.cli('log', 'tail', ok=None)[1], box.log_text(), box.cli('call', 'show', cid, ok=None)[1],
             box.cli('call', 'media', cid, '-j', ok=None)[1]]
    t.c.bye()
    texts += [str(box.json('cdr', 'tail'))]
    check('inline:xxxxxxxxxx' in texts[1], 'the capture has no such line')
    import base64
    for k in t.keys + t.ours:
        secret = base64.b64encode(k.master).decode()[:16]
        for i, x in enumerate(texts):
            check(secret not in x, 'a key stands in text %d' % i)
    box.cli('log', 'level', 'media', 'info')
