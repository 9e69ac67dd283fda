"""What a registration suffers from, and how long: one trunk for each fault, all at the same time, since what they wait for is
mostly the pause that RFC 5626 4.5 wants (30 to 60 s after the first failure). Each time is that from the first moment of the
fault to the 200 after it; nobody helps but where a name says so.
"""
import re
import signal
import socket
import ssl
import struct
import threading
import time
import traceback

import t_tls
from kamailio import REALM, SECRET
from lab import BOX, Failed, addr, check, inside, recovered, wait
from sip import Dialog, Ua
from t_regclient import challenge, shown

HOST, OTHER = 'itsp1', 'itsp2'
DNS = 'itsp3'
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'}, 'listen': {'wan': ['tls 203.0.113.1:%d' % t_tls.TLS_PORT]}, 'extra': ''}
FAULTS = []
SOON, PAUSE = 3, 75       # bounds: at once; after the pause


def prepare(box):
    t_tls.prepare(box)
    box.config['extra'] += 'dns { servers = { "%s:53" } }\n' % addr(DNS)
    box.dns = Dns(box)


class Dns:
    """A name server that does to a name what it is told: an address, or refused, servfail, silent, empty, formerr."""

    def __init__(self, box):
        with inside(DNS):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((addr(DNS), 53))
        self.sock.settimeout(0.2)
        self.names = {}
        self.ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending:
            try:
                q, source = self.sock.recvfrom(1500)
            except socket.timeout:
                continue
            labels, i = [], 12
            while q[i]:
                labels.append(q[i + 1:i + 1 + q[i]].decode().lower())
                i += 1 + q[i]
            question, kind = q[12:i + 5], struct.unpack('!H', q[i + 1:i + 3])[0]
            what = self.names.get('.'.join(labels), 'empty')
            if what == 'silent':
                continue
            code = {'refused': 5, 'servfail': 2, 'formerr': 1}.get(what, 0)
            good = what[0].isdigit() and kind == 1
            head = q[:2] + struct.pack('!HHHHH', 0x8180 | code, 1, 1 if good else 0, 1 if not good and code == 0 else 0, 0)
            a = b''
            if good:
                a = b'\xc0\x0c' + struct.pack('!HHIH', 1, 1, 2, 4) + socket.inet_aton(what)
            elif code == 0:     # SOA: there is nothing, for a second
                soa = b'\x00\x00' + struct.pack('!IIIII', 1, 1, 1, 1, 1)
                a = b'\xc0\x0c' + struct.pack('!HHIH', 6, 1, 1, len(soa)) + soa
            self.sock.sendto(head + question + a, source)

    def stop(self):
        self.ending = True
        self.thread.join()
        self.sock.close()


