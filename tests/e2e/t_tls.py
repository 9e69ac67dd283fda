"""Certificates and connections as an administrator meets them: looking at a far end, a trunk tried way by way,
certificates replaced under open connections, pairs that do not fit, certificates that expire.

Far ends: openssl s_server, Kamailio with mutual TLS, and python's ssl as 500 clients.
"""
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

from box import NUMBERS
from lab import BOX, Failed, check, inside, listening, recovered, wait

TLS_PORT = 5061
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'},
          'listen': {'wan': ['tls 203.0.113.1:%d' % TLS_PORT]},
          'extra': ''}
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


# ------------------------------------------------------------------------------ certificates

def openssl(*args):
    r = subprocess.run(['openssl'] + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(r.returncode == 0, 'openssl %s: %s' % (' '.join(map(str, args)), r.stdout[-400:]))
    return r.stdout


class Ca:
    def __init__(self, folder, name='Postern test root'):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.cert, self.key = os.path.join(folder, 'root.pem'), os.path.join(folder, 'root.key')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', 3650, '-subj',
                '/CN=' + name, '-keyout', self.key, '-out', self.cert)

    def issue(self, name, domain, days=90, into=None):
        """(chain, key) of a certificate for the SIP domain."""
        base = os.path.join(into or self.folder, name)
        ext = base + '.ext'
        with open(ext, 'w') as f:
            f.write('subjectAltName=URI:sip:%s,DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n'
                    % (domain, domain))
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=' + domain,
                '-keyout', base + '.key', '-out', base + '.csr')
        openssl('x509', '-req', '-in', base + '.csr', '-CA', self.cert, '-CAkey', self.key, '-CAcreateserial', '-days', days,
                '-extfile', ext, '-out', base + '.pem')
        os.chmod(base + '.key', 0o600)
        return base + '.pem', base + '.key'


def prepare(box):
    """Before the controller starts."""
    d = box.lab.fresh('tls')
    box.tls = d
    box.ca = Ca(os.path.join(d, 'ca'))
    box.foreign = Ca(os.path.join(d, 'foreign'), 'Somebody else')
    box.own = os.path.join(d, 'own')
    os.makedirs(box.own)
    box.ca.issue('edge', 'edge.example', into=box.own)
    box.peer = box.ca.issue('itsp', 'itsp.example')
    box.config['extra'] = (
        'cert "edge" { chain = "%s/edge.pem"  key = "%s/edge.key" }\n' % (box.own, box.own)
        + 'tls { trust = { "%s" } }\n' % box.ca.cert
        + 'limits { tcp-per-source = 2000 }\nmedia { workers = 1  quarantine = 1s }\n')


def replace(box, pair):
    """As a renewal does it: each file is exchanged as a whole."""
    for src, name in zip(pair, ('edge.pem', 'edge.key')):
        tmp = os.path.join(box.own, '.' + name)
        shutil.copy(src, tmp)
        os.chmod(tmp, 0o600)
        os.rename(tmp, os.path.join(box.own, name))


def serial(box):
    return rows_of(box, 'tls', 'list')['certs'][0]['serial']


def rows_of(box, *args):
    import json
    return json.loads(box.cli(*args, '-j', ok=None)[1])['data']


# ------------------------------------------------------------------------------ far ends

def s_server(box, pair, port, *more):
    p = box.lab.run('itsp0', ['openssl', 's_server', '-accept', '203.0.113.20:%d' % port, '-cert', pair[0], '-key', pair[1],
                              '-quiet'] + list(more), 's_server')
    wait('s_server to listen', lambda: listening('itsp0', 'tcp', '203.0.113.20', port) or not p.running())
    check(p.running(), p.text())
    return p


KAMAILIO = '''#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
enable_tls=yes
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "tls.so"
modparam("tls", "config", "%s")
request_route { sl_send_reply("200", "Alive"); exit; }
'''
KAMAILIO_TLS = '''[server:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
private_key = %s
certificate = %s
ca_list = %s
[client:default]
verify_certificate = yes
require_certificate = yes
private_key = %s
certificate = %s
ca_list = %s
'''


