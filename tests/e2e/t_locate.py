"""Server location with a real DNS server (unbound) beside the box: which questions are asked, who is recognised while
the DNS changes, and what calls suffer when its servers fail. Prints how long each recovery took.
"""
import os
import signal
import time

from box import NUMBERS, hop, uri
from lab import BOX, Failed, check, listening, recovered, wait
from raw import Call, party
from sip import Ua, ack_failure, sdp

FIRST, SECOND = ('itsp2', '203.0.113.22'), ('itsp1', '203.0.113.21')
NUMBERS['named'] = '+41445550100'
SERVER = '203.0.113.66'     # of the trunk that is a name: the host alien
CONFIG = {'trunk': {}, 'extra': 'media { workers = 1  quarantine = 1s }\n'
          'dns { servers = { "%s:53", "%s:53" } }\n' % (FIRST[1], SECOND[1])}
CASES = []

ZONE = '''named.example. 2 IN SRV 10 0 5064 never.example.
_sip._udp.named.example. 2 IN SRV 10 0 5064 sbc.named.example.
sbc.named.example. 2 IN A %s
''' % SERVER
FULL = '''@. 60 IN NAPTR 30 10 "s" "SIP+D2U" "" _sip._udp.@.
@. 60 IN NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.@.
@. 60 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.@.
@. 60 IN NAPTR 5 10 "s" "SIP+D2W" "" _sip._ws.@.
_sip._udp.@. 60 IN SRV 20 0 5064 u2.@.
_sip._udp.@. 60 IN SRV 10 0 5064 u1.@.
_sip._tcp.@. 60 IN SRV 10 0 5064 t1.@.
_sips._tcp.@. 60 IN SRV 10 0 5061 s1.@.
u1.@. 60 IN A 203.0.113.101
u2.@. 60 IN AAAA 2001:db8:b::102
u2.@. 60 IN A 203.0.113.102
t1.@. 60 IN A 203.0.113.103
s1.@. 60 IN A 203.0.113.104
@. 60 IN A 203.0.113.105
'''
ZONE += ''.join(FULL.replace('@', z + '.example') for z in ('port', 'transport', 'alone'))
ZONE += ''.join('fresh%d.example. 60 IN A 203.0.113.%d\n' % (i, 110 + i) for i in range(13))


def case(fn):
    CASES.append(fn)
    return fn


def prepare(box):
    box.servers = {}
    for where in (FIRST, SECOND):
        serve(box, where)


def serve(box, where, zone=ZONE, kind='static', more=''):
    """unbound on that host; kind is unbound's word for what it says of the zone. Outlives the cases."""
    host, address = where
    stop(box, where)
    d = box.lab.path('unbound-' + host)
    os.makedirs(d, exist_ok=True)
    with open(d + '/u.conf', 'w') as f:
        f.write('server:\n\tinterface: %s\n\taccess-control: 0.0.0.0/0 allow\n\tchroot: ""\n\tusername: ""\n\tdirectory: "%s"\n'
                '\tpidfile: ""\n\tdo-daemonize: no\n\tuse-syslog: no\n\tlog-queries: yes\n\tverbosity: 1\n'
                '\tmodule-config: "iterator"\n' % (address, d))
        if kind:
            f.write('\tlocal-zone: "example." %s\n' % kind)
        if kind == 'static':
            f.write('\tlocal-data: "example. 2 IN SOA ns.example. root.example. 1 2 2 2 2"\n')
            for l in zone.strip().split('\n'):
                f.write("\tlocal-data: '%s'\n" % l)
        f.write(more + 'remote-control:\n\tcontrol-enable: no\n')
    p = box.lab.run(host, ['unbound', '-d', '-c', d + '/u.conf'], 'unbound')
    box.lab.keep(p)
    box.servers[host] = p
    wait('unbound to listen', lambda: listening(host, 'udp', address, 53) or not p.running(), 8)
    check(p.running(), 'unbound: ' + p.text()[-400:])


def stop(box, where):
    p = box.servers.pop(where[0], None)
    if p:
        box.lab.procs.append(p)
        p.stop(seconds=5)


def both(box, *a, **k):
    for where in (FIRST, SECOND):
        serve(box, where, *a, **k)


def questions(box):
    """What the first server was asked since it started: ["SRV _sip._udp.named.example"]."""
    out = []
    for l in box.servers[FIRST[0]].text().split('\n'):
        w = l.split()
        if ' info: %s ' % BOX[('wan', 4)] in l and w[-1] == 'IN':
            out.append('%s %s' % (w[-2], w[-3].rstrip('.')))
    return out


def state(box, trunk):
    import json
    names = json.loads(box.cli('dns', 'show', trunk, '-j', ok=None)[1])['data']['names']
    return names[0]['state'] if names else ''


def add(box, name, *settings, role='itsp'):
    box.cli('trunk', 'add', name, 'role=' + role, 'realm=wan', 'probe=off', *settings)
    box.undoing.append(('trunk', 'del', name))


