"""PBXs that register with us: all numbers at once (RFC 6140), one address, one number."""
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess

import peers
import t_audio
from box import NUMBERS, hop, uri
from lab import BOX, LISTEN, Failed, at, check, inside, wait
from raw import party
from sip import Msg, Ua, ack_failure, sdp

DOMAIN = 'sbc.example.net'
CONFIG = {'realm': {'lan': '\tdomains = { "%s" }\n' % DOMAIN}}
SECRET = 'a long secret of ours'
GIN, PHONE = '+49301238', '+49301239'
HASH = {'MD5': hashlib.md5, 'SHA-256': hashlib.sha256,
        'SHA-512-256': lambda b: hashlib.new('sha512_256', b)}


def trunks(box):
    """The two trunks of this suite, made once; nobody is registered."""
    if getattr(box, 'registering', False):
        for l in box.json('reg', 'inside')['registrations']:
            box.cli('reg', 'kick', l['id'])
        return
    box.cli('trunk', 'add', 'gin', 'role=pbx', 'realm=lan', 'auth=gin', 'aor=trunk42', 'expires-min=10s')
    box.cli('trunk', 'add', 'phones', 'role=pbx', 'realm=lan', 'auth=register', 'aor=300')
    box.cli('number', 'add', GIN + '500..' + GIN + '599', 'gin')
    box.cli('number', 'add', PHONE + '500..' + PHONE + '599', 'phones')
    box.cli('trunk', 'password', 'gin', '--user', 'trunk42', stdin=SECRET + '\n')
    box.cli('trunk', 'password', 'phones', '--user', 'user300', stdin=SECRET + '\n')
    box.registering = True


class Pbx:
    """Registers as a PBX does: answers the challenge of the strongest algorithm named in algs."""

    def __init__(self, box, host='pbx1', proto='tcp', user='trunk42', secret=SECRET, algs=('SHA-256', 'MD5')):
        self.box, self.user, self.secret, self.algs = box, user, secret, algs
        self.ua = Ua(box.lab, host, 0, proto)
        self.ua.at = '%s:%d' % (self.ua.addr, self.ua.port)
        self.ua.realm, self.ua.family, self.ua.hop = 'lan', 4, hop('lan')
        self.cseq, self.callid, self.challenge = 0, 'reg' + self.ua.uniq, None
        self.conn = self.ua.connect(hop('lan')) if proto == 'tcp' else None

    def authorization(self):
        c = self.challenge
        h = lambda t: HASH[c['algorithm']](t.encode()).hexdigest()
        c['nc'] += 1
        nc, cn = '%08x' % c['nc'], os.urandom(4).hex()
        a1, a2 = h('%s:%s:%s' % (self.user, c['realm'], self.secret)), h('REGISTER:sip:' + DOMAIN)
        return ('Authorization: Digest username="%s", realm="%s", nonce="%s", uri="sip:%s", algorithm=%s, qop=auth, '
                'nc=%s, cnonce="%s", response="%s"'
                % (self.user, c['realm'], c['nonce'], DOMAIN, c['algorithm'], nc, cn,
                   h(':'.join((a1, c['nonce'], nc, cn, 'auth', a2)))))

    def take(self, m):
        found = [dict(re.findall(r'(\w+)="?([^",]+)"?', v.split(' ', 1)[1])) for v in m.all('www-authenticate')]
        check(found and all(f['qop'] == 'auth' for f in found), str(m))
        self.challenge = next(f for a in self.algs for f in found if f['algorithm'] == a)
        self.challenge['nc'] = 0

    def send(self, headers, aor):
        self.cseq += 1
        h = list(headers) + ([self.authorization()] if self.challenge else [])
        t = self.ua.request('REGISTER', 'sip:' + DOMAIN, self.user, '', to='<sip:%s@%s>' % (aor, DOMAIN), headers=h,
                            callid=self.callid, cseq=self.cseq)
        self.ua.raw(t, self.ua.hop, self.conn)
        # not an older one, which is sent again when its connection broke (RFC 3261 18.2.2)
        return self.ua.expect(lambda m: m.status and m.get('cseq') == '%d REGISTER' % self.cseq, callid=self.callid)

    def register(self, *headers, aor=None):
        """The final answer."""
        m = self.send(headers, aor or self.user)
        if m.status == 401:
            self.take(m)
            m = self.send(headers, aor or self.user)
        return m

    def contact(self, more=''):
        return ('Contact: <sip:%s%s;tk=c41f;bnc>%s'
                % (self.ua.at, ';transport=tcp' if self.ua.proto == 'tcp' else '', more))

    def bulk(self, more=''):
        m = self.register('Require: gin', 'Proxy-Require: gin', 'Supported: path', self.contact(more))
        check(m.status == 200, str(m))
        return m


