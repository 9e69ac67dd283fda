"""Two controllers back to back: the one under test as edge in front of a PBX, registered for all numbers (RFC 6140) at
another one that is the provider, which asks for a password in every request. A phone (baresip) stands behind each.

    phone A  pbx0 -- lan, edge, wan -- access, provider (itsp3), core -- phone B  alien

Over UDP, TCP, and TLS with certificates of both.
"""
import json
import os
import signal
import time

import peers
import t_audio
import t_tls
from box import NUMBERS, Box
from lab import BOX, LISTEN, Failed, check, wait
from sip import Ua, ack_failure, sdp

HOST, AT = 'itsp3', '203.0.113.23'
CORE, TLS = 5070, 5061
FAR, FAR_AT, FAR_PORT = 'alien', '203.0.113.66', 5064
DOMAIN = 'itsp.example'
SECRET = 'what the two have agreed upon'
TO = '+39021234567'
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'}, 'listen': {'wan': ['tls 203.0.113.1:%d' % TLS]}, 'extra': ''}


def prepare(box):
    d = box.lab.fresh('tls')
    box.ca = t_tls.Ca(os.path.join(d, 'ca'))
    box.pairs = {n: box.ca.issue(n, domain) for n, domain in (('edge', 'edge.example'), ('itsp', DOMAIN))}
    box.config['extra'] = tls_text(box, 'edge')


def tls_text(box, name):
    return ('cert "%s" { chain = "%s"  key = "%s" }\ntls { trust = { "%s" } }\nmedia { workers = 1  quarantine = 1s }\n'
            % ((name,) + box.pairs[name] + (box.ca.cert,)))


class Provider(Box):
    """The other controller, on its own host; its state outlives a case."""

    def __init__(self, edge):
        self.lab, self.edge, self.config = edge.lab, edge, {}
        self.state = edge.lab.path('provider')
        self.fresh = not os.path.exists(self.state)
        os.makedirs(self.state, exist_ok=True)
        self.conf, self.ctl = edge.lab.path('provider.conf'), os.path.join(self.state, 'ctl')
        self.proc, self.undoing = None, []

    def write(self):
        with open(self.conf, 'w') as f:
            f.write('box "itsp" { state-dir = "%s"  control = "%s" }\n' % (self.state, self.ctl)
                    + 'realm "access" {\n\tlisten = { "udp %s:5060", "tcp %s:5060", "tls %s:%d" }\n\tmedia = { "%s 22000-22999" }\n'
                      '\tdomains = { "%s" }\n\tcert = "itsp"\n}\n' % (AT, AT, AT, TLS, AT, DOMAIN)
                    + 'realm "core" {\n\tlisten = { "udp %s:%d" }\n\tmedia = { "%s 24000-24999" }\n}\n' % (AT, CORE, AT)
                    + tls_text(self.edge, 'itsp'))

    def start(self):
        self.write()
        self.proc = self.lab.run(HOST, [os.path.join(self.lab.bindir, 'posternd'), '-c', self.conf], 'provider')
        self.edge.logs.append(self.proc.log)           # judged at the end as well
        wait('the provider to answer', lambda: not self.proc.running() or
             (os.path.exists(self.ctl) and self.cli('status', ok=None)[0] < 3), 20)
        check(self.proc.running(), self.proc.text()[-600:])
        if self.fresh:
            self.fresh = False
            self.cli('trunk', 'add', 'cust', 'role=pbx', 'realm=access', 'auth=gin', 'aor=trunk42', 'challenge=all', 'expires-min=10s')
            self.cli('trunk', 'add', 'pstn', 'role=itsp', 'realm=core', 'target=%s:%d' % (FAR_AT, FAR_PORT), 'probe=off')
            self.cli('number', 'add', '+49301234500..+49301234549', 'cust')
            self.cli('trunk', 'password', 'cust', '--user', 'trunk42', stdin=SECRET + '\n')
            self.cli('route', 'add', 'pstn', '--from', 'cust', '--to', '+39*', '--via', 'pstn')
        return self

    def registrations(self):
        return self.json('reg', 'inside', '--trunk', 'cust')['registrations']


def up(edge):
    out = edge.cli('reg', 'list', '-j', ok=None)[1]
    return next((l for l in json.loads(out)['data']['registrations'] if l['trunk'] == 'up'), {})


def both(edge, transport, *more):
    """The provider is up, and the edge is registered there over that transport."""
    p = Provider(edge).start()
    for l in p.registrations():
        p.cli('reg', 'kick', l['id'])
    p.cli('trunk', 'set', 'cust', 'identify=address')
    p.cli('trunk', 'set', 'cust', 'tls-names=')
    if transport == 'tls':
        p.cli('trunk', 'set', 'cust', 'tls-names=edge.example')
        p.cli('trunk', 'set', 'cust', 'identify=tls-name')
    edge.cli('trunk', 'add', 'up', 'role=itsp', 'realm=wan', 'target=%s:%d' % (AT, TLS if transport == 'tls' else 5060),
             'transport=' + transport, 'domain=' + DOMAIN, 'tls-names=' + DOMAIN, 'auth=gin', 'aor=trunk42', 'probe=off', *more)
    edge.cli('route', 'add', 'up', '--from', 'pbx', '--to', '+39*', '--via', 'up')
    edge.cli('trunk', 'password', 'up', '--user', 'trunk42', stdin=SECRET + '\n')
    wait('the edge to be registered', lambda: up(edge).get('state') == 'registered', 10)
    l = p.registrations()
    check(len(l) == 1 and l[0]['kind'] == 'gin' and up(edge)['kind'] == 'gin', '%s %s' % (l, up(edge)))
    return p