def add_named(box, *settings):
    """The trunk that is a name, and a route to it."""
    add(box, 'named', 'target=named.example', 'transport=udp', *settings)
    box.cli('route', 'add', 'named', '--to', '+41*', '--via', 'named')
    box.undoing.append(('route', 'del', 'named'))
    wait('the name to be located', lambda: state(box, 'named') == 'good', 8, 0.05)


def far(box):
    u = Ua(box.lab, 'alien', 5064)
    u.realm, u.family, u.trunk, u.hop = 'wan', 4, 'named', hop('wan')
    return u


def one_call(box, ub=None):
    """A whole call to the trunk that is a name; the seconds from INVITE to INVITE."""
    c = Call(box, 'pbx', 'named', ub=ub or far(box))
    t = time.monotonic()
    c.invite()
    c.arrive()
    t = time.monotonic() - t
    c.ring()
    c.answer()
    c.ack()
    c.bye()
    box.lab.close()
    return t


# ------------------------------------------------------------------------------ what is asked

SHAPES = [
    ('number', '203.0.113.101', [], []),
    ('port', 'port.example:5070', ['A port.example', 'AAAA port.example'], []),
    ('transport', 'transport.example/tcp', ['SRV _sip._tcp.transport.example', 'A t1.transport.example', 'AAAA t1.transport.example'],
     ['t1.transport.example']),
    ('alone', 'alone.example', ['NAPTR alone.example', 'SRV _sip._tcp.alone.example', 'SRV _sip._udp.alone.example',
                                'A t1.alone.example', 'AAAA t1.alone.example', 'A u1.alone.example', 'AAAA u1.alone.example',
                                'A u2.alone.example', 'AAAA u2.alone.example'],
     ['t1.alone.example', 'u1.alone.example', 'u2.alone.example']),
]


@case
def four_shapes(box):
    """the server's log of questions for a number, a name with a port, with a transport, alone: what RFC 3263 asks, no more"""
    import json
    for shape, target, want, order in SHAPES:
        serve(box, FIRST)
        add(box, 'shape-' + shape, 'target=' + target)
        if not want:
            box.cli('trunk', 'show', 'shape-' + shape, ok=None)
            time.sleep(0.5)     # nothing to wait for: no question may come
        else:
            wait('the name to be located', lambda: state(box, 'shape-' + shape) == 'good', 8, 0.05)
        asked = questions(box)
        # who calls from there is found by the same servers; of a name alone that asks for TLS as well
        spare = {'SRV _sips._tcp.alone.example', 'A s1.alone.example', 'AAAA s1.alone.example'} if shape == 'alone' else set()
        check(set(want) <= set(asked) and set(asked) <= set(want) | spare, '%s: asked %s, wanted %s' % (shape, asked, want))
        check(len(asked) == len(set(asked)), '%s: asked twice: %s' % (shape, asked))
        if order:   # by NAPTR order, then SRV priority; the NAPTR of a transport we do not speak is passed over
            plan = json.loads(box.cli('dns', 'plan', 'shape-' + shape, '-j', ok=None)[1])['data']
            text = json.dumps(plan)
            at = [text.find(n) for n in order]
            check(-1 not in at and at == sorted(at), '%s: %s' % (shape, text[:600]))
            check('s1.' not in text and '_ws' not in text, text[:600])
        box.cli('trunk', 'del', 'shape-' + shape)
        box.undoing.pop()
        stop(box, FIRST)
    serve(box, FIRST)


# ------------------------------------------------------------------------------ who is recognised

@case
def live_set(box):
    """the zone moves: calls go to the new address, the old one is heard for address-grace, then it is a stranger; back, it is heard"""
    add_named(box, 'address-grace=3s')
    pbx, u = party(box, 'pbx'), far(box)

    def heard():
        t = u.request('INVITE', uri(NUMBERS['pbx'], 'wan'), NUMBERS['named'], NUMBERS['pbx'], body=sdp(u.addr, 30000))
        u.raw(t, u.hop)
        try:
            m = pbx.expect('INVITE', 1.5)
        except Failed:
            check(not u.others, 'a stranger was answered %s' % [x.start for x in u.others])
            return False
        pbx.reply(m, 486, 'Busy', tag='b')
        a = u.expect(lambda x: x.status == 486, 3)
        ack_failure(u, t, a, u.hop)
        pbx.expect('ACK')
        return True
    check(heard(), 'a call from the address the name has was not heard')
    moved = ZONE.replace(SERVER, '203.0.113.20')
    both(box, moved)
    t = time.monotonic()
    wait('the new address', lambda: '203.0.113.20:5064' in box.cli('trunk', 'show', 'named', ok=None)[1], 8, 0.05)
    print('# zone moved: new address in force after %.1f s (TTL 2 s)' % (time.monotonic() - t))
    check(heard(), 'an address that left a moment ago was not heard within address-grace')
    wait('the old address to be a stranger', lambda: not heard(), 10, 0.2)
    both(box)
    wait('the address that is back', heard, 10, 0.2)


