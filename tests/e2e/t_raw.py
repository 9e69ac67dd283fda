"""What needs every byte in hand: races, wrong messages, strangers, torture, attacks."""
import glob
import os
import re
import socket
import time

from box import NUMBERS, hop, uri
from lab import BOX, ITSP_PORT, LAN_PORTS, LISTEN, PBX_PORT, ROOT, WAN_PORTS, Failed, addr, check, inside, wait
from raw import Call, party
from sip import Dialog, Msg, Ua, ack_failure, cancel, sdp

# connections that send nothing whole are closed soon, so that the test does not wait for the default of 30 s
CONFIG = {'extra': 'media { workers = 2  quarantine = 1s }\nlimits { tcp-first-message = 1s }\n'}


def one_call(box):
    """a call of raw parties, both directions"""
    c = Call(box).up()
    c.bye()
    c = Call(box, 'itsp', 'pbx', c.b, c.a).up()
    c.bye(False)


# ---------------------------------------------------------------- refusals

def refused(box, status, **k):
    """Sends an INVITE of the PBX that must be refused; gives the answer."""
    a = party(box, 'pbx')
    called = k.pop('called', NUMBERS['itsp'])
    t = a.request(k.pop('method', 'INVITE'), k.pop('uri', uri(called, 'lan')), NUMBERS['pbx'], called,
                  body=k.pop('body', sdp(a.addr, 30000)), **k)
    a.raw(t, a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status == status, 'wanted %d, got %s' % (status, m.start))
    if m.method == 'INVITE':
        ack_failure(a, t, m, a.hop)
    return m


def unknown_number(box):
    """a number nobody has a route for: 404"""
    refused(box, 404, called='+999123456')


