"""What a dead server costs a call: two servers behind one SRV name (unbound), the first of which fails in one way after
the other; both dead and back; one family of a dual-stack name that leads into a void. Prints how long each took.

The servers are raw parties: itsp0 is first.fo.example, itsp1 second.fo.example. What DNS servers that fail cost is
shown by t_locate, connections that are cut in a call by t_tlscalls.
"""
import ssl
import subprocess
import time

import t_tls
from box import NUMBERS
from lab import BOX, ITSP_PORT, Failed, check, recovered, wait
from raw import Call, party
from sip import Ua, ack_failure
from t_locate import FIRST, add, serve, state
from t_tls import TLS_PORT

NUMBERS['fo'] = '+41445550300'
VOID = '2001:db8:b::99'         # packets to it go nowhere, without a word of ICMP
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'},
          'listen': {'wan': ['tls 203.0.113.1:%d' % TLS_PORT, 'tls [2001:db8:b::1]:%d' % TLS_PORT]},
          'extra': ''}
CASES = []

ZONE = ''.join('_%s.fo.example. 60 IN SRV %d 0 %d %s.fo.example.\n' % (service, prio, port, host)
               for service, port in (('sip._udp', ITSP_PORT), ('sip._tcp', ITSP_PORT), ('sips._tcp', TLS_PORT))
               for prio, host in ((10, 'first'), (20, 'second')))
ZONE += '''first.fo.example. 60 IN A 203.0.113.20
second.fo.example. 60 IN A 203.0.113.21
dual.example. 60 IN A 203.0.113.21
dual.example. 60 IN AAAA %s
''' % VOID


def case(fn):
    CASES.append(fn)
    return fn


def prepare(box):
    t_tls.prepare(box)
    box.config['extra'] += 'dns { servers = { "%s:53" } }\n' % FIRST[1]
    box.servers = {}
    serve(box, FIRST, zone=ZONE)
    subprocess.run(['ip', '-6', 'neigh', 'add', VOID, 'lladdr', '02:00:00:00:00:99', 'dev', 'wan', 'nud', 'permanent'], check=True)


def add_fo(box, proto, *settings, target='fo.example'):
    # who has these addresses otherwise stands aside
    for trunk, old in (('itsp', '203.0.113.20:5064'), ('itspt', '203.0.113.21:5064/tcp')):
        box.set(trunk, 'target=' + old.replace('113.2', '113.9'), 'target=' + old)
    more = [] if 'target=' in str(settings) else ['target=' + target]
    add(box, 'fo', 'transport=' + proto, 'tls-names=itsp.example', 'tls-cert=edge', 'identify=both' if proto == 'tls' else 'identify=address',
        *more, *settings)
    box.undoing[-1] += ('--force',)
    box.cli('route', 'add', 'fo', '--to', '+41*', '--via', 'fo')
    box.undoing.append(('route', 'del', 'fo'))
    wait('the name to be located', lambda: state(box, 'fo') == 'good', 8, 0.02)


def server(box, host, proto, pair=None):
    port = TLS_PORT if proto == 'tls' else ITSP_PORT
    k = {}
    if proto == 'tls':
        s = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        s.load_cert_chain(*(pair or box.peer))
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(box.ca.cert)
        c.load_cert_chain(*box.peer)
        k = dict(shows=s, calls=c, sni='edge.example')
    u = Ua(box.lab, host, port, proto, **k)
    u.realm, u.family, u.trunk = 'wan', 4, 'fo'
    u.deaf = False      # to OPTIONS
    u.hop = (BOX[('wan', 4)], TLS_PORT if proto == 'tls' else 5060)
    return u


def pump(c, first, answer=None, seconds=12):
    """Lets the first server do what it does until the INVITE is at the second one; its INVITEs."""
    seen = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        m = first._poll(0.002) if first else None
        if m is not None and m.method == 'INVITE':
            seen.append(m)
            if answer:
                answer(m)
        elif m is not None:
            first.others.append(m)
        m = c.b._poll(0.002)
        if m is not None and m.method == 'OPTIONS' and not c.b.deaf:
            c.b.reply(m, 200, 'OK', tag='o')
        if m is not None and m.method == 'INVITE':
            c.inv_b = m
            return seen
    raise Failed('the second server got no INVITE within %d s; the first one had %d' % (seconds, len(seen)))


def to_second(box, text, proto, first=None, answer=None, bound=2.0):
    """A call whose first server fails comes up at the second; a second call does so at once."""
    c = Call(box, 'pbx', 'fo', ub=server(box, 'itsp1', proto))
    t = time.monotonic()
    c.invite()
    seen = pump(c, first, answer)
    took = time.monotonic() - t
    recovered('first server %s' % text, took)
    check(took < bound, 'took %.1f s' % took)
    check(all(m.get('call-id') == c.inv_b.get('call-id') and m.tag('from') == c.inv_b.tag('from') for m in seen),
          'the next address of one target got another Call-ID or tag')
    check(all(m.get('via') != c.inv_b.get('via') for m in seen), 'the branch is the same')
    c.ring()
    c.answer()
    c.ack()
    c.b.nothing(0.2, lambda m: m.method == 'INVITE')
    c.bye()
    d = Call(box, 'pbx', 'fo', ua=c.a, ub=c.b)
    t = time.monotonic()
    d.invite()
    pump(d, first, answer)
    again = time.monotonic() - t
    d.ring()
    d.answer()
    d.ack()
    d.bye()
    recovered('first server %s, the next call' % text, again)
    check(again < 0.4, 'the server that failed was tried again: %.2f s' % again)
    return took


