"""Fax: T.38 by real machines (libspandsp) through the controller, the dance of re-INVITEs around it, and what a trunk allows."""
import re

import fax
import srtp
from box import rows
from lab import check
from raw import Call
from sip import ack_failure
from t_srtp import CM80, call, say, secure

CASES = []
T38 = ['T38FaxVersion:0', 'T38MaxBitRate:14400', 'T38FaxRateManagement:transferredTCF', 'T38FaxMaxBuffer:1024',
       'T38FaxMaxDatagram:238', 'T38FaxUdpEC:t38UDPRedundancy']
# as gateways of five makers write it
VENDORS = {
    'booleans bare': T38 + ['T38FaxFillBitRemoval', 'T38FaxTranscodingMMR', 'T38FaxTranscodingJBIG'],
    'booleans with values': ['T38FaxVersion:0', 'T38FaxFillBitRemoval:0', 'T38FaxTranscodingMMR:0', 'T38FaxTranscodingJBIG:0',
                             'T38FaxRateManagement:transferredTCF', 'T38FaxMaxBuffer:72', 'T38FaxMaxDatagram:316',
                             'T38FaxUdpEC:t38UDPRedundancy'],
    'version 3': ['T38FaxVersion:3', 'T38MaxBitRate:33600', 'T38FaxRateManagement:localTCF', 'T38FaxMaxDatagram:400',
                  'T38FaxUdpEC:t38UDPFEC', 'T38ModemType:t38G3FaxOnly'],
    'other cases': ['T38faxVersion:0', 't38maxBitRate:9600', 'T38faxUdpEC:t38UDPRedundancy', 'T38VendorInfo:0 0 37'],
    'nothing': [],
}


def case(fn):
    CASES.append(fn)
    return fn


def image(address, port, attrs=T38, audio=True, version=2, session='20518'):
    """audio: its line stays, with port 0; else the image takes its place"""
    fam = 'IP6' if ':' in address else 'IP4'
    b = ['v=0', 'o=- %s %d IN %s %s' % (session, version, fam, address), 's=-', 'c=IN %s %s' % (fam, address), 't=0 0']
    b += ['m=audio 0 RTP/AVP 8'] if audio else []
    b += ['m=image %d udptl t38' % port] + ['a=' + a for a in attrs]
    return '\r\n'.join(b) + '\r\n'


def lines(body):
    return re.findall(r'^m=(\w+) (\d+)', body, re.M)


def change(c, from_a, offer, answer, status=200):
    """A re-INVITE of one side, answered by the other. (INVITE as it arrived, final answer as it arrived)"""
    d, me, other = (c.da, c.a, c.b) if from_a else (c.db, c.b, c.a)
    text = d.request('INVITE', offer)
    m = other.expect('INVITE')
    if status == 200:
        other.reply(m, 200, 'OK', body=answer)
    else:
        other.reply(m, status, 'No')
        other.expect('ACK')
    r = me.expect(lambda x: x.status >= 200 and x.method == 'INVITE')
    check(r.status == status, r.start)
    if status == 200:
        d.ack(d.cseq)
        other.expect('ACK')
    else:
        ack_failure(me, text, r, me.hop)
    return m, r


def talk(c, n=5):
    for _ in range(n):
        c.rtp_a.send(c.ok_a.media())
        c.rtp_b.send(c.inv_b.media())
        check(c.rtp_a.recv(3) and c.rtp_b.recv(3), 'audio does not arrive')


def machines(box, c, to_a, to_b, pages):
    """A sends pages to B, UDPTL over the sockets of the audio"""
    src, dst = box.lab.path('fax-in.tif'), box.lab.path('fax-out.tif')
    fax.tiff(src, pages)
    a, b = fax.Machine(c.rtp_a.s, to_a, src, True), fax.Machine(c.rtp_b.s, to_b, dst, False)
    try:
        fax.send(a, b)
    finally:
        a.free()
        b.free()
    check(fax.count(dst) == fax.count(src), 'pages and lines: %s, sent %s' % (fax.count(dst), fax.count(src)))