# ------------------------------------------------------------------------------ servers that fail

FAULTS = [
    ('REFUSED', dict(kind='refuse'), 'stale'),
    ('SERVFAIL', dict(kind=None, more='forward-zone:\n\tname: "example."\n\tforward-addr: 127.0.0.1@9\n'), 'stale'),
    ('silence', dict(kind='deny', zone=''), 'stale'),
    ('nobody there', None, 'stale'),
    ('no such name', dict(kind='static', zone='x.example. 2 IN A 192.0.2.1'), 'empty'),
    ('no such record', dict(kind='static', zone='named.example. 2 IN TXT "x"'), 'empty'),
]


@case
def faults(box):
    """all DNS servers refuse, fail, say nothing, are gone: calls go on by the last answers; each recovers by itself"""
    add_named(box)
    one_call(box)
    for name, how, want in FAULTS:
        for where in (FIRST, SECOND):
            if how:
                serve(box, where, **how)
            else:
                stop(box, where)
        wait('%s to be noticed' % name, lambda: state(box, 'named') == want, 20, 0.1)
        if want == 'stale':
            t = one_call(box)
            recovered('DNS servers: %s; a call meanwhile' % name, t)
            check(t < 1, '%s: a call took %.2f s to be set up' % (name, t))
        else:
            c = Call(box, 'pbx', 'named', ub=far(box))
            inv = c.invite()
            m = c.a.expect(lambda m: m.status >= 300, 4)
            ack_failure(c.a, inv, m, c.a.hop)
            check(any('PSN-E1032' in r or 'E1032' in r or 'DNS' in r for r in m.all('reason') + [box.cli('cdr', 'tail', '-n', 3)[1]]),
                  '%s: refused with %s %s' % (name, m.start, m.all('reason')))
            box.lab.close()
        both(box)
        t = time.monotonic()
        wait('%s to be over' % name, lambda: state(box, 'named') == 'good', 25, 0.05)
        one_call(box)
        recovered('DNS servers: %s; until the name is good again' % name, time.monotonic() - t)


@case
def first_server_dead(box):
    """the first DNS server is silent: a new name is found by the second within a second, later ones without delay"""
    def locate(name):
        t = time.monotonic()
        add(box, name, 'target=%s.example:5064' % name.replace('n', 'fresh'), 'transport=udp')
        wait('the name to be located', lambda: state(box, name) == 'good', 8, 0.01)
        return time.monotonic() - t
    # what the commands themselves cost on this machine is measured first, with both servers there
    usual = sorted(locate('n%d' % i) for i in range(8, 13))[2]
    serve(box, FIRST, kind='deny', zone='')
    took = [locate('n%d' % i) - usual for i in range(8)]
    print('# first DNS server silent: new names later than usual (%.2f s) by %s s' % (usual, ' '.join('%.2f' % t for t in took)))
    check(0.3 <= took[0] < 2 and sorted(took[4:])[1] < 0.25, 'usual %.3f, more: %s' % (usual, took))
    rc, out = box.cli('dns', 'show', ok=None)
    check(FIRST[1] in out, out)
    serve(box, FIRST)


@case
def paused(box):
    """both DNS servers stop for 5 s: calls of other trunks and OPTIONS go on without delay"""
    add_named(box)
    a = Ua(box.lab, 'pbx0', 5062)
    a.realm, a.family, a.trunk, a.hop = 'lan', 4, 'pbx', hop('lan')
    b = Ua(box.lab, 'itsp0', 5064)
    b.realm, b.family, b.trunk, b.hop = 'wan', 4, 'itsp', hop('wan')
    for p in box.servers.values():
        os.kill(p.pid, signal.SIGSTOP)
    try:
        slow, n, t0 = 0.0, 0, time.monotonic()
        while time.monotonic() - t0 < 5:
            c = Call(box, 'pbx', 'itsp', ua=a, ub=b)
            t = time.monotonic()
            c.invite()
            c.arrive()
            slow = max(slow, time.monotonic() - t)
            c.ring()
            c.answer()
            c.ack()
            c.bye()
            o = a.request('OPTIONS', 'sip:ping@%s' % BOX[('lan', 4)], NUMBERS['pbx'], 'x')
            t = time.monotonic()
            a.raw(o, a.hop)
            a.expect(lambda m: m.status == 200 and m.method == 'OPTIONS', 1)
            slow = max(slow, time.monotonic() - t)
            n += 1
            time.sleep(0.02)        # no more calls than the ports allow, which rest a second each
        box.cli('dns', 'flush', ok=None)
    finally:
        for p in box.servers.values():
            os.kill(p.pid, signal.SIGCONT)
    print('# DNS stopped for 5 s: %d calls, the slowest step %.0f ms' % (n, slow * 1000))
    check(n > 10 and slow < 2, '%d calls, slowest %.3f s' % (n, slow))
    wait('the name to be well', lambda: state(box, 'named') == 'good', 20, 0.1)
