"""Encrypted media with keys by DTLS (RFC 5763, 5764): phones of others, and handshakes that must not succeed."""
import re
import socket
import struct
import subprocess

import srtp
from box import NUMBERS, uri
from lab import check, inside, wait
from raw import Call
from sip import ack_failure
from t_audio import hold_and_resume, two_phones

CONFIG = {'extra': 'media { workers = 2  quarantine = 1ms }\n'}
CASES = []
CM80, GCM128, GCM256 = 'AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'


def case(fn):
    CASES.append(fn)
    return fn


def secure(box, trunk, mode='dtls', suites=None):
    """For this case the trunk's media is encrypted so."""
    for k, v, back in [('srtp', mode, 'off')] + ([('srtp-suites', suites, '')] if suites else []):
        box.cli('trunk', 'set', trunk, '%s=%s' % (k, v), ok=None)       # the command line doubts it over UDP (exit 1)
        box.undoing.append(('trunk', 'set', trunk, '%s=%s' % (k, back)))


def judged(leg, dtls='up', suite=None):
    # baresip sends its first RTCP in clear, before it turns its encryption on
    check(leg['dtls'] == dtls and leg['level'] == 0 and leg['srtp_auth_failed'] <= 3, str(leg))
    if suite:
        check(leg['srtp_in'] == leg['srtp_out'] == suite, str(leg))


def phones(a, b, title, family=4, mode='dtls', suite=None, hold=False, inbound=False, mux=False):
    """a, b: mediaenc of the phones; None: in clear"""
    def run(box):
        pa, pb = ('pbx', 'itsp') if family == 4 else ('pbx6', 'itsp6')
        hosts, face = ('pbx0', 'itsp0'), 'lan'
        if inbound:
            pa, pb, hosts, face = pb, pa, hosts[::-1], 'wan'
        for trunk, enc in ((pa, a), (pb, b)):
            if enc:
                secure(box, trunk, mode, suite)
        seen, before = [], box.metric('dtls.up')
        two_phones(box.lab, hosts[0], hosts[1], uri(NUMBERS[pb], face, family), family=family, srtp=(a, b), mux=mux,
                   while_up=lambda phone: seen.extend(hold_and_resume(box, phone) if hold else box.media()))
        for leg, enc in (('a', a), ('b', b)):
            judged([m for m in seen if m['leg'] == leg][0], 'up' if enc else 'none', suite if enc else 'none')
        # one handshake for RTP and one for RTCP unless they share a port, whatever was renegotiated
        check(box.metric('dtls.up') - before == (1 if mux else 2) * bool(a) + 2 * bool(b), 'handshakes: %d' % (box.metric('dtls.up') - before))
    run.__doc__ = title
    CASES.append(run)


phones('dtls_srtp', None, 'PBX with DTLS calls a provider in clear: both phones hear each other')
phones(None, 'dtls_srtp', 'PBX in clear calls a provider with DTLS over IPv6: both phones hear each other', family=6)
phones('dtls_srtp', 'dtls_srtp', 'DTLS on both sides, provider calls PBX: both phones hear each other', inbound=True)

phones('dtls_srtp', 'dtls_srtp', 'hold and resume: packets cross again, and no second handshake was made', hold=True)
phones('dtls_srtp', None, 'a phone whose reports share the port of its RTP has one handshake', mux=True)
phones('dtls_srtp', None, 'DTLS offered to a trunk that only prefers encryption is taken', mode='preferred')


# ------------------------------------------------------------------------------ a far end of openssl