def call_in(box, pbx, number, want_uri):
    """A call of the ITSP to number, answered by the PBX and ended."""
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(number, 'wan'), NUMBERS['itsp'], number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    inv = pbx.ua.expect('INVITE')
    check(inv.start == 'INVITE %s SIP/2.0' % want_uri, inv.start)
    pbx.ua.reply(inv, 200, 'OK', tag='P' + inv.tag('from'), body=sdp(pbx.ua.addr, 30002, session='3'))
    ok = i.expect(lambda m: m.status == 200)
    from sip import Dialog
    d = Dialog(i, True, t, ok, i.hop)
    d.ack(d.invite_cseq)
    pbx.ua.expect('ACK')
    d.request('BYE')
    bye = pbx.ua.expect('BYE')
    pbx.ua.reply(bye, 200, 'OK')
    i.expect(lambda m: m.status == 200 and m.method == 'BYE')
    i.close()
    return inv


def expanded(pbx, number):
    return 'sip:%s@%s;transport=tcp;tk=c41f' % (number, pbx.ua.at) if pbx.ua.proto == 'tcp' else \
        'sip:%s@%s;tk=c41f' % (number, pbx.ua.at)


def gin(box):
    """one REGISTER with bnc over TCP, and calls to three numbers reach the PBX, To untouched"""
    trunks(box)
    p = Pbx(box)
    m = p.bulk(';expires=600')
    c = m.all('contact')
    check(len(c) == 1 and ';bnc>' in c[0] and 'expires=600' in c[0], str(m))
    for n in ('500', '507', '599'):
        inv = call_in(box, p, GIN + n, expanded(p, GIN + n))
        check(GIN + n in inv.get('to'), inv.get('to'))
    l = box.json('reg', 'inside', '--trunk', 'gin')['registrations']
    check(len(l) == 1 and l[0]['kind'] == 'gin' and l[0]['trunk'] == 'gin', str(l))
    check(p.register('Require: gin', p.contact(';expires=0')).status == 200, 'removal')
    check(not box.json('reg', 'inside', '--trunk', 'gin')['registrations'], 'still there')


def gin_out(box):
    """the PBX calls out on the connection it registered on, and is known by it"""
    trunks(box)
    p = Pbx(box)
    p.bulk()
    i = party(box, 'itsp')
    t = p.ua.request('INVITE', 'sip:%s@%s' % (NUMBERS['itsp'], DOMAIN), GIN + '501', NUMBERS['itsp'],
                     body=sdp(p.ua.addr, 30000))
    p.ua.raw(t, p.ua.hop, p.conn)
    inv = i.expect('INVITE')
    check(GIN + '501' in inv.get('from'), inv.get('from'))
    i.reply(inv, 486, 'Busy Here', tag='b')
    i.expect('ACK')
    m = p.ua.expect(lambda m: m.status >= 200 and m.method == 'INVITE')
    check(m.status == 486, m.start)
    ack_failure(p.ua, t, m, p.ua.hop)
    box.cdrs(1, calling=GIN + '501', from_trunk='gin', to_trunk='itsp')