class Fault:
    def __init__(self, box, i, fn, name, settings, bound, proto, second, password, named):
        self.box, self.fn, self.text, self.bound, self.password = box, fn, name, bound, password
        self.trunk, self.port, self.error, self.t0, self.took, self.cseq = 'f%d' % i, 6000 + i, None, None, None, 0
        self.seen = {}
        self.u = self.server(HOST, proto)
        self.u2 = self.server(OTHER, proto) if second else None
        self.name = self.trunk + '.example'
        at = '%s:%d/%s' % (self.name if named else addr(HOST), self.port, proto)
        target = at + (('@1,%s:%d/%s@2' % (addr(OTHER), self.port, proto)) if second and not named else '')
        self.settings = ['role=itsp', 'realm=wan', 'target=' + target, 'domain=' + REALM, 'probe=off', 'aor=trunk42', 'auth=register',
                         'quarantine=1s', 't1=100ms', 'try-timeout=500ms',
                         'source-port=%d' % self.port] + settings
        if proto == 'tls':
            self.settings.append('tls-names=itsp.example')
        if named:
            box.dns.names[self.name] = named
        self.thread = threading.Thread(target=self.run, daemon=True)

    def server(self, host, proto):
        k = {}
        if proto == 'tls':
            k['shows'] = self.context(self.box.peer)
        return Ua(self.box.lab, host, self.port, proto, **k)

    def context(self, pair):
        s = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        s.load_cert_chain(*pair)
        return s

    def begin(self):
        self.thread.start()
        self.box.cli('trunk', 'add', self.trunk, *self.settings)
        if self.password:
            self.cli('password')

    def cli(self, what, secret=SECRET):
        if what == 'password':
            self.box.cli('trunk', 'password', self.trunk, '--user', 'trunk42', stdin=secret + '\n')
        else:
            self.box.cli('trunk', what, self.trunk)

    def run(self):
        try:
            self.fn(self)
        except Failed as e:
            self.error = str(e)
        except Exception:
            self.error = traceback.format_exc()

    # ---- what scripts say
    def fault(self):
        self.t0 = time.monotonic()

    def reg(self, seconds=20, at=None):
        """The next REGISTER that is no repeated one."""
        at = at or self.u
        def fresh(m):
            key = (m.get('call-id'), m.get('via'))
            if m.method != 'REGISTER' or m.status or key in self.seen:
                return False
            self.seen[key] = True
            return True
        return at.expect(fresh, seconds)

    def answer(self, m, code, reason='X', headers=(), at=None):
        (at or self.u).reply(m, code, reason, tag='r', headers=list(headers))

    def ok(self, m, expires=600, headers=(), at=None):
        c = re.sub(r';expires=\d+', '', m.get('contact'))
        self.answer(m, 200, 'OK', ['Contact: %s;expires=%d' % (c, expires)] + list(headers), at)
        if self.t0 and self.took is None and expires > 10:
            self.took = time.monotonic() - self.t0

    def first(self, **k):
        """Registered, before anything happens."""
        self.ok(self.reg(), **k)

    def holds(self):
        """Waits until its 200 was read."""
        wait('%s to be registered' % self.text, lambda: shown(self.box, self.trunk)['holds'], 3)


def fault(name, *settings, bound=SOON, proto='udp', second=False, password=False, named=None):
    def add(fn):
        FAULTS.append((fn, name, list(settings), bound, proto, second, password, named))
        return fn
    return add


def refused_once(name, code, *headers, bound=PAUSE, **k):
    @fault(name, bound=bound, **k)
    def script(f):
        m = f.reg()
        f.fault()
        f.answer(m, code, headers=headers)
        f.ok(f.reg(bound))


refused_once('500', 500)
refused_once('503', 503)
refused_once('503 with Retry-After: 2', 503, 'Retry-After: 2')
refused_once('408', 408)
refused_once('429', 429)
refused_once('480', 480)
refused_once('423 Min-Expires: 7200', 423, 'Min-Expires: 7200', bound=SOON)


def helped(name, code, *headers, **k):
    """Refused for good: it is not tried again, until somebody who has put it right says so."""
    @fault(name + ', put right after 2 s', bound=6, **k)
    def script(f):
        m = f.reg()
        f.fault()
        f.answer(m, code, headers=headers)
        f.u.nothing(2, lambda m: m.method == 'REGISTER' and (m.get('call-id'), m.get('via')) not in f.seen)
        f.cli('register')
        f.ok(f.reg())


helped('403', 403)
helped('404', 404)
helped('494', 494, 'Security-Server: tls;q=0.1')
helped('302 to a server that is not the trunk\'s', 302, 'Contact: <sip:203.0.113.66:5060>')


@fault('silent registrar (a whole REGISTER)', bound=PAUSE + 8)
def silent(f):
    f.reg()
    f.fault()
    f.ok(f.reg(PAUSE + 8))


@fault('REGISTER lost once')
def lost(f):
    f.u.expect('REGISTER', 20)
    f.fault()
    f.ok(f.u.expect('REGISTER'))


@fault('its 200 lost once')
def lost_answer(f):
    f.u.expect('REGISTER', 20)
    f.fault()
    f.ok(f.u.expect('REGISTER'), headers=['X-Copy: 2'])


@fault('first of two servers silent', second=True)
def second_silent(f):
    f.reg()
    f.fault()
    f.ok(f.reg(at=f.u2), at=f.u2)


