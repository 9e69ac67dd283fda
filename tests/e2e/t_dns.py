"""Names as an administrator meets them: a real DNS server (unbound) on the provider's side, what a name leads to, what
the servers say, asking again, a server that dies, a trunk over TLS that is found by NAPTR and SRV.
"""
import os
import re
import time

import t_tls
from lab import check, listening, wait
from t_tls import Ca, TLS_PORT, kamailio, rows_of

DNS = '203.0.113.22'
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'},
          'listen': {'wan': ['tls 203.0.113.1:%d' % TLS_PORT]},
          'extra': ''}
CASES = []

ZONE = '''itsp.example. 4 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.itsp.example.
itsp.example. 4 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.itsp.example.
_sips._tcp.itsp.example. 4 IN SRV 10 60 5061 sbc7.pop.example.
_sip._udp.itsp.example. 4 IN SRV 10 60 5064 sbc7.pop.example.
sbc7.pop.example. 4 IN A 203.0.113.20
plain.example. 4 IN A 203.0.113.21
plain.example. 4 IN AAAA 2001:db8:b::21
nothing.example. 4 IN TXT "no address"
_sip._udp.closed.example. 4 IN SRV 0 0 0 .
_sip._tcp.closed.example. 4 IN SRV 0 0 0 .
_sips._tcp.closed.example. 4 IN SRV 0 0 0 .
'''


def case(fn):
    CASES.append(fn)
    return fn


def prepare(box):
    t_tls.prepare(box)
    box.config['extra'] += 'dns { servers = { "%s:53" } }\n' % DNS
    serve(box)


def serve(box, zone=ZONE):
    """The DNS server with that zone. Outlives the cases: not among the programs that a case leaves behind."""
    d = box.lab.path('unbound')
    os.makedirs(d, exist_ok=True)
    with open(d + '/u.conf', 'w') as f:
        f.write('server:\n\tinterface: %s\n\taccess-control: 0.0.0.0/0 allow\n\tchroot: ""\n\tusername: ""\n\tdirectory: "%s"\n'
                '\tpidfile: ""\n\tdo-daemonize: no\n\tuse-syslog: no\n\tlog-queries: yes\n\tverbosity: 1\n\tmodule-config: "iterator"\n'
                '\tlocal-zone: "example." static\n' % (DNS, d))
        f.write('\tlocal-data: "example. 4 IN SOA ns.example. root.example. 1 4 4 4 4"\n')
        for l in zone.strip().split('\n'):
            f.write("\tlocal-data: '%s'\n" % l)
        f.write('remote-control:\n\tcontrol-enable: no\n')
    p = box.lab.run('itsp2', ['unbound', '-d', '-c', d + '/u.conf'], 'unbound')
    box.lab.keep(p)
    box.dns = p
    wait('unbound to listen', lambda: listening('itsp2', 'udp', DNS, 53) or not p.running(), 8)
    check(p.running(), 'unbound: ' + p.text()[-400:])


def stop(box):
    p = box.dns
    box.lab.procs.append(p)
    p.stop()


def add_trunk(box, name, *settings):
    box.cli('trunk', 'add', name, 'role=itsp', 'realm=wan', *settings)
    box.undoing.append(('trunk', 'del', name))


@case
def plans(box):
    """dns plan: NAPTR to SRV to address; two families of one name; no such name; no address; a service that is refused"""
    rc, out = box.cli('dns', 'plan', 'sip:itsp.example', '--realm', 'wan', ok=None)
    check(rc == 0 and 'naptr' in out and 'sbc7.pop.example' in out and '203.0.113.20:5061' in out and '203.0.113.20:5064' in out, out)
    check(out.index(':5061') < out.index(':5064'), out)
    rc, out = box.cli('dns', 'plan', 'sip:plain.example:5070;transport=tcp', '--realm', 'wan', ok=None)
    check(rc == 0 and '203.0.113.21:5070' in out and '[2001:db8:b::21]:5070' in out, out)
    for name, code in (('none.example', 'PSN-E1032'), ('nothing.example', 'PSN-E1033'), ('closed.example', 'PSN-E1034')):
        rc, out = box.cli('dns', 'plan', name, '--realm', 'wan', ok=None)
        check(rc == 2 and code in out, '%s: exit %d: %s' % (name, rc, out))
    check(rows_of(box, 'dns', 'show')['total'] == 0, 'what was typed is still watched')