class Certificate:
    def __init__(self, lab, name):
        self.key, self.pem = lab.path(name + '.key'), lab.path(name + '.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=' + name, '-days', '2',
                        '-keyout', self.key, '-out', self.pem], check=True, stderr=subprocess.DEVNULL)
        out = subprocess.run(['openssl', 'x509', '-in', self.pem, '-noout', '-fingerprint', '-sha256'], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        self.print = out.split('=')[1].strip()


def body(text, cert, setup, version=None):
    return text.replace('RTP/AVP', 'UDP/TLS/RTP/SAVP') + 'a=fingerprint:sha-256 %s\r\na=setup:%s\r\n' % (cert.print, setup)


def openssl(box, call, cert, profile, server, version='-dtls1_2', *more):
    """openssl takes the place of A's RTP socket; its output, when it is through"""
    a, port = call.a.addr, call.port_a
    call.rtp_a.s.close()
    argv = ['-cert', cert.pem, '-key', cert.key, '-use_srtp', profile, '-keymatexport', 'EXTRACTOR-dtls_srtp',
            '-keymatexportlen', '60', '-mtu', '1200', *more]
    if server:
        # the certificate is anybody's for openssl: its verdict does not matter, ours does
        argv = ['openssl', 's_server', version, '-accept', '%s:%d' % (a, port), '-verify', '1'] + argv
    else:
        argv = ['openssl', 's_client', version, '-connect', '%s:%d' % call.ok_a.media(), '-bind', '%s:%d' % (a, port)] + argv
    # a server ends when there is nothing more to read
    return box.lab.run(call.a.host, argv, 'openssl', stdin=subprocess.PIPE if server else subprocess.DEVNULL)


def keys_of(p):
    """(openssl's, ours) as it exported them"""
    text = wait('keying material', lambda: re.search(r'Keying material: ([0-9A-F]+)', p.text()), 8)
    raw = bytes.fromhex(text.group(1))
    client, server = raw[:16] + raw[32:46], raw[16:32] + raw[46:60]
    mine, yours = (server, client) if 's_server' in p.argv else (client, server)
    return srtp.Key(CM80, mine), srtp.Key(CM80, yours)


def through(box, server):
    secure(box, 'pbx', 'dtls')
    cert = Certificate(box.lab, 'phone')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.invite(body(c.sdp_a(), cert, 'passive' if server else 'active'))
    c.arrive()
    check('RTP/AVP' in c.inv_b.body and 'fingerprint' not in c.inv_b.body, c.inv_b.body)
    c.ring()
    if server:
        p = openssl(box, c, cert, 'SRTP_AES128_CM_SHA1_80', True)
        wait('openssl to listen', lambda: 'ACCEPT' in p.text(), 5)
    c.answer()
    check('UDP/TLS/RTP/SAVP' in c.ok_a.body and ('a=setup:active' if server else 'a=setup:passive') in c.ok_a.body, c.ok_a.body)
    c.ack()
    if not server:
        p = openssl(box, c, cert, 'SRTP_AES128_CM_SHA1_80', False)
    mine, yours = keys_of(p)
    p.stop()
    wait('the keys', lambda: box.media()[0]['dtls'] == 'up', 3)
    # what it exported is what packets are sealed with, by the RFC alone
    with inside(c.a.host):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((c.a.addr, c.port_a))
    box.lab.sockets.append(s)
    for seq in range(1, 6):
        plain = struct.pack('!BBHII', 0x80, 8, seq, seq * 160, 0xaa) + bytes([seq]) * 160
        s.sendto(mine.seal(plain), c.ok_a.media())
        c.rtp_b.s.settimeout(3)
        check(c.rtp_b.s.recv(2048) == plain, 'packet %d changed' % seq)
        back = struct.pack('!BBHII', 0x80, 8, seq, seq * 160, 0xbb) + bytes([0x80 + seq]) * 160
        c.rtp_b.s.sendto(back, c.inv_b.media())
        s.settimeout(3)
        got = s.recv(2048)
        while 20 <= got[0] <= 63:       # what DTLS had left to say
            got = s.recv(2048)
        check(yours.open(got) == back, 'packet %d cannot be opened' % seq)
    judged(box.media()[0], 'up', CM80)
    c.bye()
    m = box.json('cdr', 'show', box.cdrs()[0]['id'])['record']['media'][0]
    check(m['dtls'] == 'up' and m['srtp'] == CM80, str(m))


@case
def openssl_begins(box):
    """openssl as the active one: packets sealed with the keys it exported cross both ways"""
    through(box, False)


@case
def openssl_waits(box):
    """openssl as the passive one: packets sealed with the keys it exported cross both ways"""
    through(box, True)


@case
def wrong_certificate(box):
    """a far end that shows another certificate than it announced: no packet passes, the call ends with a reason of its own"""
    secure(box, 'pbx', 'dtls')
    announced, other = Certificate(box.lab, 'announced'), Certificate(box.lab, 'other')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.invite(body(c.sdp_a(), announced, 'active'))
    c.arrive()
    c.ring()
    c.answer()
    c.ack()
    before, held = box.metric('dtls.fingerprint'), box.metric('relay.drop_srtp_no_key')
    c.rtp_b.send(c.inv_b.media())
    wait('a packet to be dropped while there are no keys', lambda: box.metric('relay.drop_srtp_no_key') > held, 3)
    p = openssl(box, c, other, 'SRTP_AES128_CM_SHA1_80', False)
    wait('the mismatch', lambda: box.metric('dtls.fingerprint') == before + 1, 5)
    c.rtp_b.send(c.inv_b.media())       # and none passes afterwards, until the call ends and after it
    for x in (c.a, c.b):
        bye = x.expect('BYE', 12)
        x.reply(bye, 200, 'OK')
    p.stop()
    ident = box.cdrs(reason='PSN-E3018')[0]['id']
    m = box.json('cdr', 'show', ident)['record']['media']
    check(m[0]['dtls'] == 'failed' and 'certificate' in m[0]['verdict'] and m[0]['tx'] == m[1]['rx'] == 0, str(m))


@case
def old_version(box):
    """DTLS 1.0 is refused, though we have the ciphers it wants; 1.2 from the same place is not"""
    secure(box, 'pbx', 'dtls')
    cert = Certificate(box.lab, 'old')
    c = Call(box, 'pbx', 'itsp', media=True)
    c.up(body(c.sdp_a(), cert, 'active'))
    # its own level 0 lets it offer what goes with 1.0
    p = openssl(box, c, cert, 'SRTP_AES128_CM_SHA1_80', False, '-dtls1', '-cipher', 'ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0')
    wait('openssl to be refused', lambda: 'alert protocol version' in p.text(), 8)
    p.stop()
    check(box.media()[0]['dtls'] == 'waits', str(box.media()[0]))
    keys_of(openssl(box, c, cert, 'SRTP_AES128_CM_SHA1_80', False))
    c.bye()


@case
def not_offered(box):
    """srtp=dtls, and a phone that offers RTP/AVP, SDES, or a fingerprint that is too weak: 488 and a reason"""
    secure(box, 'pbx', 'dtls')
    for proto, more, reason in (('RTP/AVP', '', 'PSN-E3017'), ('RTP/SAVP', srtp.Key(CM80).line(1), 'PSN-E3017'),
                                ('UDP/TLS/RTP/SAVP', 'a=setup:actpass\r\na=fingerprint:sha-1 %s\r\n' % ':'.join(['AB'] * 20),
                                 'PSN-E3016')):
        c = Call(box, 'pbx', 'itsp')
        c.invite(c.sdp_a().replace('RTP/AVP', proto) + more)
        r = c.a.expect(lambda m: m.status >= 200)
        check(r.status == 488, r.start)
        ack_failure(c.a, c.inv, r, c.a.hop)
        check(box.cdrs(reason=reason), reason)
        c.a.close()
        c.b.close()