@fault('first of two servers answers 503', second=True)
def second_503(f):
    m = f.reg()
    f.fault()
    f.answer(m, 503)
    f.ok(f.reg(at=f.u2), at=f.u2)


@fault('first of two servers is gone, noticed by an OPTIONS', 'probe=10s', second=True, bound=16)
def second_gone(f):
    f.first()
    f.fault()
    f.u.sock.close()
    f.ok(f.reg(20, at=f.u2), at=f.u2)


@fault('401 stale at a refresh', password=True)
def stale(f):
    m = f.reg()
    while not m.get('authorization'):       # the first one went before the password came
        f.answer(m, 401, headers=['WWW-' + challenge('n1')[6:]])
        m = f.reg()
    f.ok(m)
    f.cli('register')
    m = f.reg()
    f.fault()
    f.answer(m, 401, headers=['WWW-' + challenge('n2', ', stale=true')[6:]])
    m = f.reg()
    check('nonce="n2"' in m.get('authorization'), m.get('authorization'))
    f.ok(m)


@fault('401 again and again (two tries a minute), then well', password=True, bound=PAUSE)
def loop(f):
    tries, end = 0, None
    while True:
        m = f.reg(PAUSE)
        if m.get('authorization') and f.t0 is None:
            f.fault()
            end = time.monotonic() + 55
        if end and time.monotonic() > end:
            if m.get('authorization'):
                f.ok(m)
                break
            tries = -100                # well from now on
        tries += 1
        check(tries < 6, 'it hammers')
        f.answer(m, 401, headers=['WWW-' + challenge('l%d' % tries)[6:]])


@fault('password changed at the provider, ours 2 s later', bound=6, password=True)
def password(f):
    m = f.reg()
    while not m.get('authorization'):
        f.answer(m, 401, headers=['WWW-' + challenge('n1')[6:]])
        m = f.reg()
    f.ok(m)
    f.cli('register')
    m = f.reg()
    f.fault()
    f.answer(m, 401, headers=['WWW-' + challenge('n2')[6:]])
    f.answer(f.reg(), 401, headers=['WWW-' + challenge('n3')[6:]])
    f.u.nothing(2, lambda m: m.method == 'REGISTER' and (m.get('call-id'), m.get('via')) not in f.seen)
    f.cli('password', 'the new one')
    while True:
        m = f.reg()
        if 'expires=0' in m.get('contact'):     # the old one is taken back before
            f.answer(m, 200)
        elif m.get('authorization'):
            break
        else:
            f.answer(m, 401, headers=['WWW-' + challenge('n4')[6:]])
    f.ok(m)


@fault('420 gin: registered without', 'auth=gin')
def no_gin(f):
    m = f.reg()
    f.fault()
    f.answer(m, 420, headers=['Unsupported: gin'])
    f.ok(f.reg())


@fault('439: registered without outbound', 'outbound=on')
def no_outbound(f):
    m = f.reg()
    f.fault()
    f.answer(m, 439)
    m = f.reg()
    check('reg-id' not in m.get('contact'), m.get('contact'))
    f.ok(m)


def moved(code):
    @fault('%d to the other server of the trunk' % code, second=True)
    def script(f):
        m = f.reg()
        f.fault()
        f.answer(m, code, headers=['Contact: <sip:%s:%d>' % (addr(OTHER), f.port)])
        f.ok(f.reg(at=f.u2), at=f.u2)


moved(302)
moved(305)


@fault('connection cut (RST)', proto='tcp', bound=4)
def rst(f):
    f.first()
    f.holds()
    f.fault()
    f.u.cut()
    f.ok(f.reg())


@fault('connection closed (FIN), as by a registrar that restarts', proto='tcp', bound=4)
def fin(f):
    f.first()
    f.holds()
    f.fault()
    for c in list(f.u.conns):
        c.close()
    f.u.conns = {}
    f.ok(f.reg())


@fault('connection cut with the REGISTER in its hands', proto='tcp')
def cut_early(f):
    f.reg()
    f.fault()
    f.u.cut()
    f.ok(f.u.expect('REGISTER'))        # the same one, by another connection


