"""Media through the controller: who gets what, from where, and who does not."""
import re
import socket
import subprocess
import time

import peers
from box import BODIES, NUMBERS
from lab import BOX, LAN_PORTS, WAN_PORTS, at, check, wait
from raw import Call, party
from sip import Rtp, Ua, ack_failure, sdp

# eight pairs per realm: enough for each case, few enough to run out of
CONFIG = {'lan': (16384, 16399), 'wan': (20480, 20495), 'extra': 'media { workers = 2  quarantine = 1ms }\n',
          'trunk': {'itsp': ['media-timeout=5s'], 'pbx': ['media-timeout=5s']}}
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


def flow(call, n=20):
    """n packets each way; gives what arrived at (b, a)"""
    to_a, to_b = call.ok_a.media(), call.inv_b.media()
    at_a, at_b = [], []
    for _ in range(n):
        call.rtp_a.send(to_a)
        call.rtp_b.send(to_b)
        p = call.rtp_b.recv(0.5)
        at_b += [p] if p else []
        p = call.rtp_a.recv(0.5)
        at_a += [p] if p else []
    return at_b, at_a


def both(call, n=20):
    b, a = flow(call, n)
    # the very first packet of a side may come before the other side's program knows where to
    check(len(b) >= n - 1 and len(a) >= n - 1, 'of %d packets %d reached the callee, %d the caller' % (n, len(b), len(a)))
    return b, a


@case
def anchored(box):
    """RTP goes through our ports in both directions, unchanged, from the address the description names"""
    c = Call(box, media=True).up()
    ha, pa = c.ok_a.media()
    hb, pb = c.inv_b.media()
    check(ha == BOX[('lan', 4)] and LAN_PORTS[0] <= pa <= LAN_PORTS[1], 'towards the caller: %s:%d' % (ha, pa))
    check(hb == BOX[('wan', 4)] and WAN_PORTS[0] <= pb <= WAN_PORTS[1], 'towards the callee: %s:%d' % (hb, pb))
    b, a = both(c)
    check(all(p[3][:2] == (hb, pb) for p in b) and all(p[3][:2] == (ha, pa) for p in a), 'sent from another port')
    check(all(p[0] == 8 and p[2] == b'\xd5' * 160 for p in a + b), 'payload changed')
    seqs = [p[1] for p in b]
    check(seqs == sorted(seqs), 'sequence numbers %s' % seqs)
    c.bye()


@case
def families(box):
    """RTP between an IPv6 and an IPv4 party"""
    for a, b in (('pbx6', 'itsp'), ('pbx', 'itsp6'), ('pbx6', 'itsp6')):
        c = Call(box, a, b, media=True).up()
        both(c)
        c.bye()
        box.lab.close()


@case
def rtcp(box):
    """RTCP is relayed on the odd port"""
    c = Call(box, media=True)
    # an even port with its neighbour free
    for port in range(31000, 31100, 2):
        try:
            c.rtp_a.close()
            c.rtp_a = Rtp(box.lab, 'pbx0', port)
            ra = Rtp(box.lab, 'pbx0', port + 1)
            break
        except OSError:
            continue
    c.port_a = c.rtp_a.port
    c.rtp_b.close()
    c.rtp_b = Rtp(box.lab, 'itsp0', 31200)
    rb = Rtp(box.lab, 'itsp0', 31201)
    c.port_b = 31200
    c.up()
    both(c, 5)
    sr = b'\x80\xc8\x00\x06' + bytes.fromhex('0000000b') + b'\0' * 20
    h, p = c.inv_b.media()
    got = None
    for _ in range(10):
        rb.s.sendto(sr, (h, p + 1))
        ra.s.settimeout(0.3)
        try:
            got = ra.s.recvfrom(2048)
            break
        except OSError:
            pass
    check(got, 'no RTCP reached the caller')
    check(got[0][:2] == b'\x80\xc8', 'it is no sender report: %r' % got[0][:4])
    c.bye()