def neighbour(box):
    """a connection from the address and port of one that is gone is not taken for it until it registers itself"""
    trunks(box)
    p = Pbx(box)
    p.bulk()
    at = p.conn.getsockname()
    p.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))  # no TIME_WAIT
    p.conn.close()
    p.ua.conns.pop(p.conn)
    with inside(p.ua.host):
        p.conn = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        p.conn.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        p.conn.bind(at)
    p.conn.settimeout(3)
    p.conn.connect(p.ua.hop)
    p.ua.conns[p.conn] = b''
    box.lab.sockets.append(p.conn)
    i = party(box, 'itsp')

    for trunk, number in (('pbxt', GIN + '511'), ('gin', GIN + '512')):
        t = p.ua.request('INVITE', 'sip:%s@%s' % (NUMBERS['itsp'], DOMAIN), number, NUMBERS['itsp'],
                         body=sdp(p.ua.addr, 30000))
        p.ua.raw(t, p.ua.hop, p.conn)
        i.reply(i.expect('INVITE'), 486, 'Busy Here', tag='b')
        i.expect('ACK')
        m = p.ua.expect(lambda m: m.status == 486 and m.method == 'INVITE')
        ack_failure(p.ua, t, m, p.ua.hop)
        box.cdrs(1, calling=number, from_trunk=trunk)
        p.bulk()
    i.close()


def stopping(box):
    """TERM while many registrations are being stored: a clean end, and what was acknowledged is there afterwards"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    p.bulk(';expires=300')
    for _ in range(200):
        p.cseq += 1
        p.ua.raw(p.ua.request('REGISTER', 'sip:' + DOMAIN, p.user, '', to='<sip:%s@%s>' % (p.user, DOMAIN),
                              headers=[p.contact(';expires=300'), p.authorization()], callid=p.callid, cseq=p.cseq),
                 p.ua.hop)
    box.proc.p.send_signal(signal.SIGTERM)
    rc = box.proc.wait(15)
    check(rc == 0, 'exit %s' % rc)
    box.proc.stop()
    box.start()
    l = box.json('reg', 'inside', '--trunk', 'gin')['registrations']
    check(len(l) == 1, str(l))
    box.cli('reg', 'kick', l[0]['id'])


def algorithms(box):
    """MD5, SHA-256 and SHA-512-256 are offered, strongest first, and each is taken"""
    trunks(box)
    for alg in HASH:
        p = Pbx(box, algs=(alg,))
        m = p.send((p.contact(),), 'trunk42')
        check(m.status == 401, m.start)
        names = [re.search(r'algorithm=([\w-]+)', v).group(1) for v in m.all('www-authenticate')]
        check(names == ['SHA-512-256', 'SHA-256', 'MD5'], str(names))
        p.take(m)
        m = p.send((p.contact(';expires=60'),), 'trunk42')
        check(m.status == 200, str(m))
        check(p.register(p.contact(';expires=0')).status == 200, 'removal')
        p.ua.close()


def strangers(box):
    """a wrong password, another's number, a number of nobody, too short: 403, 403, 404, 423"""
    trunks(box)
    p = Pbx(box, secret='something else')
    check(p.register(p.contact()).status == 403, 'wrong password')
    p = Pbx(box)
    check(p.register('Contact: <sip:x@198.51.100.11>', aor=PHONE + '501').status == 403, "another's number")
    check(p.register('Contact: <sip:x@198.51.100.11>', aor='+491').status == 404, 'nobody')
    m = p.register(p.contact(';expires=5'))
    check(m.status == 423 and m.get('min-expires') == '10', str(m))
    events = [e['code'] for e in box.json('reg', 'history', 'gin')['events']]
    check('PSN-E1112' in events and 'PSN-E1107' in events, str(events))


def gone(box):
    """nobody registered: the caller gets 480 with the reason, and the trunk's target is tried when it has one"""
    trunks(box)
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(GIN + '501', 'wan'), NUMBERS['itsp'], GIN + '501', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = i.expect(lambda m: m.status >= 200)
    check(m.status == 480, m.start)
    ack_failure(i, t, m, i.hop)
    check(box.cdrs(1, called=GIN + '501')[0]['reason'].startswith('PSN-E2130'), 'reason')
    i.close()
    p = Pbx(box, host='pbx0', proto='udp')
    box.set('gin', 'source-port=%d' % p.ua.port, 'source-port=')
    box.set('gin', 'target=%s' % p.ua.at, 'target=')
    call_in(box, p, GIN + '502', 'sip:%s@%s' % (GIN + '502', p.ua.at))


