"""We register at a provider whose pool shares nothing (pool.py): its name leads to three registrars, and nothing may go to
one that does not hold the registration, whatever becomes of the others."""
import time

import peers
from box import NUMBERS, hop
from kamailio import REALM, SECRET
from lab import check, recovered, wait
from pool import PORT, Pool
from raw import party
from sip import Dialog, ack_failure, cancel, sdp
from t_locate import serve as serve_zone, stop as stop_zone
from t_regclient import shown

HOSTS = ['itsp0', 'itsp1', 'itsp3']
DNS = ('alien', '203.0.113.66')
CONFIG = {'extra': 'media { workers = 1  quarantine = 1ms }\ndns { servers = { "%s:53" } }\n' % DNS[1],
          'lan': (16384, 26383), 'wan': (26384, 36383)}
TO = '+39021234567'
CALLS, RATE = 10000, 220
ZONE = '_sip._udp.pool.example. 60 IN SRV 10 10 %d m0.pool.example.\n' % PORT
ZONE += ''.join('_sip._udp.pool.example. 60 IN SRV %d 10 %d m%d.pool.example.\n' % (10 + (i > 0), PORT, i) for i in (1, 2))
ZONE += ''.join('m%d.pool.example. 60 IN A %s\n' % (i, a) for i, a in enumerate(('203.0.113.20', '203.0.113.21', '203.0.113.23')))


def prepare(box):
    box.servers = {}
    serve_zone(box, DNS, ZONE)


def add(box, *more):
    box.cli('trunk', 'add', 'prov', 'role=itsp', 'realm=wan', 'target=pool.example', 'transport=udp', 'domain=' + REALM, 'aor=trunk42',
            'auth=register', 'expires=60s', 'reg-sticky=yes', 'probe=10s', 'try-timeout=1s', *more)
    box.cli('trunk', 'password', 'prov', '--user', 'trunk42', stdin=SECRET + '\n')
    box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')


def drop(box):
    box.cli('route', 'del', 'prov', ok=None)
    box.cli('trunk', 'del', 'prov', '--with-numbers', '--force', '--yes', ok=None)


def moved(pool, old, what, t):
    wait('the registration to move (%s)' % what, lambda: pool.holder() is not old and pool.holder().held, 10, 0.005)
    recovered('registrar of a pool %s: registered at another' % what, time.monotonic() - t)
    return pool.holder()


def sticky(box):
    """a pool of three registrars that share nothing, two of which fail: 10,000 calls, none is lost, and not one request goes to one that does not hold the registration"""
    pool = Pool(HOSTS, 'trunk42', REALM, SECRET)
    add(box)
    try:
        wait('the registration', lambda: shown(box)['state'] == 'registered', 8)
        first = pool.holder()
        s = peers.Sipp(box.lab, 'pool', 'pbx0', 'itsp0', 'lan', called=TO, calling=NUMBERS['pbx'], calls=CALLS, rate=RATE, seconds=150, trace=False)
        until = lambda n: wait('%d calls' % n, lambda: pool.calls() >= n or not s.uac.running(), 90, 0.01)
        t0 = time.monotonic()
        until(CALLS * 3 // 10)
        t = time.monotonic()
        first.close()
        second = moved(pool, first, 'killed', t)
        n = pool.calls()
        until(n + CALLS * 3 // 10)
        t = time.monotonic()
        second.silent = True
        third = moved(pool, second, 'falls silent', t)
        first.open()            # and what it was told still holds there
        until(CALLS * 9 // 10)
        second.silent = False
        box.cli('trunk', 'register', 'prov')     # a refresh: to where it is held
        s.finish()
        took = time.monotonic() - t0
        strays = [x for m in pool.members for x in m.strays]
        check(not strays, '%d requests to a registrar that holds nothing: %s' % (len(strays), strays[:4]))
        misplaced = [x for m in pool.members for x in m.misplaced]
        check(not misplaced, '%d requests to a registrar that is not the newest: %s' % (len(misplaced), misplaced[:4]))
        check(third is pool.holder() and third.count.get('REGISTER', 0) >= 3, 'the refresh went elsewhere')
        check(len({m.nonce for m in pool.members}) == 3 and all(m.challenges for m in (first, second, third)), 'nobody was challenged')
        check(sum(m.count.get('OPTIONS', 0) for m in pool.members) >= 2, 'no OPTIONS was sent')
        check(all(m.count.get('INVITE', 0) > 500 for m in (first, second, third)), str([m.count for m in pool.members]))
        print('# %d calls in %.0f s at %s; none went to a registrar that does not hold the registration' % (
            CALLS, took, ', '.join('%s %d' % (m.host, m.count.get('INVITE', 0)) for m in pool.members)))
    finally:
        drop(box)
        wait('it to be taken back', lambda: pool.holder().held == 0 or pool.error, 5)
        pool.stop()


def nobody(box):
    """a pool that falls silent as a whole: a call that waits for its registration to move can be given up, one that is not ends in time; back, the next call is answered"""
    pool = Pool(HOSTS, 'trunk42', REALM, SECRET)
    pbx = party(box, 'pbx')
    add(box, 'setup-budget=5s', 't1=100ms')
    try:
        wait('the registration', lambda: shown(box)['state'] == 'registered', 8)
        first = pool.holder()
        for m in pool.members:
            m.silent = True
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        wait('another one to be asked', lambda: any(m.dropped for m in pool.members if m is not first), 5)
        cancel(pbx, t, hop('lan'))
        m = pbx.expect(lambda m: m.status >= 200 and m.method == 'INVITE')
        check(m.status == 487, m.start)
        ack_failure(pbx, t, m, hop('lan'))
        wait('it to be gone', lambda: box.calls() == 0, 3)
        t0 = time.monotonic()
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        m = pbx.expect(lambda m: m.status >= 200 and m.method == 'INVITE' and m.get('call-id') in t, 12)
        check(m.status in (408, 503, 500), m.start)
        check(time.monotonic() - t0 < 10, 'it took %.1f s' % (time.monotonic() - t0))
        ack_failure(pbx, t, m, hop('lan'))
        for m in pool.members:
            m.silent = False
        box.cli('trunk', 'register', 'prov')
        wait('the registration', lambda: shown(box)['up'] and shown(box)['state'] == 'registered', 8)
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        ok = pbx.expect(lambda m: m.status >= 200 and m.method == 'INVITE' and m.get('call-id') in t, 5)
        check(ok.status == 200, ok.start)
        d = Dialog(pbx, True, t, ok, hop('lan'))
        d.ack(d.invite_cseq)
        d.request('BYE')
        pbx.expect(lambda m: m.status == 200 and m.method == 'BYE')
    finally:
        drop(box)
        pbx.close()
        pool.stop()


CASES = [sticky, nobody]