def inbound_unknown(box):
    """a number from the ITSP that belongs to no PBX: 404, not routed out again"""
    i = party(box, 'itsp')
    t = i.request('INVITE', uri('+819012345678', 'wan'), NUMBERS['itsp'], '+819012345678', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = i.expect(lambda m: m.status >= 200)
    check(m.status == 404, m.start)
    ack_failure(i, t, m, i.hop)


def hops(box):
    """Max-Forwards 0: 483"""
    refused(box, 483, mf=0)


def max_forwards_down(box):
    """Max-Forwards counts down, and a missing one becomes 70"""
    for mf, want in ((17, '16'), (None, '70')):
        c = Call(box)
        c.invite(mf=mf)
        got = c.arrive().get('max-forwards')
        check(got == want, 'Max-Forwards %s became %s' % (mf, got))
        c.b.reply(c.inv_b, 486, tag='x')
        m = c.a.expect(486)
        ack_failure(c.a, c.inv, m, c.a.hop)
        c.box.lab.close()


def require(box):
    """Require of an unknown extension: 420 with Unsupported naming exactly it"""
    m = refused(box, 420, headers=['Require: nothing-known, also-not'])
    check(m.get('unsupported').replace(' ', '') == 'nothing-known,also-not', 'Unsupported: ' + m.get('unsupported'))


def method_unknown(box):
    """an unknown method: 501 or 405 with Allow"""
    a = party(box, 'pbx')
    a.raw(a.request('FLY', uri(NUMBERS['itsp'], 'lan'), NUMBERS['pbx'], NUMBERS['itsp']), a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status in (405, 501), m.start)
    a.raw(a.request('SUBSCRIBE', uri(NUMBERS['itsp'], 'lan'), NUMBERS['pbx'], NUMBERS['itsp'],
                    headers=['Event: presence']), a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status in (405, 489), m.start)


def content_type(box):
    """a body of unknown type: 415 with Accept"""
    m = refused(box, 415, body='hello', ctype='application/unknown')
    check('application/sdp' in m.get('accept'), 'Accept: ' + m.get('accept'))


def no_codec(box):
    """a session description that cannot be read: 400 or 488"""
    a = party(box, 'pbx')
    t = a.request('INVITE', uri(NUMBERS['itsp'], 'lan'), NUMBERS['pbx'], NUMBERS['itsp'], body='v=1\r\nnonsense\r\n')
    a.raw(t, a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status in (400, 488), m.start)
    ack_failure(a, t, m, a.hop)


def relay_denied(box):
    """a request URI of somebody else's host is not relayed: 403"""
    refused(box, 403, uri='sip:%s@evil.example.org' % NUMBERS['itsp'])


def bye_unknown(box):
    """BYE of no dialog: 481"""
    a = party(box, 'pbx')
    a.raw(a.request('BYE', uri(NUMBERS['itsp'], 'lan'), NUMBERS['pbx'], NUMBERS['itsp'], totag='nobody'), a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status == 481, m.start)


def cancel_unknown(box):
    """CANCEL of no INVITE: 481"""
    a = party(box, 'pbx')
    t = a.request('INVITE', uri(NUMBERS['itsp'], 'lan'), NUMBERS['pbx'], NUMBERS['itsp'])
    cancel(a, t, a.hop)
    m = a.expect(lambda m: m.status >= 200)
    check(m.status == 481, m.start)


# ---------------------------------------------------------------- strangers

def stranger_dropped(box):
    """a stranger gets no answer at all, whatever he sends; and he is counted"""
    x = Ua(box.lab, 'alien', 5060)
    before = box.metric('net.udp_refused')
    for method in ('INVITE', 'OPTIONS', 'REGISTER', 'BYE', 'CANCEL', 'NOTIFY'):
        x.raw(x.request(method, uri(NUMBERS['pbx'], 'wan'), '100', NUMBERS['pbx']), hop('wan'))
    x.raw(b'\x00' * 40, hop('wan'))
    x.raw(b'OPTIONS sip:x SIP/2.0\r\n\r\n', hop('wan'))
    x.nothing(1.2)
    check(box.calls() == 0, 'a call was made of it')
    check(box.metric('net.udp_refused') == before + 8, 'eight datagrams, counted %d' % (box.metric('net.udp_refused') - before))


def stranger_known_address_wrong_realm(box):
    """the address of a trunk in the other realm is a stranger"""
    x = Ua(box.lab, 'itsp0', 5099)
    # a LAN trunk's Contact and From, sent from the provider's network: identification is by source, never by header
    x.raw(x.request('INVITE', uri(NUMBERS['itsp'], 'wan'), NUMBERS['pbx'], NUMBERS['itsp'],
                    headers=['Contact: <sip:1@198.51.100.10:5062>'], body=sdp(x.addr, 30000)), hop('wan'))
    m = x.expect(lambda m: m.status >= 200)
    check(m.status in (403, 404), m.start)


def media_ports_silent(box):
    """a scan of the whole media range gets not one answer (LAT-06), in a call and out of one"""
    def scan():
        with inside('alien'):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((addr('alien'), 0))
        box.lab.sockets.append(s)
        s.setblocking(False)
        got = 0
        for data in (b'', b'\x80\x00\0\x01\0\0\0\xa0\0\0\0\1' + b'\xd5' * 160, b'\x80\xc8\0\x06' + b'\0' * 24,
                     b'\0\x01\0\0\x21\x12\xa4\x42' + b'x' * 12, b'\x16\xfe\xff' + b'\0' * 60):
            for port in range(WAN_PORTS[0], WAN_PORTS[1] + 1):
                try:
                    s.sendto(data, (BOX[('wan', 4)], port))
                except OSError:
                    pass            # the kernel's own refusal of a closed port, from the packet before
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            try:
                s.recvfrom(2048)
                got += 1
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                pass
        return got
    check(scan() == 0, 'answers without a call')
    c = Call(box, media=True).up()
    n = scan()
    check(n == 0, '%d answers in a call' % n)
    check(c.rtp_a.drain() == 0 and c.rtp_b.drain() == 0, 'the stranger\'s packets were passed on')
    c.bye()


# ---------------------------------------------------------------- races

def cancel_race(box):
    """CANCEL that crosses the 200: no leg is left up, the callee gets ACK and BYE"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    # both at once: the order in which they are read is the controller's
    c.b.reply(c.inv_b, 200, 'OK', tag=c.tag_b, body=c.sdp_b())
    cancel(c.a, c.inv, c.a.hop)
    m = c.a.expect(lambda m: m.status >= 200 and m.method == 'INVITE')
    c.a.expect(lambda m: m.status in (200, 481) and m.method == 'CANCEL')
    c.b.expect('ACK')
    if m.status == 200:
        d = Dialog(c.a, True, c.inv, m, c.a.hop)
        d.ack(1)
        d.request('BYE')
    else:
        check(m.status == 487, m.start)
        ack_failure(c.a, c.inv, m, c.a.hop)
    b = c.b.expect('BYE')
    c.b.reply(b, 200, 'OK')


def cancel_then_200(box):
    """200 that comes after the CANCEL was passed on: ACK and BYE to the callee, 487 to the caller"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    cancel(c.a, c.inv, c.a.hop)
    c.a.expect(lambda m: m.status == 200 and m.method == 'CANCEL')
    m = c.a.expect(487)
    ack_failure(c.a, c.inv, m, c.a.hop)
    x = c.b.expect('CANCEL')
    c.b.reply(c.inv_b, 200, 'OK', tag=c.tag_b, body=c.sdp_b())
    c.b.reply(x, 200, 'OK', tag=c.tag_b)
    c.b.expect('ACK')
    b = c.b.expect('BYE')
    c.b.reply(b, 200, 'OK')


def cancel_require(box):
    """CANCEL with Require is obeyed: Require means nothing there"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    cancel(c.a, c.inv, c.a.hop, ['Require: nothing-known'])
    c.a.expect(lambda m: m.status == 200 and m.method == 'CANCEL')
    x = c.b.expect('CANCEL')
    c.b.reply(x, 200, 'OK', tag=c.tag_b)
    c.b.reply(c.inv_b, 487, 'Gone', tag=c.tag_b)
    ack_failure(c.a, c.inv, c.a.expect(487), c.a.hop)
    c.b.expect('ACK')


def bye_both(box):
    """BYE from both sides at once: both are answered"""
    c = Call(box).up()
    c.da.request('BYE')
    c.db.request('BYE')
    for me in (c.a, c.b):
        r = me.expect(lambda m: m.status >= 200 and m.method == 'BYE')
        check(r.status in (200, 481), r.start)


def bye_early(box):
    """BYE of the caller before the answer ends the call"""
    c = Call(box)
    c.invite()
    c.arrive()
    r = c.ring()
    d = Dialog(c.a, True, c.inv, r, c.a.hop)
    d.request('BYE')
    c.a.expect(lambda m: m.status == 200 and m.method == 'BYE')
    x = c.b.expect('CANCEL')
    c.b.reply(x, 200, 'OK', tag=c.tag_b)
    c.b.reply(c.inv_b, 487, 'Gone', tag=c.tag_b)
    c.b.expect('ACK')
    ack_failure(c.a, c.inv, c.a.expect(487), c.a.hop)


def glare(box):
    """re-INVITE from both sides at once: 491, and the call goes on"""
    c = Call(box).up()
    ia = c.da.request('INVITE', c.sdp_a(direction='sendonly', version=2))
    ib = c.db.request('INVITE', c.sdp_b(direction='sendonly', version=2))
    # Each side refuses what crosses its own with 491. Ours is told so too and tries again by itself after the time
    # of 14.1, so the party whose own change is settled takes it then.
    got, refused = {}, set()
    sides = {c.a: (c.da, ia, c.sdp_a), c.b: (c.db, ib, c.sdp_b)}
    end = time.monotonic() + 10
    while len(got) < 2 and time.monotonic() < end:
        for me, (d, text, body) in sides.items():
            m = me._poll(0.05)
            if m is None or m.method != 'INVITE' or 0 < m.status < 200:
                continue
            if m.status:
                got[me] = m.status
                if m.status == 200:
                    d.ack(d.cseq)
                else:
                    ack_failure(me, text, m, me.hop)
            elif me not in got or me not in refused:
                refused.add(me)
                me.reply(m, 491, 'Request Pending')
            else:
                me.reply(m, 200, 'OK', body=body(direction='recvonly', version=2))
    check(len(got) == 2, 'final answers: %s, one is missing' % list(got.values()))
    check(491 in got.values(), 'answers were %s' % list(got.values()))
    c.a.drain()
    c.b.drain()
    # after the glare a change goes through
    c.da.request('INVITE', c.sdp_a(version=3))
    m = c.b.expect('INVITE', 6)
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=3))
    check(c.a.expect(lambda m: m.status >= 200 and m.method == 'INVITE').status == 200, 'no answer after the glare')
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    c.bye()


def fork(box):
    """two 2xx of a forking far side: the first is taken, the second gets ACK and BYE"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    c.answer()
    c.ack()
    c.b.reply(c.inv_b, 200, 'OK', tag='second', body=c.sdp_b(port=30100))
    ack = c.b.expect(lambda m: m.method == 'ACK' and m.tag('to') == 'second')
    bye = c.b.expect(lambda m: m.method == 'BYE' and m.tag('to') == 'second')
    c.b.reply(bye, 200, 'OK')
    check(ack.get('call-id') == bye.get('call-id'), 'Call-IDs differ')
    c.b.nothing(0.3, lambda m: m.method == 'BYE' and m.tag('to') == c.tag_b)
    c.bye()


def ack_again(box):
    """a 200 that comes again is acknowledged again"""
    c = Call(box).up()
    c.b.raw(c.ok_text, c.inv_b.source)
    c.b.expect('ACK')
    c.bye()


def invite_again(box):
    """an INVITE that comes again makes no second call, and is answered from the transaction"""
    c = Call(box)
    c.invite()
    c.a.raw(c.inv, c.a.hop)
    c.a.raw(c.inv, c.a.hop)
    c.arrive()
    c.ring()
    c.b.nothing(0.4, lambda m: m.method == 'INVITE' and m.tag('from') != c.inv_b.tag('from'))
    c.a.others = []
    c.a.raw(c.inv, c.a.hop)
    c.a.expect(180)
    c.answer()
    c.ack()
    c.bye()


def merged(box):
    """the same request by two paths (another branch): 482"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    again = c.inv.replace(Msg(c.inv.encode()).get('via'), 'SIP/2.0/UDP %s;branch=%s' % (c.a.at, c.a.branch()))
    c.a.raw(again, c.a.hop)
    m = c.a.expect(482)
    ack_failure(c.a, again, m, c.a.hop)
    c.answer()
    c.ack()
    c.bye()


def cseq_order(box):
    """a request with a CSeq lower than the last: 500"""
    c = Call(box).up()
    c.da.request('OPTIONS', cseq=50)
    c.a.expect(lambda m: m.status >= 200 and m.method == 'OPTIONS')
    c.da.cseq = 50
    c.da.request('OPTIONS', cseq=40)
    m = c.a.expect(lambda m: m.status >= 200 and m.get('cseq').startswith('40 '))
    check(m.status == 500, m.start)
    c.bye()


def stranger_in_dialog(box):
    """BYE with the right tags from a stranger does not end the call"""
    c = Call(box).up()
    x = Ua(box.lab, 'alien', 5064)
    c.db.ua, ua = x, c.db.ua
    c.db.request('BYE')
    c.db.ua = ua
    x.nothing(0.6)
    c.a.nothing(0.2, lambda m: m.method == 'BYE')
    c.bye()


# ---------------------------------------------------------------- call shape

def redirect(box):
    """302 of the far side to a number of another trunk is followed there; to a foreign host it is not"""
    for contact, follows in (('<sip:%s@203.0.113.21:5064;transport=tcp>' % NUMBERS['itspt'], True),
                             ('<sip:1234@evil.example.org>', False)):
        t = party(box, 'itspt')
        c = Call(box)
        c.invite()
        c.arrive()
        c.b.reply(c.inv_b, 302, 'Moved', tag='m', headers=['Contact: ' + contact])
        c.b.expect('ACK')
        if follows:
            m = t.expect(lambda m: m.method == 'INVITE')
            t.reply(m, 486, 'Busy', tag='z')
            t.expect('ACK')
        r = c.a.expect(lambda m: m.status >= 200)
        check(r.status == 486 if follows else r.status >= 300, r.start)
        ack_failure(c.a, c.inv, r, c.a.hop)
        box.lab.close()


def early_and_answer(box):
    """early media: the description of 183 and 200 is the same towards the caller (OFA-04)"""
    c = Call(box)
    c.invite()
    c.arrive()
    r = c.ring(183, body=c.sdp_b())
    c.answer()
    check(r.media() == c.ok_a.media(), 'media moved from %s to %s' % (r.media(), c.ok_a.media()))
    c.ack()
    c.bye()


def forked_early(box):
    """provisional answers of two branches, the second answers: it is the one that is connected"""
    c = Call(box)
    c.invite()
    c.arrive()
    c.ring()
    c.b.reply(c.inv_b, 183, 'Progress', tag='other', body=c.sdp_b(port=30200))
    c.tag_b = 'other'
    c.answer(c.sdp_b(port=30200))
    c.ack()
    check(c.ack_b.tag('to') == 'other', 'ACK went to %s' % c.ack_b.tag('to'))
    c.bye()


def session_version(box):
    """o= keeps its session id and counts its version up by one at a change (OFA-03)"""
    c = Call(box).up()
    o1 = re.search(r'^o=\S+ (\d+) (\d+)', c.inv_b.body, re.M).groups()
    c.da.request('INVITE', c.sdp_a(direction='sendonly', version=2))
    m = c.b.expect('INVITE')
    o2 = re.search(r'^o=\S+ (\d+) (\d+)', m.body, re.M).groups()
    check(o1[0] == o2[0] and int(o2[1]) == int(o1[1]) + 1, 'o= went from %s to %s' % (o1, o2))
    c.b.reply(m, 200, 'OK', body=c.sdp_b(direction='recvonly', version=2))
    c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    c.bye()


def two_streams(box):
    """a second stream is added and removed during the call; order and number of m= lines stay"""
    c = Call(box).up()
    video = 'm=video 30400 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=sendrecv\r\n'
    c.da.request('INVITE', c.sdp_a(version=2) + video)
    m = c.b.expect('INVITE')
    check(len(re.findall(r'^m=', m.body, re.M)) == 2, m.body)
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=2) + 'm=video 0 RTP/AVP 96\r\n')
    r = c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    l = re.findall(r'^m=(\w+) (\d+)', r.body, re.M)
    check(l[0][0] == 'audio' and l[0][1] != '0' and l[1] == ('video', '0'), str(l))
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    c.bye()


def rport(box):
    """answers go to the port a request came from when rport is there, with received and rport filled in"""
    a = Ua(box.lab, 'pbx0', 5099)
    t = a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbx'], 'x').replace('198.51.100.10:5099;', '198.51.100.10:5062;', 1)
    a.raw(t, hop('lan'))
    m = a.expect(200)
    check(re.search(r'rport=5099', m.get('via')), m.get('via'))
    check('received=198.51.100.10' in m.get('via'), m.get('via'))


# ---------------------------------------------------------------- streams

def split(box):
    """TCP: a message in pieces of three bytes, two messages in one segment, compact Content-Length"""
    a = party(box, 'pbxt')
    c = a.connect(a.hop)
    t = a.request('OPTIONS', uri('x', 'lan', proto='tcp'), NUMBERS['pbxt'], 'x').encode()
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(0, len(t), 3):
        c.sendall(t[i:i + 3])
    a.expect(200)
    two = a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbxt'], 'x') + \
        a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbxt'], 'x').replace('Content-Length: 0', 'l: 0')
    c.sendall(two.encode())
    a.expect(200)
    a.expect(200)


def ping(box):
    """TCP: CRLFCRLF is answered by CRLF (RFC 5626), between messages too"""
    a = party(box, 'pbxt')
    c = a.connect(a.hop)
    c.sendall(a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbxt'], 'x').encode())
    a.expect(200)
    c.sendall(b'\r\n\r\n')
    c.settimeout(2)
    check(c.recv(10) == b'\r\n', 'no pong')
    c.sendall(a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbxt'], 'x').encode())
    a.expect(200)


def stream_garbage(box):
    """TCP: garbage closes the connection, nothing else"""
    a = party(box, 'pbxt')
    for junk in (b'\x16\x03\x01' + b'\0' * 200, b'A' * 70000, b'INVITE sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n',
                 b'INVITE sip:x SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n'):
        c = a.connect(a.hop)
        c.settimeout(4)
        try:
            c.sendall(junk)
            while c.recv(4096):
                pass
        except socket.timeout:
            raise Failed('still open after %r' % junk[:30])
        except OSError:
            pass
        del a.conns[c]
    c = a.connect(a.hop)
    c.sendall(a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbxt'], 'x').encode())
    a.expect(200)


def tcp_lost(box):
    """TCP: the connection of the caller breaks while it rings; the call ends by itself or by his new connection"""
    c = Call(box, 'pbxt', 'itsp')
    c.invite()
    c.arrive()
    c.ring()
    for s in list(c.a.conns):
        s.close()
        del c.a.conns[s]
    time.sleep(0.3)
    s = c.a.connect(c.a.hop)
    cancel(c.a, c.inv, c.a.hop)
    x = c.b.expect('CANCEL')
    c.b.reply(x, 200, 'OK', tag=c.tag_b)
    c.b.reply(c.inv_b, 487, 'Gone', tag=c.tag_b)
    c.b.expect('ACK')
    m = c.a.expect(487, 4)
    ack_failure(c.a, c.inv, m, c.a.hop)
    del s


# ---------------------------------------------------------------- wrong messages

def torture(proto):
    def run(box):
        a = party(box, 'pbx' if proto == 'udp' else 'pbxt')
        for path in sorted(glob.glob(os.path.join(ROOT, 'tests/data/rfc4475/*.dat'))
                           + glob.glob(os.path.join(ROOT, 'tests/data/rfc5118/*.dat'))):
            data = open(path, 'rb').read()
            name = os.path.basename(path)[:-4]
            answers = []
            want = WISH.get(name)
            if proto == 'udp':
                a.raw(data[:65000], a.hop)
            else:
                c = a.connect(a.hop)
                # another transaction and call than the one that came by UDP, and a Via that says how it came
                data = re.sub(rb'SIP/2.0/(UDP|TLS)', b'SIP/2.0/TCP', data).replace(b'z9hG4bK', b'z9hG4bKt')
                data = re.sub(rb'(?im)^(call-id|i)([ \t]*:[ \t]*)', rb'\1\2t', data)
                try:
                    c.sendall(data)
                except OSError:
                    pass
            end = time.monotonic() + (0.25 if not want or proto == 'udp' else 1.5)
            callid = re.search(rb'(?im)^(?:call-id|i)[ \t]*:[ \t]*(\S+)', data)
            while time.monotonic() < end:
                m = a._poll(end - time.monotonic())
                if m is None:
                    break
                if m.status >= 200 and (not callid or m.get('call-id') == callid.group(1).decode('latin-1')):
                    answers.append(m.status)
                    break
            if want and answers and answers[0] not in want:
                raise Failed('%s: answered %s, RFC 4475 wishes %s' % (name, answers, want))
            # clerr promises more bytes than it has: on a stream that is a message not whole yet
            if want and proto == 'tcp' and not answers and name != 'clerr':
                raise Failed('%s: no answer, RFC 4475 wishes %s' % (name, want))
            check(box.alive(), 'posternd ended after %s' % name)
            a.others = []
            if proto == 'tcp' and c in a.conns:
                c.close()
                del a.conns[c]
        if proto == 'udp':
            Call(box, ua=a).up().bye()
        else:
            Call(box, 'pbxt', 'itsp', ua=a).up().bye()
        box.cli('call', 'clear', '--over', '0s', '--force', '--yes', ok=None)
    run.__name__ = 'torture_' + proto
    run.__doc__ = 'the messages of RFC 4475 and 5118 over %s: never a crash, the answers the RFC wishes' % proto.upper()
    return run


# What RFC 4475 says of a message that is wrong, when the source is a trunk and the answer can be routed to it. The
# Vias of these messages name other hosts, so over UDP an answer may lawfully go where the test does not look (only
# those with rport or received come back); the unit tests look at each message.
WISH = {'badvers': {505}, 'clerr': {400}, 'ncl': {400}, 'scalar02': {400}, 'ltgtruri': {400, 414}, 'lwsruri': {400},
        'lwsstart': {400}, 'trws': {400, 404, 403}, 'escruri': {400, 403, 404}, 'badinv01': {400}, 'mismatch01': {400},
        'mismatch02': {400, 501}, 'quotbal': {400}, 'multi01': {400}, 'mcl01': {400}, 'insuf': {400},
        'unkscm': {416}, 'novelsc': {416}, 'bext01': {420}, 'zeromf': {483, 200}, 'invut': {415}}


def mutated(box):
    """20,000 broken messages of a trunk over UDP: the daemon goes on and a call works"""
    import random
    r = random.Random(4475)
    a = party(box, 'pbx')
    base = [a.request('INVITE', uri('+999', 'lan'), NUMBERS['pbx'], '+999', body=sdp(a.addr, 30000)).encode(),
            a.request('OPTIONS', uri('x', 'lan'), NUMBERS['pbx'], 'x').encode(),
            a.request('BYE', uri('x', 'lan'), NUMBERS['pbx'], 'x', totag='y').encode(),
            b'SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n'
            b'To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n']
    for i in range(20000):
        m = bytearray(r.choice(base))
        for _ in range(r.randint(1, 6)):
            k, p = r.randint(0, 4), r.randrange(len(m))
            if k == 0:
                m[p] = r.randrange(256)
            elif k == 1:
                del m[p:p + r.randint(1, 30)]
            elif k == 2:
                m[p:p] = bytes(r.choice(b'\r\n\0 ;<>":,@\xff') for _ in range(r.randint(1, 8)))
            elif k == 3:
                m[p:p] = m[r.randrange(len(m)):][:50]
            else:
                m[p:p] = b'9' * r.randint(1, 30)
            if not m:
                m = bytearray(b'x')
        a.raw(bytes(m), a.hop)
        if i % 50 == 0:
            while True:
                x = a._poll(0.002)
                if x is None:
                    break
    a.drain()
    check(box.alive(), 'posternd ended')
    c = Call(box, ua=a)
    c.up()
    c.bye()


CASES = [one_call, unknown_number, inbound_unknown, hops, max_forwards_down, require, method_unknown, content_type, no_codec,
         relay_denied, bye_unknown, cancel_unknown, stranger_dropped, stranger_known_address_wrong_realm, media_ports_silent,
         cancel_race, cancel_then_200, cancel_require, bye_both, bye_early, glare, fork, ack_again, invite_again, merged,
         cseq_order, stranger_in_dialog, redirect, early_and_answer, forked_early, session_version, two_streams, rport, split, ping,
         stream_garbage, tcp_lost, torture('udp'), torture('tcp'), mutated]