def kamailio(box, host='itsp0', address='203.0.113.20'):
    d = box.lab.fresh('kamailio')
    os.chmod(d, 0o755)
    pem, key = box.peer
    with open(d + '/tls.cfg', 'w') as f:
        f.write(KAMAILIO_TLS % (key, pem, box.ca.cert, key, pem, box.ca.cert))
    with open(d + '/k.cfg', 'w') as f:
        f.write(KAMAILIO % (d + '/tls.cfg'))
    p = box.lab.run(host, ['kamailio', '-f', d + '/k.cfg', '-DD', '-E', '-e', '-w', d, '-Y', d, '-m', '64', '-M', '8',
                           '-l', 'tls:%s:%d' % (address, TLS_PORT)], 'kamailio')
    wait('Kamailio to listen', lambda: listening(host, 'tcp', address, TLS_PORT) or not p.running(), 10)
    check(p.running(), 'Kamailio did not start: ' + p.text()[-500:])
    return p


# ------------------------------------------------------------------------------ looking

@case
def probe_s_server(box):
    """tls probe of openssl s_server: version, cipher, names, chain, and that it answers no OPTIONS"""
    s_server(box, box.peer, 5071)
    rc, out = box.cli('tls', 'probe', '203.0.113.20:5071', '--name', 'itsp.example', '--realm', 'wan', ok=None)
    check(rc == 2 and 'TLSv1.3' in out and 'itsp.example' in out and 'RFC 5922' in out, 'exit %d: %s' % (rc, out))
    check('Postern test root' in out and 'expires in' in out, out)
    check(re.search(r'opt .* FAIL', out), out)


@case
def probe_wrong_name(box):
    """tls probe says what the certificate names and what was expected, and ends with 2"""
    s_server(box, box.peer, 5072)
    rc, out = box.cli('tls', 'probe', '203.0.113.20:5072', '--name', 'other.example', '--realm', 'wan', ok=None)
    flat = ' '.join(out.split())
    check(rc == 2 and 'names itsp.example, expected was other.example' in flat and 'PSN-E1040' in out, 'exit %d: %s' % (rc, out))


@case
def probe_foreign(box):
    """tls probe of a certificate of a foreign root: untrusted, with the issuer to be added"""
    s_server(box, box.foreign.issue('itsp', 'itsp.example'), 5073)
    rc, out = box.cli('tls', 'probe', '203.0.113.20:5073', '--name', 'itsp.example', '--realm', 'wan', ok=None)
    check(rc == 2 and 'PSN-E1038' in out and 'tls.trust' in out, 'exit %d: %s' % (rc, out))


@case
def probe_asks(box):
    """tls probe sees that the far end asks for a certificate; with --cert it gets ours"""
    s_server(box, box.peer, 5074, '-Verify', '2', '-CAfile', box.ca.cert, '-verify_return_error')
    args = ('tls', 'probe', '203.0.113.20:5074', '--name', 'itsp.example', '--realm', 'wan')
    rc, out = box.cli(*args, ok=None)
    check(rc == 2 and 'asks for our certificate: none was shown' in ' '.join(out.split()), 'exit %d: %s' % (rc, out))
    rc, out = box.cli(*args, '--cert', 'edge', ok=None)
    check('shown edge' in out and 'alert' not in out, 'exit %d: %s' % (rc, out))


@case
def probe_kamailio(box):
    """tls probe of Kamailio with mutual TLS: OPTIONS answered, exit 0"""
    kamailio(box)
    rc, out = box.cli('tls', 'probe', '203.0.113.20:%d' % TLS_PORT, '--name', 'itsp.example', '--cert', 'edge', '--realm', 'wan',
                      ok=None)
    check(rc == 0 and re.search(r'opt +200 in ', out) and 'it works' in out, 'exit %d: %s' % (rc, out))


@case
def probe_nobody(box):
    """tls probe of a port where nobody listens: connection refused, exit 2, at once"""
    t = time.monotonic()
    rc, out = box.cli('tls', 'probe', '203.0.113.20:5999', '--realm', 'wan', ok=None)
    check(rc == 2 and 'refused' in out and time.monotonic() - t < 3, 'exit %d: %s' % (rc, out))


def add_trunk(box, name, *settings):
    box.cli('trunk', 'add', name, 'role=itsp', 'realm=wan', *settings)
    box.undoing.append(('trunk', 'del', name))