def done(edge, p):
    edge.cli('route', 'del', 'up', ok=None)
    edge.cli('trunk', 'del', 'up', '--force', '--yes', ok=None)
    if p:
        rc = p.proc.stop(seconds=15) if p.proc.running() else 0
        check(rc == 0, 'the provider ended with %s' % rc)


def phones(edge, a_answers, b_answers):
    a = peers.Baresip(edge.lab, 'a', 'pbx0', 5062, 440, answer=a_answers, number=NUMBERS['pbx'])
    b = peers.Baresip(edge.lab, 'b', FAR, FAR_PORT, 1000, answer=b_answers, number=TO)
    return a, b


def out_uri():
    return 'sip:%s@%s:%d' % (TO, BOX[('lan', 4)], LISTEN)


def in_uri(number=NUMBERS['pbx']):
    return 'sip:%s@%s:%d' % (number, AT, CORE)


def refused(edge, number, seconds=8.0):
    """A call of the world for that number that fails: its final answer, and after how long."""
    far = Ua(edge.lab, FAR, 5072)
    try:
        t = far.request('INVITE', in_uri(number), TO, number, body=sdp(far.addr, 30000))
        began = time.monotonic()
        far.raw(t, (AT, CORE))
        m = far.expect(lambda m: m.status >= 200, seconds)
        took = time.monotonic() - began
        ack_failure(far, t, m, (AT, CORE))
        return m, took
    finally:
        far.close()


def rings(edge, number=NUMBERS['pbx'], seconds=6.0):
    """A call of the world for that number reaches the PBX; refused there, and the world hears it."""
    far, pbx = Ua(edge.lab, FAR, 5072), Ua(edge.lab, 'pbx0', 5062)
    try:
        t = far.request('INVITE', in_uri(number), TO, number, body=sdp(far.addr, 30000))
        far.raw(t, (AT, CORE))
        inv = pbx.expect('INVITE', seconds)
        check(inv.start.startswith('INVITE sip:%s@' % number), inv.start)
        pbx.reply(inv, 486, 'Busy Here', tag='p')
        pbx.expect('ACK')
        m = far.expect(lambda m: m.status >= 200)
        check(m.status == 486, m.start)
        ack_failure(far, t, m, (AT, CORE))
        return True
    finally:
        far.close()
        pbx.close()


def reached(edge, what, seconds):
    """Calls until one reaches the PBX; says how long that took."""
    def one():
        try:
            return rings(edge, seconds=1.5)
        except Failed:
            return False
    began = time.monotonic()
    wait('a call to reach the PBX', one, seconds, 0.2)
    print('# %s: reached after %.1f s' % (what, time.monotonic() - began))


def calls(edge, transport):
    p = None
    try:
        p = both(edge, transport)
        asked = p.metric('b2b.challenged')
        a, b = phones(edge, False, True)
        t_audio.talk(a, b, out_uri())
        check(p.metric('b2b.challenged') > asked, 'the provider did not ask')
        edge.cdrs(1, from_trunk='pbx', to_trunk='up', status=200, called=TO)
        p.cdrs(1, from_trunk='cust', to_trunk='pstn', status=200, called=TO, calling=NUMBERS['pbx'])
        a, b = phones(edge, True, False)
        t_audio.talk(b, a, in_uri())
        edge.cdrs(1, from_trunk='up', to_trunk='pbx', status=200, called=NUMBERS['pbx'])
        l = p.cdrs(1, from_trunk='pstn', to_trunk='cust', status=200, called=NUMBERS['pbx'])
        # the PBX has seen nothing of the provider, nor the provider of the PBX: only the edge knows both
        ladder = p.cli('call', 'ladder', l[0]['id'], '--full', ok=None)[1]
        check('198.51.100.' not in ladder, ladder)
        return p
    finally:
        done(edge, p)


def udp(edge):
    """over UDP: registered for all numbers, calls out through the challenge and in, with audio both ways"""
    calls(edge, 'udp')


def tcp(edge):
    """over TCP: registered for all numbers, calls out through the challenge and in, with audio both ways"""
    calls(edge, 'tcp')


def tls(edge):
    """over TLS, each proving its name by a certificate: calls out through the challenge and in, with audio both ways"""
    calls(edge, 'tls')


def new_number(edge):
    """a number that is added at the provider is reached at once, without another REGISTER; one taken away is not"""
    p = None
    try:
        p = both(edge, 'udp')
        m, _ = refused(edge, '+49301234560')
        check(m.status == 404, m.start)
        accepted = p.metric('reg.accepted')
        p.cli('number', 'add', '+49301234560', 'cust')
        rings(edge, '+49301234560')
        p.cli('number', 'del', '+49301234560', '--yes')
        m, _ = refused(edge, '+49301234560')
        check(m.status == 404, m.start)
        check(p.metric('reg.accepted') == accepted, 'there was another REGISTER')
    finally:
        done(edge, p)