@case
def stranger_rtp(box):
    """RTP from a stranger into a call is dropped and counted, the call's own audio goes on"""
    c = Call(box, media=True).up()
    both(c, 5)
    x = Rtp(box.lab, 'alien', 0, ssrc=0xbad)
    for _ in range(20):
        x.send(c.inv_b.media(), payload=b'\x11' * 160)
    time.sleep(0.1)
    b, a = both(c, 10)
    check(all(p[2] != b'\x11' * 160 for p in a + b), 'the stranger is heard')
    check(x.recv(0.2) is None, 'the stranger got media')
    b_side = box.media()[1]
    check(b_side['dropped'] >= 20, 'the drops are not counted: %s' % b_side)
    c.bye()


@case
def payload_types(box):
    """telephone-event numbered 101 by one side and 97 by the other is mapped both ways (DTM-02, OFA-09)"""
    c = Call(box, media=True)
    c.invite()
    m = c.arrive()
    offered = re.search(r'^a=rtpmap:(\d+) telephone-event/8000', m.body, re.M)
    check(offered, 'telephone-event was not offered: ' + m.body)
    pt_b = offered.group(1)
    c.answer(sdp(c.b.addr, c.port_b, pts=('8', pt_b)))
    c.ack()
    both(c, 3)
    # now the callee changes to a number of its own
    c.db.request('INVITE', sdp(c.b.addr, c.port_b, pts=('8', '97'), version=2))
    m = c.a.expect('INVITE')
    pt_a = re.search(r'^a=rtpmap:(\d+) telephone-event/8000', m.body, re.M).group(1)
    c.a.reply(m, 200, 'OK', body=sdp(c.a.addr, c.port_a, pts=('8', '101'), version=2))
    r = c.b.expect(lambda x: x.status == 200 and x.method == 'INVITE')
    check(re.search(r'^a=rtpmap:97 telephone-event', r.body, re.M), 'the answer does not say 97: ' + r.body)
    c.db.ack(c.db.cseq)
    c.a.expect('ACK')

    def digit():
        c.rtp_a.send(c.ok_a.media(), pt=101, payload=b'\x05\x0a\x01\x40')
        p = c.rtp_b.recv(0.3)
        return p if p and p[0] != 8 else None
    p = wait('the digit to arrive', digit, 3)
    check(p[0] == 97 and p[2] == b'\x05\x0a\x01\x40', 'towards the callee: %s' % (p,))

    def digit_back():
        c.rtp_b.send(c.inv_b.media(), pt=97, payload=b'\x07\x0a\x01\x40')
        p = c.rtp_a.recv(0.3)
        return p if p and p[0] != 8 else None
    p = wait('the digit to come back', digit_back, 3)
    check(p[0] == 101, 'towards the caller: PT %d, offered was %s' % (p[0], pt_a))
    c.bye()


@case
def hold_media(box):
    """sendonly stops the one direction and keeps the other; resume opens it again"""
    c = Call(box, media=True).up()
    both(c, 5)
    c.da.request('INVITE', c.sdp_a(direction='sendonly', version=2))
    m = c.b.expect('INVITE')
    check('a=sendonly' in m.body, m.body)
    c.b.reply(m, 200, 'OK', body=c.sdp_b(direction='recvonly', version=2))
    r = c.a.expect(lambda x: x.status == 200 and x.method == 'INVITE')
    check('a=recvonly' in r.body, r.body)
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    time.sleep(0.15)
    c.rtp_a.drain(), c.rtp_b.drain()
    b, a = [], []
    for _ in range(10):
        c.rtp_a.send(r.media())
        c.rtp_b.send(m.media())
        p = c.rtp_b.recv(0.2)
        b += [p] if p else []
        p = c.rtp_a.recv(0.05)
        a += [p] if p else []
    check(len(b) >= 9, 'music on hold: %d of 10 packets' % len(b))
    check(not a, '%d packets of the held side reached the holder' % len(a))
    c.da.request('INVITE', c.sdp_a(version=3))
    m = c.b.expect('INVITE')
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=3))
    c.a.expect(lambda x: x.status == 200 and x.method == 'INVITE')
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    time.sleep(0.15)
    both(c, 10)
    c.bye()


@case
def moved(box):
    """the callee moves its audio to another port by re-INVITE; media follows, the old port gets nothing"""
    c = Call(box, media=True).up()
    both(c, 5)
    old = c.rtp_b
    c.rtp_b = Rtp(box.lab, 'itsp0', 0, ssrc=0xb)
    c.db.request('INVITE', c.sdp_b(port=c.rtp_b.port, version=2))
    m = c.a.expect('INVITE')
    c.a.reply(m, 200, 'OK', body=c.sdp_a(version=2))
    c.b.expect(lambda x: x.status == 200 and x.method == 'INVITE')
    c.db.ack(c.db.cseq)
    c.a.expect('ACK')
    time.sleep(0.15)
    old.drain()
    both(c, 10)
    check(old.drain() == 0, 'the old port still gets media')
    c.bye()