@case
def trunk_test(box):
    """trunk test of a TLS trunk to Kamailio: connection, TLS and OPTIONS well, exit 0; its flow is listed with its name"""
    kamailio(box)
    add_trunk(box, 'kam', 'target=203.0.113.20:%d/tls' % TLS_PORT, 'identify=tls-name', 'tls-names=itsp.example', 'tls-cert=edge')
    rc, out = box.cli('trunk', 'test', 'kam', ok=None)
    check(rc == 0 and re.search(r'opt +200 in ', out), 'exit %d: %s' % (rc, out))
    rc, out = box.cli('flow', 'list', '--trunk', 'kam', ok=None)
    check('203.0.113.20:%d' % TLS_PORT in out, out)
    f = rows_of(box, 'flow', 'list', '--trunk', 'kam')['flows']
    check(len(f) >= 1 and 'itsp.example' in f[0]['names'], str(f))
    rc, out = box.cli('trunk', 'show', 'kam', ok=None)
    check('203.0.113.20:%d' % TLS_PORT in out and re.search(r'\bup\b', out, re.I), out)


@case
def trunk_test_half(box):
    """trunk test with one dead target of two: exit 1 and the remedy; with both dead: exit 2"""
    p = kamailio(box)
    add_trunk(box, 'kam', 'target=203.0.113.20:%d/tls@1,203.0.113.21:%d/tls@2' % (TLS_PORT, TLS_PORT), 'identify=tls-name',
              'tls-names=itsp.example', 'tls-cert=edge')
    rc, out = box.cli('trunk', 'test', 'kam', ok=None)
    check(rc == 1 and 'refused' in out and '1 of 2 work' in out, 'exit %d: %s' % (rc, out))
    p.stop()
    rc, out = box.cli('trunk', 'test', 'kam', ok=None)
    check(rc == 2 and out.count('refused') >= 2, 'exit %d: %s' % (rc, out))


@case
def wrong_name_said(box):
    """a trunk whose far end names another domain: down with a reason that names both, in trunk show and why trunk"""
    kamailio(box)
    add_trunk(box, 'kam', 'target=203.0.113.20:%d/tls' % TLS_PORT, 'identify=tls-name', 'tls-names=other.example', 'tls-cert=edge',
              'probe=10s', 'probe-down=1')
    wait('a probe to have found out', lambda: 'down' in str(rows_of(box, 'trunk', 'show', 'kam')['targets']), 15, 0.2)
    for words in (('trunk', 'show', 'kam'), ('why', 'trunk', 'kam')):
        flat = ' '.join(box.cli(*words, ok=None)[1].split())
        check('PSN-E1040' in flat and 'itsp.example' in flat and 'other.example' in flat, flat)
    rc, out = box.cli('status', ok=None)
    check(rc == 2 and 'kam is DOWN' in out, 'exit %d: %s' % (rc, out))