@case
def pages(box):
    """three pages go through by T.38 after a re-INVITE of the called side, the stream is told as a fax, and audio goes on after it"""
    for own_line in (True, False):
        box.lab.close()
        c = Call(box, media=True).up()
        talk(c)
        ident = rows(box.json('call', 'list'))[0]['id']
        role = lambda: box.json('call', 'show', ident)['call']['role']
        check(role() == 'media-aware relay', role())
        m, r = change(c, False, image(c.b.addr, c.port_b, audio=own_line, session='30777'),
                      image(c.a.addr, c.port_a, audio=own_line))
        want = ['audio', 'image'] if own_line else ['image']
        check([k for k, _ in lines(m.body)] == want and [k for k, _ in lines(r.body)] == want, m.body + r.body)
        check(role() == 'media relay', role())
        n = len(want) - 1
        machines(box, c, m.media(n), r.media(n), 3)
        s = [x for x in box.media() if x['kind'] == 'image']
        check(len(s) == 2 and all(x['codec'] == 't38' and x['rx_packets'] > 20 and x['level'] == 0 for x in s), str(s))
        # the machines hang up, somebody wants to talk (FAX-05)
        back = '' if not own_line else 'm=image 0 udptl t38\r\n'
        m, r = change(c, True, c.sdp_a(version=3, extra=back), c.sdp_b(version=3, extra=back))
        check(lines(r.body)[0][0] == 'audio' and lines(r.body)[0][1] != '0', r.body)
        c.inv_b, c.ok_a = m, r
        talk(c)
        c.bye()


@case
def attributes(box):
    """what gateways write about their T.38 passes as it is, both ways"""
    for name, attrs in VENDORS.items():
        box.lab.close()
        c = Call(box, media=True).up()
        m, r = change(c, False, image(c.b.addr, c.port_b, attrs, session='30777'), image(c.a.addr, c.port_a, attrs))
        for x in (m, r):
            got = re.findall(r'^a=((?i:t38)[^\r]*)', x.body, re.M)
            check(got == attrs, '%s: %s' % (name, got))
        c.bye()


@case
def refused_by_the_far_end(box):
    """488, 415 and 606 to T.38 come back as they are, and the audio of the call was never touched"""
    for status in (488, 415, 606):
        for from_a in (False, True):
            box.lab.close()
            c = Call(box, media=True).up()
            talk(c)
            offer = image(c.a.addr, c.port_a) if from_a else image(c.b.addr, c.port_b, session='30777')
            change(c, from_a, offer, None, status)
            talk(c)
            check(len(box.media()) == 2, str(box.media()))
            # the fax goes on as audio, and who offers it says what it is
            extra = 'a=silenceSupp:off - - - -\r\na=ecan:fb off -\r\n'
            m, r = change(c, False, c.sdp_b(version=4, pts=('8',), extra=extra), c.sdp_a(version=4, pts=('8',), extra=extra))
            check(all(l in x.body for x in (m, r) for l in extra.split('\r\n')), m.body + r.body)
            c.inv_b, c.ok_a = r, m
            talk(c)
            c.bye()


@case
def glare(box):
    """both ends change to T.38 at once: each gets 491, one of them comes again and the fax goes through"""
    c = Call(box, media=True).up()
    talk(c)
    off_a, off_b = image(c.a.addr, c.port_a), image(c.b.addr, c.port_b, session='30777')
    c.da.request('INVITE', off_a)
    m = c.b.expect('INVITE')                    # ours is on its way to B when B's comes
    text = c.db.request('INVITE', off_b)
    r = c.b.expect(491)
    ack_failure(c.b, text, r, c.b.hop)
    c.b.reply(m, 491, 'Request Pending')
    c.b.expect('ACK')
    # B comes again at once, the controller's own second try waits longer: whoever is first
    again = c.b.expect('INVITE', 6)
    c.b.reply(again, 200, 'OK', body=off_b)
    r = c.a.expect(lambda x: x.status == 200 and x.method == 'INVITE')
    c.da.ack(c.da.cseq)
    c.b.expect('ACK')
    machines(box, c, r.media(1), again.media(1), 1)
    c.bye()


def refuses(box, c, from_a, code, offer):
    """we answer that re-INVITE, the other side hears nothing of it, audio goes on"""
    d, me, other = (c.da, c.a, c.b) if from_a else (c.db, c.b, c.a)
    text = d.request('INVITE', offer)
    r = me.expect(lambda x: x.status >= 200 and x.method == 'INVITE')
    check(r.status == 488 and code in r.get('warning'), str(r))
    ack_failure(me, text, r, me.hop)
    other.nothing(0.3, lambda m: not m.status and m.method == 'INVITE')
    talk(c)