@case
def early_media(box):
    """audio before the answer reaches the caller"""
    c = Call(box, media=True)
    c.invite()
    c.arrive()
    c.b.reply(c.inv_b, 183, 'Progress', tag=c.tag_b, body=c.sdp_b())
    r = c.a.expect(183)
    check(r.media()[1] > 0, 'no description in the 183: %s' % r)
    n = 0
    for _ in range(20):
        c.rtp_b.send(c.inv_b.media())
        n += c.rtp_a.recv(0.2) is not None
    check(n >= 18, '%d of 20 early packets arrived' % n)
    c.answer()
    c.ack()
    both(c, 5)
    c.bye()


@case
def exhausted(box):
    """no port left: 503 for the next call, calls that are up keep their audio, a port that comes back is used"""
    up = []
    a, b = party(box, 'pbx'), party(box, 'itsp')
    refused = None
    for i in range(12):
        c = Call(box, ua=a, ub=b)
        c.port_a = 32000 + 4 * i
        c.invite()
        m = a.expect(lambda m: m.get('call-id') == c.callid and (m.status == 100 or m.status >= 200))
        if m.status == 100:
            try:
                m = b.expect('INVITE', 1.0)
                c.inv_b = m
            except Exception:
                m = a.expect(lambda m: m.get('call-id') == c.callid and m.status >= 200)
        if m.status >= 300:
            refused = m
            ack_failure(a, c.inv, m, a.hop)
            break
        c.tag_b = 'T%d' % i
        c.ring()
        c.answer()
        c.ack()
        up.append(c)
    check(refused is not None, 'twelve calls found ports in a range of eight pairs')
    check(refused.status == 503, refused.start)
    check(len(up) == 8, '%d calls were up' % len(up))
    rc, text = box.cli('why', 'call', str(box.cdrs(1)[0].get('id')), ok=None)
    check('3004' in text or 'port' in text, 'why says: ' + text[:300])
    up[0].bye()
    time.sleep(0.3)         # the port rests for its quarantine of 1 ms; the call is put away
    c = Call(box, ua=a, ub=b)
    c.up()
    c.bye()
    for x in up[1:]:
        x.bye()


@case
def silent_call(box):
    """no media for media-timeout: both sides get BYE, the record says why"""
    c = Call(box, media=True).up()
    both(c, 5)
    for me in (c.a, c.b):
        m = me.expect('BYE', 12)
        me.reply(m, 200, 'OK')
    r = box.cdrs(1)[0]
    check('2124' in str(r) or 'MEDIA_TIMEOUT' in str(r) or 'no media' in str(r), str(r))


@case
def shown(box):
    """call media shows packets of both directions of both legs while SIPp echoes"""
    s = peers.Sipp(box.lab, 'echo', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], bodies=BODIES,
                   echo=True)
    call = wait('the call to be up', lambda: next(iter(rows_of(box)), None), 5)
    ident = str(call.get('id'))
    time.sleep(1.2)
    streams = box.media()
    check(len(streams) == 2 and all(m['rx_packets'] > 20 and m['tx_packets'] > 20 and m['verdict'] == 'ok' for m in streams),
          str(streams))
    _, text = box.cli('call', 'media', ident)
    check('pbx' in text and 'itsp' in text and 'PCMA' in text, text)
    _, ladder = box.cli('call', 'ladder', ident)
    check('INVITE' in ladder and '200' in ladder, ladder)
    s.finish()


def tos(sock, family, seconds=3):
    """class of service of the next datagram at a socket"""
    level, ask, kind = ((socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS) if family == 6 else
                        (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS))
    sock.setsockopt(level, ask, 1)
    sock.settimeout(seconds)
    _, more, _, _ = sock.recvmsg(65535, 256)
    return next(d[0] >> 2 for l, k, d in more if l == level and k == kind)