def pbx_down(edge):
    """the PBX is down: the world hears so soon, both records say why; the registration stays, and it is reached when it is back"""
    p = None
    try:
        p = both(edge, 'udp')
        m, took = refused(edge, NUMBERS['pbx'])
        check(m.status in (480, 500, 503) and took < 5, '%s after %.1f s' % (m.start, took))
        e, o = edge.cdrs(1, from_trunk='up', to_trunk='pbx')[0], p.cdrs(1, from_trunk='pstn', to_trunk='cust')[0]
        check(e['reason'].startswith('PSN-E2115') and o['reason'].startswith('PSN-E2112'), '%s\n%s' % (e['reason'], o['reason']))
        check(up(edge)['state'] == 'registered' and len(p.registrations()) == 1, 'still registered')
        reached(edge, 'PBX that is back', 8)
    finally:
        done(edge, p)


def provider_killed(edge):
    """the provider is killed and comes back: it finds the edge at once, over UDP by its address, over TCP and TLS by a connection of its own"""
    for transport in ('udp', 'tcp', 'tls'):
        p = None
        try:
            p = both(edge, transport, 'keepalive=5s', 'expires=60s')
            rings(edge)
            p.proc.stop(signal.SIGKILL)
            p = Provider(edge).start()
            check(len(p.registrations()) == 1, 'what was acknowledged is gone')
            reached(edge, '%s, provider that is back' % transport, 4)
            check(up(edge)['holds'], str(up(edge)))
        finally:
            done(edge, p)


def edge_killed(edge):
    """the edge is killed and comes back: it registers anew, and the provider finds it, over UDP, TCP and TLS"""
    for transport in ('udp', 'tcp', 'tls'):
        p = None
        try:
            p = both(edge, transport)
            rings(edge)
            edge.restart(signal.SIGKILL)
            wait('the edge to be registered', lambda: up(edge).get('state') == 'registered', 10)
            reached(edge, '%s, edge that is registered again' % transport, 15)
            check(1 <= len(p.registrations()) <= 2, str(p.registrations()))
        finally:
            done(edge, p)


def edge_gone(edge):
    """the edge is gone for good: the world hears it in time, and the provider's record says what was tried"""
    p = None
    try:
        p = both(edge, 'udp', 'expires=60s')
        edge.proc.stop(signal.SIGKILL)
        m, took = refused(edge, NUMBERS['pbx'], 35)
        check(m.status in (408, 480, 500, 503) and took < 33, '%s after %.1f s' % (m.start, took))
        check(p.cdrs(1, from_trunk='pstn')[0]['reason'].startswith('PSN-E'), str(p.cdrs(1)[0]))
    finally:
        edge.restart()
        done(edge, p)


def events(edge):
    """the edge watches its registration over TLS: numbers confirmed and not, one that is new, and back when it is lost"""
    p = None
    try:
        p = both(edge, 'tls')           # reg-event=auto: the provider says that it has events
        wait('the edge to see its numbers', lambda: (up(edge).get('events'), up(edge).get('confirmed')) == ('sees', 50), 10)
        check(p.json('subscription', 'list', 'cust')['subscriptions'][0]['state'] == 'active', 'the provider has no watcher')
        d = edge.json('reg', 'numbers', 'up', '--lines', '1000')
        rows = {r['number']: r['what'] for r in d['numbers']}
        check(d['confirmed'] == 50 and d['surplus'] == 0 and '+49301234549' not in rows, str(d)[:300])
        check(rows.get('+49301234550') == 'not confirmed' and d['missing'] == len(rows) == 350, '%d, %d rows' % (d['missing'], len(rows)))
        p.cli('number', 'add', '+390612345678', 'cust')
        wait('the new number to be told', lambda: up(edge).get('confirmed') == 51, 10)
        rc, out = edge.cli('reg', 'numbers', 'up', ok=1)
        check('+390612345678' in out and 'nobody' in out and 'WARN' in out, out)
        # lost at the provider: told 5 s after the NOTIFY before at the earliest, back at once then, with the reason
        began = time.monotonic()
        p.cli('reg', 'kick', p.registrations()[0]['id'])
        wait('the registration to be back', lambda: len(p.registrations()) == 1, 10)
        print('#   registered anew %.2f s after the provider lost it' % (time.monotonic() - began))
        check('PSN-E1146' in [e['code'] for e in edge.json('reg', 'history', 'up')['events']], 'no reason in the history')
        # taken back: nobody watches any more
        edge.cli('trunk', 'unregister', 'up')
        wait('the watch to end', lambda: p.json('subscription', 'list')['subscriptions'] == [], 10)
    finally:
        if p and p.proc.running():
            p.cli('number', 'del', '+390612345678', ok=None)
        done(edge, p)


CASES = [udp, tcp, tls, new_number, events, pbx_down, provider_killed, edge_killed, edge_gone]