def trusted(box):
    """who is trusted is told why, in a Warning"""
    for t in ('pbx', 'itsp'):
        box.set(t, 'trusted=yes', 'trusted=no')


@case
def trunk_refuses(box):
    """fax=refuse and srtp=required keep T.38 off a trunk from either side: 488 with the reason, and the audio goes on"""
    for trunk in ('pbx', 'itsp'):
        box.lab.close()
        trusted(box)
        box.set(trunk, 'fax=refuse', 'fax=pass')
        c = Call(box, media=True).up()
        talk(c)
        refuses(box, c, False, 'fax=refuse', image(c.b.addr, c.port_b, session='30777'))
        refuses(box, c, True, 'fax=refuse', image(c.a.addr, c.port_a))
        c.bye()
        box.undo()
    box.lab.close()
    trusted(box)
    secure(box, 'pbx', CM80)
    t = call(box, [srtp.Key(CM80), None])
    for from_a in (False, True):
        d, me, other = (t.c.da, t.c.a, t.c.b) if from_a else (t.c.db, t.c.b, t.c.a)
        say(t, 0, 3), say(t, 1, 3)
        text = d.request('INVITE', image(me.addr, 30000, session='20518' if from_a else '30777'))
        r = me.expect(lambda x: x.status >= 200 and x.method == 'INVITE')
        check(r.status == 488 and 'not encrypted' in r.get('warning'), str(r))
        ack_failure(me, text, r, me.hop)
        other.nothing(0.2, lambda m: not m.status and m.method == 'INVITE')
    say(t, 0, 3), say(t, 1, 3)
    t.c.bye()


@case
def audio_first(box):
    """fax=audio-first: no call begins with T.38, one that began as audio may change to it"""
    trusted(box)
    box.set('itsp', 'fax=audio-first', 'fax=pass')
    c = Call(box, media=True)
    text = c.invite(image(c.a.addr, c.port_a, audio=False, version=1))
    r = c.a.expect(lambda x: x.status >= 200)
    check(r.status == 488 and 'audio-first' in str(r), str(r))
    ack_failure(c.a, text, r, c.a.hop)
    c.b.nothing(0.2, lambda m: not m.status and m.method == 'INVITE')
    box.lab.close()
    # beside audio it is left out, and answered with port 0
    c = Call(box, media=True)
    c.up(c.sdp_a(extra='m=image %d udptl t38\r\n' % c.port_a))
    check(lines(c.inv_b.body) == [('audio', str(c.inv_b.media()[1]))], c.inv_b.body)
    check([k for k, _ in lines(c.ok_a.body)] == ['audio', 'image'] and lines(c.ok_a.body)[1][1] == '0', c.ok_a.body)
    talk(c)
    m, r = change(c, True, image(c.a.addr, c.port_a), image(c.b.addr, c.port_b, session='30777'))
    machines(box, c, r.media(1), m.media(1), 1)
    c.bye()


@case
def feature_tag(box):
    """a Contact that says +sip.fax tells the other side so, both ways (RFC 6913)"""
    c = Call(box, media=True)
    c.inv = c.a.request('INVITE', 'sip:%s@%s:5060' % (c.called, c.a.hop[0]), c.calling, c.called, body=c.sdp_a())
    c.inv = re.sub(r'(Contact: <[^>]*>)', r'\1;+sip.fax="t38"', c.inv)
    c.a.raw(c.inv, c.a.hop)
    c.callid = re.search(r'Call-ID: (\S+)', c.inv).group(1)
    c.arrive()
    check(c.inv_b.get('contact').endswith(';+sip.fax="t38"'), c.inv_b.get('contact'))
    text = c.b.response(c.inv_b, 200, 'OK', tag=c.tag_b, body=c.sdp_b())
    c.b.raw(re.sub(r'(Contact: <[^>]*>)', r'\1;+sip.fax="passthrough"', text), c.inv_b.source)
    c.ok_a = c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    check(c.ok_a.get('contact').endswith(';+sip.fax="passthrough"'), c.ok_a.get('contact'))
    c.ack()
    c.bye()
    box.lab.close()
    c = Call(box, media=True).up()
    check('sip.fax' not in str(c.inv_b) + str(c.ok_a), 'nobody said that')
    c.bye()