@fault('nobody listens (TCP), 2 s', proto='tcp', bound=PAUSE)
def refused(f):
    f.first()
    f.fault()
    f.u.sock.close()
    f.u.cut()
    time.sleep(2)           # the fault's own length
    f.u = f.server(HOST, 'tcp')
    f.ok(f.reg(PAUSE))


@fault('certificate of somebody else, then the right one', proto='tls', bound=PAUSE)
def certificate(f):
    f.ok(f.reg(PAUSE))


@fault('lifetime cut to 2 s')
def short(f):
    m = f.reg()
    f.fault()
    f.ok(m, 2)
    f.ok(f.reg(3))


def nothing_said(name, *headers):
    """A 200 that says nothing of our Contact: it holds for as long as was asked for, and is refreshed before."""
    @fault(name, 'expires=60s', bound=60)
    def script(f):
        m = f.reg()
        f.fault()
        f.answer(m, 200, headers=headers)
        f.ok(f.reg(60))


nothing_said('200 without any Contact: what was asked for')
nothing_said('200 with the Contact of another one only', 'Contact: <sip:somebody@192.0.2.9;tk=x>;expires=3600')


@fault('lifetime of 0 granted', bound=PAUSE)
def nothing_granted(f):
    m = f.reg()
    f.fault()
    f.ok(m, 0)
    f.ok(f.reg(PAUSE))