@case
def class_of_service(box):
    """RTP has the class of service of its realm (ef) or of its trunk, signalling has cs3 over UDP and TCP, on both families"""
    for a, b, fam in (('pbx', 'itsp', 4), ('pbx6', 'itsp6', 6)):
        box.lab.close()
        box.set(b, 'dscp=af41', 'dscp=realm')
        c = Call(box, a, b, media=True).up()
        for rtp, other, to, want in ((c.rtp_a, c.rtp_b, c.inv_b, 46), (c.rtp_b, c.rtp_a, c.ok_a, 34)):
            for _ in range(3):      # the very first may come before the other side's address is known
                other.send(to.media())
            got = tos(rtp.s, fam)
            check(got == want, 'RTP over IPv%d: %d, not %d' % (fam, got, want))
        c.rtp_a.drain(), c.rtp_b.drain()
        c.da.request('OPTIONS')
        got = tos(c.a.sock, fam)
        check(got == 24, 'SIP over IPv%d: %d' % (fam, got))
        c.bye()
        box.undo()
    text = subprocess.run(at('box', ['ss', '-tln', '--tos']), stdout=subprocess.PIPE, text=True).stdout
    listening = [l for l in text.splitlines() if ':5060' in l]
    check(len(listening) >= 4 and all('tos:0x60' in l or 'tclass:0x60' in l for l in listening), text)


@case
def chat_beside_audio(box):
    """a stream over TCP (MSRP) is refused alone: beside audio it gets port 0 and the audio goes on, by itself the call gets 488 with the reason"""
    for t in ('pbx', 'itsp'):
        box.set(t, 'trusted=yes', 'trusted=no')
    for proto in ('TCP/MSRP', 'TCP/TLS/MSRP'):
        box.lab.close()
        c = Call(box, media=True)
        line = 'm=message 2855 %s *\r\na=accept-types:text/plain\r\na=setup:actpass\r\na=path:msrp://%s:2855/x;tcp\r\n' % (proto, c.a.addr)
        c.up(c.sdp_a(extra=line))
        check('m=message' not in c.inv_b.body and 'msrp' not in c.inv_b.body, c.inv_b.body)
        check(re.findall(r'^m=(\w+) (\d+) (\S+)', c.ok_a.body, re.M)[1] == ('message', '0', proto), c.ok_a.body)
        both(c, 3)
        # asked for in the call: the same, and the audio is never touched
        c.db.request('INVITE', c.sdp_b(version=2, extra=line))
        m = c.a.expect('INVITE')
        check(re.findall(r'^m=message (\d+)', m.body, re.M) in ([], ['0']), m.body)
        c.a.reply(m, 200, 'OK', body=c.sdp_a(version=2, extra='m=message 0 %s *\r\n' % proto if 'm=message' in m.body else ''))
        r = c.b.expect(lambda x: x.status == 200 and x.method == 'INVITE')
        check(re.findall(r'^m=message (\d+)', r.body, re.M) == ['0'], r.body)
        c.db.ack(c.db.cseq)
        c.a.expect('ACK')
        both(c, 3)
        c.bye()
        box.lab.close()
        c = Call(box)
        text = c.invite('\r\n'.join(c.sdp_a().split('\r\n')[:5]) + '\r\n' + line)
        r = c.a.expect(lambda x: x.status >= 200)
        check(r.status == 488 and 'over TCP' in r.get('warning'), str(r))
        ack_failure(c.a, text, r, c.a.hop)


@case
def nearly_full(box):
    """from 80 per cent of the ports on, status and the log say so, and the gauge shows it"""
    a, b = party(box, 'pbx'), party(box, 'itsp')
    up = []
    for i in range(7):
        if i == 6:
            text = box.cli('status', ok=None)[1]
            check('media ports' not in text, 'at 75 per cent: ' + text)
        c = Call(box, ua=a, ub=b)
        c.port_a, c.tag_b = 32000 + 4 * i, 'N%d' % i
        c.up()
        up.append(c)
    rc, text = box.cli('status', ok=None)
    check(rc == 1 and 'realm lan: 87 % of its media ports' in text, text)
    wait('the log', lambda: 'ports_nearly_full realm=lan' in box.log_text(), 3)
    wait('the gauge', lambda: box.metric('relay.port_use') == 87, 4)
    for c in up:
        c.bye()


def rows_of(box):
    from box import rows
    return rows(box.json('call', 'list'))