@case
def port_closed(box):
    """the port of the first server is closed (ICMP over UDP, RST over TCP and TLS): the second has the call at once"""
    for proto in ('udp', 'tcp', 'tls'):
        add_fo(box, proto)
        to_second(box, 'closed port, ' + proto, proto, bound=1.0)
        box.lab.close()
        box.undo()


@case
def silence(box):
    """the first server takes everything and says nothing: the second has the call after try-timeout, the next call at once"""
    for proto in ('udp', 'tcp', 'tls'):
        add_fo(box, proto, 'try-timeout=500ms', 'probe-down=1')
        took = to_second(box, 'silent, ' + proto, proto, server(box, 'itsp0', proto))
        check(took >= 0.45, 'left after %.2f s, before try-timeout' % took)
        box.lab.close()
        box.undo()


@case
def back_by_quarantine(box):
    """the first server is back and nobody probes it: calls go to it again when its quarantine is over, not before"""
    for proto in ('udp', 'tcp', 'tls'):
        add_fo(box, proto, 'probe=off', 'probe-down=1', 'quarantine=2s')
        to_second(box, 'closed port and no probes, ' + proto, proto, bound=1.0)
        dead = time.monotonic()
        box.lab.close()
        a, first, second = party(box, 'pbx'), server(box, 'itsp0', proto), server(box, 'itsp1', proto)
        back = time.monotonic()

        def at_first():
            c = Call(box, 'pbx', 'fo', ua=a, ub=first)
            inv = c.invite()
            end = time.monotonic() + 4
            got = None
            while time.monotonic() < end:
                for u in (first, second):
                    m = u._poll(0.005)
                    if m is not None and m.method == 'INVITE':
                        got = u
                        u.reply(m, 486, 'Busy', tag='b')
                m = a._poll(0.005)
                if m is not None and m.status >= 200 and m.get('call-id') == c.callid:
                    ack_failure(a, inv, m, a.hop)
                    return got is first
            raise Failed('a call was lost')
        wait('the first server to get a call', at_first, 8, 0.02)
        recovered('first server is back, by the end of its quarantine (2 s) alone, %s' % proto, time.monotonic() - back)
        check(1.7 < time.monotonic() - dead, 'after %.1f s' % (time.monotonic() - dead))
        box.lab.close()
        box.undo()


@case
def refuses(box):
    """the first server answers 503: the second has the call at once, the caller sees nothing of it"""
    for proto in ('udp', 'tcp', 'tls'):
        add_fo(box, proto)
        first = server(box, 'itsp0', proto)

        def answer(m):
            first.reply(m, 503, 'Full', tag='x', headers=['Retry-After: 30'])
        to_second(box, '503, ' + proto, proto, first, answer, bound=1.0)
        first.expect('ACK')
        box.lab.close()
        box.undo()


class Dying:
    """A server that takes the INVITE, perhaps says 100, and is gone: its connections and its port."""

    def __init__(self, ua, says_100):
        self.ua, self.says_100, self.others, self.dead = ua, says_100, [], False

    def _poll(self, seconds):
        if self.dead:
            time.sleep(seconds)
            return None
        m = self.ua._poll(seconds)
        if m is not None and m.method == 'INVITE':
            if self.says_100:
                self.ua.reply(m, 100, 'Trying')
                time.sleep(0.05)        # it is read before the connection goes
            self.ua.close()
            self.dead = True
        return m


@case
def dies(box):
    """the first server takes the INVITE, with and without a 100, and dies: the second has the call at once, not after timer B"""
    for proto in ('tcp', 'tls'):
        for says_100 in (False, True):
            add_fo(box, proto)
            to_second(box, 'dies with the INVITE%s, %s' % (' after its 100' if says_100 else '', proto), proto,
                      Dying(server(box, 'itsp0', proto), says_100), bound=1.0)
            box.lab.close()
            box.undo()


@case
def restarts(box):
    """a server loses its connections with an INVITE it forgot: it gets the INVITE once more, over a new connection, and rings"""
    for proto in ('tcp', 'tls'):
        add_fo(box, proto)
        u = server(box, 'itsp0', proto)
        c = Call(box, 'pbx', 'fo', ub=u)
        c.invite()
        one = c.arrive()
        u.cut()
        t = time.monotonic()
        two = c.arrive()
        check(two.get('via') == one.get('via') and two.source is not one.source, 'not a copy, or over the old connection')
        c.ring()
        recovered('server restarted with an INVITE in its hands, %s' % proto, time.monotonic() - t)
        c.answer()
        c.ack()
        c.bye()
        box.lab.close()
        box.undo()