def expiry(box):
    """a registration that is not refreshed is over after its time, and that is told"""
    trunks(box)
    p = Pbx(box)
    p.bulk(';expires=10')
    wait('the registration to be over', lambda: not box.json('reg', 'inside', '--trunk', 'gin')['registrations'], 14, 0.2)
    check(box.json('reg', 'history', 'gin')['events'][0]['code'] == 'PSN-E1115', 'history')


def killed(box):
    """kill -9: what was acknowledged is registered after the restart, and calls reach it at once over UDP"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    p.bulk(';expires=300')
    box.restart(signal.SIGKILL)
    l = box.json('reg', 'inside', '--trunk', 'gin')['registrations']
    check(len(l) == 1 and 280000 < l[0]['expires_ms'] <= 300000, str(l))
    call_in(box, p, GIN + '503', expanded(p, GIN + '503'))
    box.cli('reg', 'kick', l[0]['id'])
    check(not box.json('reg', 'inside', '--trunk', 'gin')['registrations'], 'still there')


def phone(lab, number):
    return peers.Baresip(lab, 'reg', 'pbx0', 5068, 440, answer=True, account=(
        '<sip:%s@%s;transport=udp>;auth_user=user300;auth_pass="%s";regint=60;outbound="sip:%s:%d";audio_codecs=PCMA;'
        'answermode=auto' % (number, DOMAIN, SECRET, BOX[('lan', 4)], LISTEN)))


def baresip(box):
    """baresip registers one number with digest, and is called with audio both ways"""
    trunks(box)
    number = PHONE + '501'
    box.set('phones', 'digest=md5', 'digest=')        # this one gives up at a name it does not know
    a = phone(box.lab, number)
    wait('baresip to be registered', lambda: box.json('reg', 'inside', '--trunk', 'phones')['registrations'], 10)
    b = peers.Baresip(box.lab, 'b', 'itsp0', 5064, 1000)
    t_audio.talk(b, a, uri(number, 'wan'))


def linphone(box):
    """linphone registers one number with SHA-256 over UDP and over TCP, is called, and takes its registration back"""
    trunks(box)
    number, secret = PHONE + '521', 'a-long-secret-of-ours'
    box.cli('trunk', 'password', 'phones', stdin=secret + '\n')       # its commands know no blanks
    box.set('phones', 'digest=sha-256', 'digest=')    # it gives up at SHA-512-256 instead of passing over it

    def there():
        return box.json('reg', 'inside', '--trunk', 'phones')['registrations']
    try:
        for proto in ('udp', 'tcp'):
            a = peers.Linphone(box.lab, 'pbx0', 5078)
            said = a.command('register sip:%s@%s <sip:%s:%d;transport=%s> %s user300 %s' % (
                number, DOMAIN, BOX[('lan', 4)], LISTEN, proto, secret, DOMAIN))
            check('Ok' in said, said)
            l = wait('linphone to be registered by ' + proto, there, 10)
            check(len(l) == 1 and l[0]['aor'] == number and
                  l[0]['from'].startswith(proto), str(l))
            check('algorithm=SHA-256' in a.log(), 'not with SHA-256')
            b = peers.Baresip(box.lab, 'b', 'itsp0', 5064, 1000)
            b.command('dial', uri(number, 'wan'))
            b.event('CALL_ESTABLISHED', 12)
            b.command('hangup')
            b.event('CALL_CLOSED')
            wait('linphone to have no call', lambda: 'Call ID' not in a.command('call-status'), 5)
            b.stop()
            check('Ok' in a.command('unregister ALL'), 'unregister')
            wait('it to be unregistered', lambda: not there(), 5)
            a.stop()
    finally:
        box.cli('trunk', 'password', 'phones', stdin=SECRET + '\n')


def sofia(box):
    """sip-options of sofia-sip, from a known PBX, is told what we can do"""
    r = subprocess.run(at('pbx0', ['sip-options', '--all', '--contact=sip:198.51.100.10:5062', 'sip:%s' % BOX[('lan', 4)]]),
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    check(r.returncode == 0 and '200 OK' in r.stdout and 'INVITE' in r.stdout, r.stdout)


def neighbours(box):
    """somebody behind the address of a working PBX guesses its password: slowed and told, while the PBX refreshes, calls and is called"""
    trunks(box)
    good = Pbx(box, host='pbx0', proto='udp')
    good.bulk(';expires=60')
    tcp = Pbx(box, host='pbx0')
    check(tcp.register('Require: gin', tcp.contact(';q=0.2;expires=60')).status == 200, 'the other node')
    bad = Pbx(box, host='pbx0', proto='udp', secret='a guess')
    said, n = [], 0
    before = box.metric('auth.bad'), box.metric('auth.not_looked_at')

    def guess(k):
        for _ in range(k):
            bad.challenge = None
            said.append(bad.register(bad.contact()).status)

    guess(40)
    check(200 not in said, str(said))
    looked, slowed = box.metric('auth.bad') - before[0], box.metric('auth.not_looked_at') - before[1]
    check(looked <= 14 and slowed >= 26, '%d guesses looked at, %d not' % (looked, slowed))
    # who has the registration is heard by its flow, however busy the other one is; with a new challenge too
    for k in range(12):
        guess(3)
        for p in (good, tcp):
            if k % 3 == 0:
                p.challenge = None
            m = p.register('Require: gin', 'Proxy-Require: gin', p.contact(';expires=60' + (';q=0.2' if p is tcp else '')))
            check(m.status == 200, 'refresh %d: %s' % (k, m.start))
    call_in(box, good, GIN + '551', expanded(good, GIN + '551'))
    # somebody else at the same address whose password is right is told to come back, not that it is wrong
    late = Pbx(box, host='pbx0', proto='udp')
    guess(12)
    m = late.register(late.contact())
    check(m.status == 503 and 0 < int(m.get('retry-after')) <= 8, str(m))
    # at another account nobody of that address waits for it
    other = Pbx(box, host='pbx0', proto='udp', user='user300')
    check(other.register('Contact: <sip:300@%s>;expires=60' % other.ua.at, aor='300').status == 200, 'the other trunk')
    out = box.cli('status', ok=None)[1]
    check('account trunk42 at its own address gave' in out, 'status says nothing of it: ' + out)
    check('at_home=198.51.100.10' in box.log_text(), 'nor does the log')
    for p in (good, tcp, bad, late, other):
        p.ua.close()


def weak(box):
    """a password that everybody tries first is refused, with the command that makes a good one"""
    trunks(box)
    for bad in ('300', 'user300', 'password1234', 'aaaaaaaaaaaaaa'):
        rc, out = box.cli('trunk', 'password', 'phones', stdin=bad + '\n', ok=None)
        check(rc == 2 and 'refused' in out and '--generate' in out, out)
    out = box.cli('trunk', 'password', 'phones', '--generate')[1]
    made = re.search(r'^password (\S+)', out, re.M).group(1)
    check(len(made) == 24, out)
    p = Pbx(box, user='user300', secret=made)
    check(p.register('Contact: <sip:300@%s>;expires=60' % p.ua.at, aor='300').status == 200, 'the new one')
    text = open(os.path.join(box.state, 'postern.db'), 'rb').read()
    wal = os.path.join(box.state, 'postern.db-wal')
    text += open(wal, 'rb').read() if os.path.exists(wal) else b''
    check(made.encode() not in text and SECRET.encode() not in text, 'a password stands in the database')
    check(made not in box.log_text() and SECRET not in box.log_text(), 'a password stands in the log')
    box.cli('trunk', 'password', 'phones', stdin=SECRET + '\n')


CASES = [gin, gin_out, neighbour, stopping, algorithms, strangers, gone, expiry, killed, baresip, linphone, sofia, neighbours, weak]