@case
def shows_and_flushes(box):
    """dns show TRUNK: every record with its TTL; dns flush: the new zone is in force at once, the old one until then"""
    add_trunk(box, 'byname', 'target=itsp.example', 'transport=udp', 'probe=off', 'identify=tls-name', 'tls-names=x.example')
    wait('the name to be located', lambda: rows_of(box, 'dns', 'show', 'byname')['names'][0]['state'] == 'good', 5, 0.1)
    rc, out = box.cli('dns', 'show', 'byname', ok=None)
    check(rc == 0 and 'SRV' in out and 'sbc7.pop.example' in out and DNS in out, 'exit %d: %s' % (rc, out))
    rc, out = box.cli('trunk', 'show', 'byname', ok=None)
    check('203.0.113.20:5064' in out and 'srv' in out, out)
    rc, out = box.cli('dns', 'plan', 'byname', ok=None)
    check(rc == 0 and '203.0.113.20:5064' in out, out)
    stop(box)
    serve(box, ZONE.replace('5064', '5066'))
    try:
        box.cli('dns', 'flush', '_sip._udp.itsp.example')
        wait('the new port', lambda: '203.0.113.20:5066' in box.cli('trunk', 'show', 'byname', ok=None)[1], 5, 0.1)
    finally:
        stop(box)
        serve(box)
    rc, out = box.cli('dns', 'flush', 'never.example', ok=None)
    check(rc == 2 and 'PSN-E5012' in out, out)


@case
def dead_server(box):
    """the only DNS server dies: the last good answer stays in use and status says that it is old; back, it says nothing"""
    add_trunk(box, 'byname', 'target=itsp.example', 'transport=udp', 'probe=off', 'identify=tls-name', 'tls-names=x.example')
    wait('the name to be located', lambda: rows_of(box, 'dns', 'show', 'byname')['names'][0]['state'] == 'good', 5, 0.1)
    stop(box)
    try:
        wait('the answer to be old', lambda: rows_of(box, 'dns', 'show', 'byname')['names'][0]['state'] == 'stale', 40, 0.3)
        rc, out = box.cli('status', ok=None)
        check(rc >= 1 and re.search(r'(WARN|ERROR) +dns', out) and 'old answers' in out, 'exit %d: %s' % (rc, out))
        rc, out = box.cli('trunk', 'show', 'byname', ok=None)
        check('203.0.113.20:50' in out and 'stale' in out, out)
        rc, out = box.cli('why', 'trunk', 'byname', ok=None)
        check('old answers' in out, out)
        rc, out = box.cli('dns', 'show', ok=None)
        check(rc >= 1, out)
    finally:
        serve(box)
    wait('the name to be well', lambda: rows_of(box, 'dns', 'show', 'byname')['names'][0]['state'] == 'good', 40, 0.3)
    wait('status to be quiet', lambda: 'old answers' not in box.cli('status', ok=None)[1], 5, 0.2)


@case
def tls_by_name(box):
    """a TLS trunk found by NAPTR and SRV: the certificate names the domain, not the server the DNS led to, and that is right"""
    kamailio(box)
    add_trunk(box, 'kam', 'target=itsp.example', 'transport=tls', 'identify=tls-name', 'tls-cert=edge', 'probe=off')
    wait('the name to be located', lambda: rows_of(box, 'dns', 'show', 'kam')['names'][0]['state'] == 'good', 5, 0.1)
    rc, out = box.cli('trunk', 'test', 'kam', ok=None)
    check(rc == 0 and 'sbc7.pop.example' in out and re.search(r'opt +200 in ', out), 'exit %d: %s' % (rc, out))
    rc, out = box.cli('tls', 'probe', 'sips:itsp.example', '--cert', 'edge', '--realm', 'wan', ok=None)
    check(rc == 0 and 'sbc7.pop.example' in out and '203.0.113.20:5061' in out, 'exit %d: %s' % (rc, out))


@case
def tls_by_wrong_name(box):
    """the same server reached under another domain: refused, with both names (RFC 5922 7.3)"""
    stop(box)
    serve(box, ZONE + '_sips._tcp.other.example. 4 IN SRV 10 60 5061 sbc7.pop.example.\n')
    kamailio(box)
    add_trunk(box, 'kam', 'target=other.example', 'transport=tls', 'identify=tls-name', 'tls-cert=edge', 'probe=off')
    wait('the name to be located', lambda: rows_of(box, 'dns', 'show', 'kam')['names'][0]['state'] == 'good', 5, 0.1)
    rc, out = box.cli('trunk', 'test', 'kam', ok=None)
    flat = ' '.join(out.split())
    check(rc == 2 and 'PSN-E1040' in out and 'itsp.example' in flat and 'other.example' in flat, 'exit %d: %s' % (rc, out))