@case
def tls_broken(box):
    """the first server speaks no TLS, or closes in the handshake: the second has the call at once"""
    for text, words in (('speaks no TLS', b'SIP/2.0 400 What\r\n\r\n'), ('closes in the TLS handshake', None)):
        add_fo(box, 'tls')
        plain = Ua(box.lab, 'itsp0', TLS_PORT, 'tcp')

        class Broken:
            def _poll(self, seconds):
                plain._poll(seconds)
                for s in list(plain.conns):
                    if words:
                        s.sendall(words)
                    s.close()
                    del plain.conns[s]
        to_second(box, text, 'tls', Broken(), bound=2.0)
        box.lab.close()
        box.undo()


@case
def wrong_certificate(box):
    """the first server shows a certificate of another domain, of a foreign root, an expired one: the second has the call at once"""
    for text, pair in (('of another domain', box.ca.issue('other', 'other.example')),
                       ('of a foreign root', box.foreign.issue('itsp', 'itsp.example')),
                       ('expired', box.ca.issue('old', 'itsp.example', days=-1))):
        add_fo(box, 'tls')
        first = server(box, 'itsp0', 'tls', pair)
        to_second(box, 'with a certificate ' + text, 'tls', first, bound=2.0)
        check(not [m for m in first.others if m.method == 'INVITE'], 'the first server got an INVITE')
        box.lab.close()
        box.undo()


@case
def all_dead(box):
    """both servers are dead: a call is refused at once with the reason in its record; one is back: calls go through again"""
    for proto in ('udp', 'tcp', 'tls'):
        add_fo(box, proto, 'quarantine=2s')
        for text in ('both servers dead', 'and known to be'):
            c = Call(box, 'pbx', 'fo', ub=party(box, 'pbxt'))
            t = time.monotonic()
            inv = c.invite()
            m = c.a.expect(lambda m: m.status >= 200, 5)
            print('# %s, %s: refused with %d after %d ms' % (text, proto, m.status, (time.monotonic() - t) * 1000))
            ack_failure(c.a, inv, m, c.a.hop)
            check(m.status >= 400 and m.status != 503, m.start)
            r = box.cdrs(1)[0]
            check('PSN-E' in str(r['reason']), str(r))
            box.lab.close()
        u = server(box, 'itsp1', proto)
        t = time.monotonic()
        a = party(box, 'pbx')

        def works():
            c = Call(box, 'pbx', 'fo', ua=a, ub=u)
            inv = c.invite()
            end = time.monotonic() + 4
            while time.monotonic() < end:
                m = u._poll(0.01)
                if m is not None and m.method == 'INVITE':
                    c.inv_b = m
                    return c
                m = a._poll(0.01)
                if m is not None and m.status >= 200 and m.get('call-id') == c.callid:
                    ack_failure(a, inv, m, a.hop)
                    return None
        c = wait('a call to get through', works, 12, 0.1)
        recovered('both servers dead, one is back, %s' % proto, time.monotonic() - t)
        c.ring()
        c.answer()
        c.ack()
        c.bye()
        box.lab.close()
        box.undo()


def void(proto, deaf):
    limit = 1300 if deaf and proto == 'udp' else 300    # over UDP nothing else tells a void from a way that is slow

    def run(box):
        port = TLS_PORT if proto == 'tls' else ITSP_PORT
        u = server(box, 'itsp1', proto)
        u.deaf = deaf
        add_fo(box, proto, 'target=dual.example:%d/%s' % (port, proto), 'probe=off')
        took = []
        for n in range(3):
            c = Call(box, 'pbx', 'fo', ua=party(box, 'pbx') if n == 0 else c.a, ub=u)
            t = time.monotonic()
            c.invite()
            pump(c, None)
            took.append((time.monotonic() - t) * 1000)
            c.ring()
            c.answer()
            c.ack()
            u.nothing(0.7, lambda m: m.method == 'INVITE')  # the other family, later, would be the same call twice
            c.bye()
        recovered('AAAA black-holed, %s%s (and the next two calls: %s ms), one INVITE each' % (
            proto, ', OPTIONS not answered' if deaf else '', ' '.join('%d' % x for x in took[1:])), took[0] / 1000)
        check(took[0] < limit and max(took[1:]) < 100, 'took %s' % took)
    run.__name__ = 'void_%s%s' % (proto, '_deaf' if deaf else '')
    run.__doc__ = 'IPv6 of a name leads into a void, %s%s: exactly one INVITE arrives, over IPv4, within %d ms; the next call at once' % (
        proto.upper(), ', and the far end answers no OPTIONS' if deaf else '', limit)
    return run


CASES += [void(p, deaf) for deaf in (False, True) for p in ('tcp', 'tls', 'udp')]