@case
def trunk_test_left(box):
    """the client leaves in the middle of a trunk test: nothing is left, the controller lives"""
    add_trunk(box, 'void', 'target=203.0.113.99:5061/tls')     # nobody has that address
    fds = box.count_fds()
    for n in range(3):
        p = subprocess.Popen([os.path.join(box.lab.bindir, 'postern'), '--socket', box.ctl, 'trunk', 'test', 'void'],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait('the test to begin', lambda: box.count_fds() > fds, 5)
        p.kill()
        p.wait()
        wait('its connection to be gone', lambda: box.count_fds() <= fds, 5)


@case
def aliases(box):
    """flow alias: a client that asked for reuse with its certificate is a row of address, port, transport, names, flow"""
    pem, key = box.peer
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.load_verify_locations(box.ca.cert)
    ctx.load_cert_chain(pem, key)
    with inside('itsp0'):
        s = ctx.wrap_socket(socket.create_connection((BOX[('wan', 4)], TLS_PORT), timeout=10), server_hostname='edge.example')
    box.lab.sockets.append(s)
    s.sendall(('OPTIONS sip:edge.example SIP/2.0\r\nVia: SIP/2.0/TLS 203.0.113.20:5071;alias;branch=z9hG4bKalias\r\n'
               'Max-Forwards: 70\r\nFrom: <sip:a@itsp.example>;tag=1\r\nTo: <sip:edge.example>\r\nCall-ID: alias@t\r\n'
               'CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n').encode())
    check(b' 200 ' in s.recv(4096), 'OPTIONS was not answered')
    rows = rows_of(box, 'flow', 'alias')['aliases']
    check(len(rows) == 1, str(rows))
    r = rows[0]
    check((r['address'], r['port'], r['proto'], r['names'], r['our_domain']) ==
          ('203.0.113.20', 5071, 'TLS', ['itsp.example'], 'edge.example'), str(r))
    check(r['flow'] in [f['flow'] for f in rows_of(box, 'flow', 'list')['flows']], 'its flow is not listed')
    out = box.cli('flow', 'alias')[1]
    check(re.search(r'203\.0\.113\.20 +5071 +TLS +itsp\.example', out), out)
    s.close()
    wait('the row to go with its connection', lambda: not rows_of(box, 'flow', 'alias')['aliases'], 5, 0.1)


# ------------------------------------------------------------------------------ replacing

class Clients:
    """n TLS connections from itsp0, which is trunk itsp by its address."""

    def __init__(self, box, n):
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ctx.load_verify_locations(box.ca.cert)
        self.ctx.check_hostname = True
        self.s = []
        with inside('itsp0'):
            for _ in range(n):
                self.s.append(self.open())
        box.lab.sockets += self.s

    def open(self):
        raw = socket.create_connection((BOX[('wan', 4)], TLS_PORT), timeout=10)
        return self.ctx.wrap_socket(raw, server_hostname='edge.example')

    def ask(self, i):
        """OPTIONS on the i-th; its status."""
        s = self.s[i]
        a = '%s:%d' % s.getsockname()[:2]
        s.sendall(('OPTIONS sip:edge.example SIP/2.0\r\nVia: SIP/2.0/TLS %s;branch=z9hG4bKt%d.%d\r\nMax-Forwards: 70\r\n'
                   'From: <sip:a@itsp.example>;tag=%d\r\nTo: <sip:edge.example>\r\nCall-ID: %d.%d@t\r\nCSeq: 1 OPTIONS\r\n'
                   'Content-Length: 0\r\n\r\n' % (a, i, time.monotonic_ns(), i, i, time.monotonic_ns())).encode())
        got = b''
        while b'\r\n\r\n' not in got:
            part = s.recv(4096)
            if not part:
                return 0
            got += part
        return int(got.split()[1])


@case
def replaced_under_flows(box):
    """a certificate is replaced under 500 TLS connections: none is lost, each still works, the next one sees the new"""
    c = Clients(box, 500)
    check(all(c.ask(i) for i in range(0, 500, 50)), 'not all answered before')
    old = serial(box)
    dropped = box.metric('net.tcp_lost')
    t = time.monotonic()
    replace(box, box.ca.issue('edge2', 'edge.example'))
    wait('the new certificate to be in force', lambda: serial(box) != old, 15, 0.2)
    recovered('certificate replaced under 500 TLS connections, until the new one is in force; none lost', time.monotonic() - t)
    status = [c.ask(i) for i in range(500)]
    check(all(s == 200 for s in status), 'after the change: %s' % {s: status.count(s) for s in set(status)})
    check(box.metric('net.tcp_lost') == dropped, 'connections were lost')
    with inside('itsp0'):
        n = c.open()
    box.lab.sockets.append(n)
    now = int(ssl.PEM_cert_to_DER_cert(ssl.DER_cert_to_PEM_cert(n.getpeercert(True)))and n.getpeercert()['serialNumber'], 16)
    check(now == int(serial(box), 16), 'the new connection has certificate %x' % now)
    check(len(rows_of(box, 'flow', 'list', '-n', 1000)['flows']) >= 501, 'not all are listed')


@case
def new_names(box):
    """a certificate that names another domain makes it a host of its realm at once, and what is not named any more is none"""
    c = Clients(box, 1)

    def asked(host):
        """Code of the refusal of an INVITE to a number that is nobody's, at that host."""
        s, n = c.s[0], time.monotonic_ns()
        s.sendall(('INVITE sip:+4900000@%s SIP/2.0\r\nVia: SIP/2.0/TLS 203.0.113.20:%d;branch=z9hG4bKh%d\r\nMax-Forwards: 70\r\n'
                   'From: <sip:a@itsp.example>;tag=%d\r\nTo: <sip:+4900000@%s>\r\nCall-ID: %d@t\r\nCSeq: 1 INVITE\r\n'
                   'Contact: <sip:a@203.0.113.20:5061>\r\nContent-Length: 0\r\n\r\n' % (host, s.getsockname()[1], n, n, host, n)).encode())
        got = b''
        while not re.search(rb'SIP/2.0 [3-6].*\r\n\r\n', got, re.S):
            part = s.recv(4096)
            check(part, 'the connection ended')
            got += part
        return re.findall(rb'SIP/2.0 ([3-6]..)', got)[0]
    foreign, ours = asked('nobody.example'), asked('edge.example')
    check(foreign != ours, 'a foreign host is answered %s as ours is' % foreign)
    check(asked('second.example') == foreign, 'second.example is ours before')
    old = serial(box)
    keep = [shutil.copy(os.path.join(box.own, n), os.path.join(box.own, '.old' + n)) for n in ('edge.pem', 'edge.key')]
    replace(box, box.ca.issue('second', 'second.example'))
    rc, out = box.cli('tls', 'reload', ok=None)
    check(rc == 0, 'exit %d: %s' % (rc, out))
    check(serial(box) != old, 'the new certificate is not in force')
    check(asked('second.example') == ours, 'second.example is not ours after the reload of certificates')
    check(asked('edge.example') == foreign, 'edge.example is still ours')
    replace(box, keep)
    box.cli('tls', 'reload')
    check(asked('edge.example') == ours, 'edge.example is not ours again')


@case
def refused_callers(box):
    """who connects with a certificate of a foreign root stands in guard events with the reason and how often, and is counted"""
    pair = box.foreign.issue('caller', 'itsp.example')
    before = box.metric('refused.tls_untrusted')
    for _ in range(3):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.load_cert_chain(*pair)
        with inside('itsp0'):
            raw = socket.create_connection((BOX[('wan', 4)], TLS_PORT), timeout=10)
        s = ctx.wrap_socket(raw)        # the realm only requests certificates: it is let in as nobody
        box.lab.sockets.append(s)
    wait('all three to be counted', lambda: box.metric('refused.tls_untrusted') == before + 3, 10, 0.1)
    row = rows_of(box, 'guard', 'events')['refused'][0]
    check(row['address'] == '203.0.113.20' and row['code'] == 'PSN-E1038' and row['times'] >= 3 and 'Somebody else' in row['because'],
          'guard events: %s' % row)
    out = box.cli('guard', 'events', ok=None)[1]
    check('PSN-E1038' in out and '203.0.113.20' in out, out)


@case
def system_roots(box):
    """without tls.trust the roots of the system are trusted, and none of them is warned about; with {} nobody is"""
    extra = box.config['extra']
    line = 'trust = { "%s" }' % box.ca.cert
    check(line in extra, extra)

    def roots(instead):
        box.config['extra'] = extra.replace(line, instead)
        box.write()
        out = box.cli('reload')[1]
        return rows_of(box, 'tls', 'list')['roots_trusted'], out
    try:
        with open('/etc/ssl/certs/ca-certificates.crt') as f:
            have = f.read().count('BEGIN CERTIFICATE')
        n, out = roots('')
        check(n == have and 'no root' not in out, '%d roots of %d: %s' % (n, have, out))
        check('root ' not in box.cli('status', ok=None)[1], 'status warns about roots of the system')
        n, out = roots('trust = {}')
        check(n == 0 and 'no root is trusted' in out, '%d roots: %s' % (n, out))
    finally:
        box.config['extra'] = extra
        box.write()
        box.cli('reload')
    check(rows_of(box, 'tls', 'list')['roots_trusted'] == 1, 'not as before')


@case
def refused_pair(box):
    """a pair that does not fit is refused with its reason, the old one stays in force, status says so until it is mended"""
    old = serial(box)
    good = [os.path.join(box.own, n) for n in ('edge.pem', 'edge.key')]
    keep = [shutil.copy(g, g + '.keep') for g in good]
    other = box.ca.issue('edge3', 'edge.example')
    shutil.copy(other[1], os.path.join(box.own, '.k'))
    os.chmod(os.path.join(box.own, '.k'), 0o600)
    os.rename(os.path.join(box.own, '.k'), good[1])         # the key of another certificate
    rc, out = box.cli('tls', 'reload', ok=None)
    check(rc == 2 and 'PSN-E1045' in out and 'old ones stay' in out, 'exit %d: %s' % (rc, out))
    check(serial(box) == old, 'another certificate is in force')
    c = Clients(box, 1)
    check(c.ask(0) == 200, 'a new connection fails')
    rc, out = box.cli('status', ok=None)
    check(rc == 2 and 'refused' in out, 'exit %d: %s' % (rc, out))
    os.chmod(good[1], 0o644)                                # and readable for all
    rc, out = box.cli('tls', 'reload', ok=None)
    check(rc == 2, 'exit %d: %s' % (rc, out))
    for k, g in zip(keep, good):
        os.chmod(k, 0o600)
        os.rename(k, g)
    wait('the mended pair to be taken by itself', lambda: 'refused' not in box.cli('status', ok=None)[1], 10, 0.2)
    check('tls_refused' in box.log_text() and 'BEGIN' not in box.log_text(), 'log')


@case
def expiry(box):
    """a certificate that ends in three days is an error in status and tls list, one in 20 days a warning; both are logged"""
    try:
        for days, code, level in ((20, 1, 'WARN'), (3, 2, 'ERROR')):
            old = serial(box)
            replace(box, box.ca.issue('short%d' % days, 'edge.example', days=days))
            wait('it to be in force', lambda: serial(box) != old, 15, 0.2)
            rc, out = box.cli('status', ok=None)
            check(rc == code and re.search(r'%s +tls +certificate edge expires in' % level, out), 'exit %d: %s' % (rc, out))
            rc, out = box.cli('tls', 'list', ok=None)
            check(rc == code and 'edge' in out, 'exit %d: %s' % (rc, out))
        check(box.log_text().count('cert_expires') >= 2, 'not in the log')
    finally:
        old = serial(box)
        replace(box, box.ca.issue('long', 'edge.example'))
        wait('the long one to be in force', lambda: serial(box) != old, 15, 0.2)
    rc, out = box.cli('tls', 'list')


@case
def legacy_ciphers(box):
    """the ciphers of RFC 3261 are refused until a trunk of the realm asks for them, and again when it no longer does"""
    rsa = os.path.join(box.tls, 'rsa')
    os.makedirs(rsa, exist_ok=True)

    def tries():
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.set_ciphers('ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0')
        with inside('itsp0'):
            try:
                s = c.wrap_socket(socket.create_connection((BOX[('wan', 4)], TLS_PORT), timeout=10))
                name = s.cipher()[0]
                s.close()
                return name
            except (ssl.SSLError, ConnectionError):
                return None
    # AES128-SHA wants an RSA key
    ext = os.path.join(rsa, 'x')
    with open(ext, 'w') as f:
        f.write('subjectAltName=URI:sip:edge.example\n')
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=edge.example', '-keyout', rsa + '/k', '-out', rsa + '/c')
    openssl('x509', '-req', '-in', rsa + '/c', '-CA', box.ca.cert, '-CAkey', box.ca.key, '-CAcreateserial', '-days', 90,
            '-extfile', ext, '-out', rsa + '/p')
    keep = [shutil.copy(os.path.join(box.own, n), os.path.join(box.tls, 'kept-' + n)) for n in ('edge.pem', 'edge.key')]
    old = serial(box)
    replace(box, (rsa + '/p', rsa + '/k'))
    wait('the RSA pair to be in force', lambda: serial(box) != old, 15, 0.2)
    try:
        check(tries() is None, 'taken without being asked for')
        box.cli('trunk', 'set', 'itsp', 'tls-legacy=yes')
        check(tries() == 'AES128-SHA', 'not taken: %s' % tries())
        box.cli('trunk', 'set', 'itsp', 'tls-legacy=no')
        check(tries() is None, 'still taken')
    finally:
        old = serial(box)
        replace(box, keep)
        wait('the old pair to be in force', lambda: serial(box) != old, 15, 0.2)


@case
def reload_certs(box):
    """a reload of the file brings a new certificate section; one whose files are missing is refused as a whole"""
    extra = box.config['extra']
    box.ca.issue('second', 'second.example', into=box.own)
    try:
        box.config['extra'] = extra + 'cert "second" { chain = "%s/second.pem"  key = "%s/second.key" }\n' % (box.own, box.own)
        box.write()
        rc, out = box.cli('reload')
        check('second' in out, out)
        check([c['name'] for c in rows_of(box, 'tls', 'list')['certs']] == ['edge', 'second'], 'tls list')
        box.config['extra'] = extra + 'cert "third" { chain = "%s/third.pem"  key = "%s/third.key" }\n' % (box.own, box.own)
        box.write()
        rc, out = box.cli('reload', ok=None)
        check(rc == 2 and 'third.pem' in out and 'unchanged' in out, 'exit %d: %s' % (rc, out))
        check([c['name'] for c in rows_of(box, 'tls', 'list')['certs']] == ['edge', 'second'], 'tls list after the refusal')
    finally:
        box.config['extra'] = extra
        box.write()
        box.cli('reload')
    check([c['name'] for c in rows_of(box, 'tls', 'list')['certs']] == ['edge'], 'tls list at the end')