@fault('answers that are garbage, not ours, of another request')
def garbage(f):
    m = f.reg()
    f.fault()
    good = f.u.response(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact')])
    for bad in (b'\x00\xff\x00', b'SIP/2.0 two hundred OK\r\n\r\n', good[:60].encode(), good.replace('z9hG4bK', 'z9hG4bK0').encode(),
                good.replace(' REGISTER', ' INVITE').encode(), good.replace('SIP/2.0 200', 'SIP/2.0 199').encode(),
                good.replace('\r\nCall-ID:', '\r\nContent-Length: 99999\r\nCall-ID:').encode()):
        f.u.raw(bad, m.source)
    f.ok(f.u.expect('REGISTER'))


@fault('NAT gives us another address', 'learn-address=yes')
def nat(f):
    f.first()
    f.cli('register')
    m = f.reg()
    f.fault()
    text = f.u.response(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact')])
    f.u.raw(re.sub(r'(?m)^(Via: [^\r]*?);rport', r'\1;received=203.0.113.77;rport=4711', text), m.source)
    m = f.reg()
    check('@203.0.113.77:4711' in m.get('contact'), m.get('contact'))
    f.ok(m)


@fault('registrar forgets us and says so (registration events)', 'reg-event=on')
def forgets(f):
    m = f.reg()
    f.ok(m)
    contact = re.search(r'<([^>]+)>', m.get('contact')).group(1)
    s = f.u.expect('SUBSCRIBE')
    f.u.reply(s, 200, 'OK', tag='e', headers=['Expires: 600', 'Contact: <sip:e@%s>' % f.u.at])
    d = Dialog(f.u, False, s, None, (BOX[('wan', 4)], 5060), 'e')

    def notify(version, state, event):
        d.request('NOTIFY', '<?xml version="1.0"?>\n<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="%d" state="full">'
                  '<registration aor="sip:trunk42@%s" id="a" state="%s"><contact id="c" state="%s" event="%s"><uri>%s</uri></contact>'
                  '</registration></reginfo>' % (version, REALM, state, state, event, contact.replace('&', '&amp;')),
                  ['Event: reg', 'Subscription-State: active;expires=600', 'Contact: <sip:e@%s>' % f.u.at],
                  ctype='application/reginfo+xml')
        f.u.expect(lambda m: m.status == 200 and m.method == 'NOTIFY')
    notify(0, 'active', 'registered')
    f.fault()
    notify(1, 'terminated', 'expired')
    f.ok(f.reg())


def name_fault(what, text, bound=PAUSE):
    @fault('the name: %s for 4 s' % text, named=what, bound=bound)
    def script(f):
        f.fault()
        time.sleep(4)       # the fault's own length
        f.box.dns.names[f.name] = addr(HOST)
        f.ok(f.reg(bound))


name_fault('refused', 'REFUSED')
name_fault('servfail', 'SERVFAIL')
name_fault('formerr', 'FORMERR')
name_fault('silent', 'no answer')
name_fault('empty', 'no address')


@fault('the name leads elsewhere, the old server is gone', named=addr(HOST), second=True, bound=10)
def name_moved(f):
    f.first()
    f.box.dns.names[f.name] = addr(OTHER)
    f.u.sock.close()
    f.fault()
    f.cli('register')
    f.ok(f.reg(PAUSE, at=f.u2), at=f.u2)


def all_of_them(box):
    """forty-two faults of a registration, at the same time: each is overcome, and how long that took"""
    faults = [Fault(box, i, *f) for i, f in enumerate(FAULTS)]
    try:
        for f in faults:
            if f.fn is certificate:
                f.u.shows = f.context(box.foreign.issue('wrong', 'itsp.example'))
                f.fault()
        for f in faults:
            f.begin()
        wait('the certificate to be refused', lambda: all(f.fn is not certificate or f.u.refused for f in faults), 10)
        for f in faults:
            if f.fn is certificate:
                f.u.shows = f.context(box.peer)
        for f in faults:
            f.thread.join(PAUSE + 30)
        bad = ['%s: %s' % (f.text, f.error or ('nothing came back' if f.took is None else 'took %.1f s' % f.took))
               for f in faults if f.error or f.took is None or f.took > f.bound]
        for f in faults:
            if f.took is not None:
                recovered('registration, ' + f.text, f.took)
        check(not bad, '; '.join(bad))
        for f in faults:
            f.holds()
    finally:
        for f in faults:
            box.cli('trunk', 'del', f.trunk, '--force', '--yes', ok=None)
            f.u.close()
            if f.u2:
                f.u2.close()


class Registrar:
    """Takes what comes, in a thread; grants so many seconds."""

    def __init__(self, box, expires):
        self.u, self.expires, self.ending, self.at = Ua(box.lab, HOST, 6100), expires, False, {}
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending:
            m = self.u._poll(0.05)
            if m is not None and m.method == 'REGISTER':
                gone = 'expires=0' in m.get('contact')
                c = re.sub(r';expires=\d+', '', m.get('contact'))
                self.u.reply(m, 200, 'OK', tag='r', headers=[] if gone else ['Contact: %s;expires=%d' % (c, self.expires)])
                self.at.setdefault(m.get('to'), []).append(time.monotonic())

    def stop(self):
        self.ending = True
        self.thread.join()
        self.u.close()


def add_many(box, n):
    for i in range(n):
        box.cli('trunk', 'add', 'm%d' % i, 'role=itsp', 'realm=wan', 'target=%s:6100' % addr(HOST), 'domain=' + REALM, 'probe=off',
                'aor=trunk%d' % i, 'auth=register', 'source-port=6100')


def drop_many(box, n):
    for i in range(n):
        box.cli('trunk', 'del', 'm%d' % i, '--force', '--yes', ok=None)


def crashed(box):
    """kill -9 with twenty registrations: all are made anew after the start, and a daemon that did not run for longer than they last has them back at once"""
    n, r = 20, Registrar(box, 4)
    add_many(box, n)
    try:
        wait('%d registrations' % n, lambda: len(r.at) == n, 10)
        box.proc.stop(signal.SIGKILL)
        r.at = {}
        t = time.monotonic()
        box.start()
        wait('all of them again', lambda: len(r.at) == n, 10)
        recovered('twenty registrations, kill -9 and start', time.monotonic() - t)
        # as a machine that slept: the clock went on, nothing ran
        box.proc.p.send_signal(signal.SIGSTOP)
        time.sleep(5)       # longer than they last
        r.at = {}
        t = time.monotonic()
        box.proc.p.send_signal(signal.SIGCONT)
        wait('all of them again', lambda: len(r.at) == n, 5)
        took = time.monotonic() - t
        recovered('twenty registrations, nothing ran for longer than they last', took)
        check(took < SOON, 'took %.1f s' % took)
    finally:
        drop_many(box, n)
        r.stop()


CASES = [all_of_them, crashed]
