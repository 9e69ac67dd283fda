"""We register at a provider: Kamailio as its registrar and proxy."""
import hashlib
import json
import re
import signal
import time

from box import NUMBERS, hop, rows
from kamailio import Kamailio, REALM, SECRET, config
from lab import ITSP_PORT, addr, check, recovered, wait
from raw import party
from sip import Dialog, Ua, ack_failure, sdp

CONFIG = {}
HOST, FAR, FAR_PORT = 'itsp3', 'itsp2', 5070
TO = '+39021234567'

CFG = config('tm sl rr pv textops siputils xlog auth usrloc registrar', '''modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", %(expires)d)
modparam("registrar", "min_expires", %(min)d)
modparam("auth", "algorithm", "%(alg)s")
''', '''		xlog("L_ERR", "GOT $ru aor=$tu ci=$ci cs=$cs contact=$ct auth=$au\\n");
		if (is_present_hf("Require") && $hdr(Require) =~ "gin") {
			append_to_reply("Unsupported: gin\\r\\n");
			sl_send_reply("420", "Bad Extension");
			exit;
		}
		if (!pv_www_authenticate("%(realm)s", "%(secret)s", "0")) {
			www_challenge("%(realm)s", "0");
			exit;
		}
		append_to_reply("Service-Route: <sip:203.0.113.23:5064;lr>\\r\\n");
		if (save("location")) xlog("L_ERR", "SAVED $tU contact=$ct\\n");
''')


class Provider(Kamailio):
    def __init__(self, box, secret=SECRET, alg='SHA-256', expires=3600, min_expires=0, cfg=CFG):
        super().__init__(box, HOST, addr(HOST), cfg, realm=REALM, secret=secret, alg=alg, expires=expires, min=min_expires,
                         far=addr(FAR))


def add(box, name='prov', user='trunk42', *more):
    box.cli('trunk', 'add', name, 'role=itsp', 'realm=wan', 'target=203.0.113.23:%d' % ITSP_PORT, 'domain=' + REALM,
            'probe=off', 'aor=' + user, 'address=203.0.113.23', *(more if 'auth=static' in more else ('auth=register',) + more))


def drop(box, *names):
    for n in names:
        box.cli('trunk', 'del', n, '--with-numbers', '--force', '--yes', ok=None)


def password(box, name, secret=SECRET, user='trunk42'):
    box.cli('trunk', 'password', name, '--user', user, stdin=secret + '\n')


def shown(box, name='prov'):
    out = box.cli('reg', 'list', '-j', ok=None)[1]      # its exit status is how things stand
    return next(l for l in json.loads(out)['data']['registrations'] if l['trunk'] == name)


def registered(box, name='prov', state='registered'):
    def is_there():
        l = shown(box, name)
        return l if l['state'] == state else None
    return wait('%s to be %s' % (name, state), is_there, 6)


def to_us(box, account, called=NUMBERS['pbx'], to=None, pbx=None):
    """A call of the provider's for one of its customers: the INVITE as the PBX gets it; refused by it."""
    far, own = Ua(box.lab, FAR, 5072), None if pbx else party(box, 'pbx')
    pbx = pbx or own
    k = {'to': to} if to else {}
    t = far.request('INVITE', 'sip:%s@%s' % (called, REALM), TO, called, headers=['X-Account: ' + account],
                    body=sdp(far.addr, 30000), **k)
    far.raw(t, (addr(HOST), ITSP_PORT))
    inv = pbx.expect('INVITE')
    pbx.reply(inv, 486, 'Busy Here', tag='p')
    pbx.expect('ACK')
    m = far.expect(lambda m: m.status >= 200)
    check(m.status == 486, m.start)
    ack_failure(far, t, m, (addr(HOST), ITSP_PORT))
    far.close()
    if own:
        own.close()
    return inv


def calls(box):
    """registers with digest, calls both ways, is refreshed on demand, and unregisters when disabled"""
    pr = Provider(box)
    add(box, 'prov', 'trunk42', 'reg-needed=yes')
    try:
        box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
        # no password yet: refused after two tries, and said
        l = registered(box, state='rejected')
        check(l['code'] == 'PSN-E1102' and l['realm'] == REALM, str(l))
        rc, out = box.cli('status', ok=None)
        check(rc == 2 and 'trunk prov is not registered' in out, out)
        check(box.cli('reg', 'show', 'prov', ok=None)[0] == 2, 'reg show is content')
        # calls wait for it
        pbx = party(box, 'pbx')
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        m = pbx.expect(lambda m: m.status >= 200)
        check(m.status == 503, m.start)
        ack_failure(pbx, t, m, hop('lan'))
        n = len(pr.got())
        password(box, 'prov')
        l = registered(box)
        check(l['at'] == 'udp 203.0.113.23:%d' % ITSP_PORT and 3500000 < l['expires_ms'] <= 3600000 and l['kind'] == 'aor', str(l))
        rc, out = box.cli('status', ok=None)
        check(rc == 0 and 'not registered' not in out, out)
        got = pr.got()[n:]
        check(len(got) == 2 and got[0][4] == '<null>' and got[1][4] == 'trunk42', str(got))
        check(got[0][1] == got[1][1] and int(got[1][2]) == int(got[0][2]) + 1 and got[0][0] == 'sip:trunk42@' + REALM, str(got))
        # one in: the number in the request URI decides, To may say anything
        inv = to_us(box, 'trunk42', to='<sip:5550102@somewhere.example.net>', pbx=pbx)
        check(inv.start.startswith('INVITE sip:%s@' % NUMBERS['pbx']), inv.start)
        box.cdrs(1, from_trunk='prov', to_trunk='pbx')
        # one out, answered and ended; Service-Route is its Route
        far = Ua(box.lab, FAR, FAR_PORT)
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        inv = far.expect('INVITE')
        check('loose' not in inv.start and inv.start.startswith('INVITE sip:%s@%s' % (TO, REALM)), inv.start)
        far.reply(inv, 200, 'OK', tag='f', body=sdp(far.addr, 30002, session='3'))
        ok = pbx.expect(lambda m: m.status == 200)
        d = Dialog(pbx, True, t, ok, hop('lan'))
        d.ack(d.invite_cseq)
        far.expect('ACK')
        d.request('BYE')
        bye = far.expect('BYE')
        far.reply(bye, 200, 'OK')
        pbx.expect(lambda m: m.status == 200 and m.method == 'BYE')
        far.close()
        pbx.close()
        check('OUT INVITE route=<sip:203.0.113.23:5064;lr>' in pr.p.text(), 'Route: ' + pr.p.text()[-400:])
        check(shown(box)['service_route'] == '<sip:203.0.113.23:5064;lr>', str(shown(box)))
        # refreshed: credentials at once, the same Call-ID
        before = pr.got()
        box.cli('trunk', 'register', 'prov')
        wait('a refresh', lambda: len(pr.got()) > len(before), 5)
        g = pr.got()[len(before)]
        check(g[1] == before[-1][1] and int(g[2]) == int(before[-1][2]) + 1 and g[4] == 'trunk42', str(g))
        registered(box)
        box.cli('trunk', 'disable', 'prov')
        registered(box, state='stopped')
        check('expires=0' in pr.got()[-1][3], str(pr.got()[-1]))
        what = [e['what'] for e in box.json('reg', 'history', 'prov')['events']]
        check(any('taken back' in w for w in what) and 'registered' in what, str(what))
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')
        pr.stop()


def wrong_password(box):
    """a wrong password is tried twice and not again; the right one ends the wait"""
    pr = Provider(box, alg='MD5')
    add(box, 'prov', 'trunk42')
    try:
        password(box, 'prov', 'not the one')
        wait('it to be refused', lambda: shown(box)['state'] == 'rejected' and shown(box)['code'] == 'PSN-E1101', 6)
        n = len(pr.got())
        l = shown(box)
        check(l['next_ms'] > 55000, str(l))
        password(box, 'prov')
        registered(box)
        got = pr.got()[n:]
        check(len(got) == 2, str(got))
    finally:
        drop(box, 'prov')
        pr.stop()


def no_gin(box):
    """a provider without GIN: one fallback to a plain registration, with an alarm"""
    pr = Provider(box)
    add(box, 'prov', 'trunk42')
    try:
        password(box, 'prov')
        registered(box)
        box.cli('trunk', 'set', 'prov', 'auth=gin')
        wait('the fallback', lambda: shown(box)['state'] == 'registered' and shown(box)['kind'] == 'aor (gin refused)', 6)
        contacts = [g[3] for g in pr.got()]
        check(sum(';bnc' in c for c in contacts) == 1 and ';bnc' not in contacts[-1], str(contacts))
        rc, out = box.cli('status', ok=None)
        check(rc == 1 and 'does not know GIN' in out, out)
        box.cli('trunk', 'register', 'prov')
        wait('GIN to be tried again', lambda: sum(';bnc' in g[3] for g in pr.got()) == 2, 5)
        wait('the fallback', lambda: shown(box)['state'] == 'registered', 5)
    finally:
        drop(box, 'prov')
        pr.stop()


def two_customers(box):
    """two trunks at one address of a provider: what each registered leads its calls to it; they unregister at the end"""
    pr = Provider(box, expires=120)
    add(box, 'one', 'trunk42')
    add(box, 'two', 'trunk43')
    try:
        password(box, 'one')
        password(box, 'two', user='trunk43')
        registered(box, 'one')
        check(registered(box, 'two')['granted_s'] == 120, str(shown(box, 'two')))
        for account, trunk in (('trunk43', 'two'), ('trunk42', 'one'), ('trunk43', 'two')):
            n = len(rows(box.json('cdr', 'tail', '-n', 1000)))
            to_us(box, account)
            wait('its record', lambda: len(rows(box.json('cdr', 'tail', '-n', 1000))) > n, 4)
            last = rows(box.json('cdr', 'tail', '-n', 1000))[-1]
            check(last['from_trunk'] == trunk, '%s: %s' % (account, last))
        ids = {shown(box, n)['call_id'] for n in ('one', 'two')}
        box.proc.stop(signal.SIGTERM, 15)
        wait('both to be taken back', lambda: {g[1] for g in pr.got() if 'expires=0' in g[3]} >= ids, 3)
        box.start()
        registered(box, 'one')
        registered(box, 'two')
    finally:
        drop(box, 'one', 'two')
        pr.stop()


def numbers(box):
    """a provider that knows single numbers only: a hundred of them by one connection, one refused is said, calls both ways"""
    far, pbx = Ua(box.lab, HOST, ITSP_PORT, 'tcp'), party(box, 'pbx')
    refused = NUMBERS['pbx'][:-3] + '577'
    try:
        add(box, 'prov', 'pilot', 'target=203.0.113.23:%d/tcp' % ITSP_PORT, 'auth=numbers', 'reg-numbers=pbx', 'reg-needed=yes')
        box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
        seen, contacts = [], {}
        while len(set(seen)) < 100:
            m = far.expect('REGISTER', 5)
            number = re.search(r'sip:([^@]+)@' + REALM, m.get('to')).group(1)
            seen.append(number)
            if number == refused:
                far.reply(m, 403, 'Forbidden', tag='r')
                continue
            contacts[number] = re.search(r'<([^>]+)>', m.get('contact')).group(1)
            far.reply(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact')])
        check(len(seen) == 100 and far.accepted == 1, '%d REGISTERs by %d connections' % (len(seen), far.accepted))
        check(len(set(contacts.values())) == 99, 'contacts are shared')
        wait('all to be seen', lambda: shown(box)['numbers_held'] == 99, 3)
        l = shown(box)
        check(l['kind'] == 'numbers' and l['numbers'] == 100 and l['state'] == 'rejected', str(l))
        rc, out = box.cli('status', ok=None)
        check(rc == 1 and 'trunk prov: 1 of 100 numbers are not registered' in out, out)
        j = json.loads(box.cli('reg', 'numbers', 'prov', '-j', ok=None)[1])['data']
        check(j['total'] == 100 and j['missing'] == 1 and j['numbers'][0]['number'] == refused and j['numbers'][0]['code'] == 'PSN-E1122', str(j)[:400])
        # a call of the provider's, and one of the PBX's
        called = NUMBERS['pbx']
        t = far.request('INVITE', contacts[called], TO, called, to='<sip:%s@x>' % called, body=sdp(far.addr, 30000))
        far.raw(t, hop('wan'), next(iter(far.conns)))
        m = pbx.expect('INVITE')
        check(m.start.startswith('INVITE sip:%s@' % called), m.start)
        pbx.reply(m, 486, 'Busy', tag='b')
        ack_failure(far, t, far.expect(lambda m: m.status == 486), hop('wan'))
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, called, TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        m = far.expect('INVITE')
        far.reply(m, 486, 'Busy', tag='b')
        ack_failure(pbx, t, pbx.expect(lambda m: m.status == 486 and m.method == 'INVITE'), hop('lan'))
        # a number more, and one less
        box.cli('number', 'add', '+4930123777', 'pbx')
        m = far.expect('REGISTER')
        check('+4930123777@' in m.get('to') and 'expires=0' not in m.get('contact'), str(m))
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact')])
        wait('it to be held', lambda: shown(box)['numbers_held'] == 100, 3)
        box.cli('number', 'del', '+4930123777')
        m = far.expect('REGISTER')
        check('+4930123777@' in m.get('to') and 'expires=0' in m.get('contact'), str(m))
        far.reply(m, 200, 'OK', tag='r')
        check(far.accepted == 1, 'another connection')
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')
        far.close()
        pbx.close()


def numbers_with_digest(box):
    """a hundred numbers at Kamailio: one challenge serves them all, a call to one comes in, one out by it; all are taken back"""
    pr = Provider(box)
    far = Ua(box.lab, FAR, FAR_PORT)
    pbx = party(box, 'pbx')
    add(box, 'prov', 'trunk42', 'reg-numbers=pbx', 'auth=static')
    password(box, 'prov')
    box.cli('trunk', 'set', 'prov', 'auth=numbers')
    box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
    try:
        wait('a hundred', lambda: shown(box).get('numbers_held') == 100, 20)
        # (what the case before takes back may still come)
        got = wait('its log of them', lambda: [g for g in pr.got() if 'expires=0' not in g[3]] if
                   sum(g[4] != '<null>' and 'expires=0' not in g[3] for g in pr.got()) == 100 else None, 5)
        check(len({g[0] for g in got}) == 100 and len({g[1] for g in got}) == 100, 'addresses or Call-IDs are shared')
        asked = sum(g[4] == '<null>' for g in got)
        check(asked <= 5, '%d of %d REGISTERs were challenged' % (asked, len(got)))
        inv = to_us(box, NUMBERS['pbx'], pbx=pbx)
        check(inv.start.startswith('INVITE sip:%s@' % NUMBERS['pbx']), inv.start)
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        inv = far.expect('INVITE')
        far.reply(inv, 486, 'Busy', tag='b')
        far.expect('ACK')
        ack_failure(pbx, t, pbx.expect(lambda m: m.status == 486 and m.method == 'INVITE'), hop('lan'))
        n = len(pr.got())
        box.cli('trunk', 'disable', 'prov')
        wait('all to be taken back', lambda: sum('expires=0' in g[3] for g in pr.got()[n:]) >= 100, 15)
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')
        far.close()
        pbx.close()
        pr.stop()


def registers(m):
    """A REGISTER that is no end of one: that of a case before may come late."""
    return m.method == 'REGISTER' and not m.status and 'expires=0' not in m.get('contact')


def associated(box):
    """what the provider names as ours (P-Associated-URI): number check and reg numbers say what it left out"""
    far = Ua(box.lab, HOST, ITSP_PORT)
    base = NUMBERS['pbx'][:-3]
    try:
        add(box, 'prov', 'trunk42', 'auth=gin', 'reg-numbers=pbx')
        m = far.expect(registers)
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact'), 'P-Associated-URI: ' + ', '.join(
            '<sip:%s%d@%s>' % (base, i, REALM) for i in list(range(500, 577)) + list(range(578, 601)))])
        registered(box)
        rc, out = box.cli('number', 'check', ok=None)
        check(rc == 1 and 'trunk prov: the provider did not confirm 1 of 100 numbers, %s577 the first' % base in out, out)
        j = json.loads(box.cli('reg', 'numbers', 'prov', '-j', ok=None)[1])['data']
        check(j['missing'] == 1 and j['surplus'] == 1 and j['confirmed'] == 99, str(j))
        box.cli('trunk', 'register', 'prov')
        m = far.expect(registers)
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact'), 'P-Associated-URI: <sip:trunk42@%s>' % REALM])
        wait('it to name nothing', lambda: 'did not confirm' not in box.cli('number', 'check', ok=None)[1], 3)
    finally:
        drop(box, 'prov')
        far.close()


def names(box):
    """our address in the bulk Contact: the one that a reload advertises, at once; a name of the inside, with our address in Path; calls come in by both"""
    far, pbx = Ua(box.lab, HOST, ITSP_PORT), party(box, 'pbx')

    def comes(contact, headers=()):
        ruri = contact.replace('sip:', 'sip:%s@' % NUMBERS['pbx']).replace(';bnc', '')
        t = far.request('INVITE', ruri, TO, '', to='<sip:%s@prov.example>' % NUMBERS['pbx'], body=sdp(far.addr, 30000), headers=list(headers))
        far.raw(t, hop('wan'))
        m = pbx.expect('INVITE')
        check(m.start.startswith('INVITE sip:%s@198.51.100.10' % NUMBERS['pbx']) and not m.all('route'), m.start)
        pbx.reply(m, 486, 'Busy', tag='b')
        ack_failure(far, t, far.expect(lambda m: m.status == 486), hop('wan'))

    def take(what=registers):
        m = far.expect(what)
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: ' + m.get('contact')] + ['Path: ' + p for p in m.all('path')])
        return m, m.contact()

    add(box, 'prov', 'trunk42', 'auth=gin', 'source-port=%d' % ITSP_PORT)
    try:
        check('<sip:203.0.113.1:5060;' in take()[0].get('contact'), 'an address')
        box.config['realm'] = {'wan': '\tadvertise = { "203.0.113.77" }\n'}
        box.write()
        t = time.monotonic()
        box.cli('reload')
        m, contact = take()
        recovered('our address is another after a reload, until that is registered', time.monotonic() - t)
        check(contact.startswith('sip:203.0.113.77:5060;'), contact)
        comes(contact)
        box.cli('trunk', 'set', 'prov', 'contact-host=pbx.inside.example')
        take(lambda m: m.method == 'REGISTER' and 'expires=0' in m.get('contact'))      # the old one is taken back
        m, contact = take()
        check(contact.startswith('sip:pbx.inside.example;tk=') and m.get('path') == '<sip:203.0.113.77:5060;lr>', str(m))
        comes(contact, ['Route: ' + m.get('path')])
    finally:
        box.config.pop('realm', None)
        box.write()
        box.cli('reload')
        drop(box, 'prov')
        far.close()
        pbx.close()


def challenge(nonce, more=''):
    return 'Proxy-Authenticate: Digest realm="%s", nonce="%s", algorithm=MD5, qop="auth"%s' % (REALM, nonce, more)


def answers(m, nonce):
    """The credentials of a request are right, and for that nonce."""
    v = m.get('proxy-authorization')
    f = dict(re.findall(r'(\w+)="?([^",]+)"?', v.split(' ', 1)[1] if v else ''))
    h = lambda t: hashlib.md5(t.encode()).hexdigest()
    method, uri = m.start.split(' ')[:2]
    want = h(':'.join((h('trunk42:%s:%s' % (REALM, SECRET)), nonce, f.get('nc', ''), f.get('cnonce', ''), 'auth',
                       h('%s:%s' % (method, uri)))))
    check(f.get('nonce') == nonce and f.get('uri') == uri and f.get('response') == want, '%s: %s' % (m.start, v))
    return v


def cseq(m):
    return int(m.get('cseq').split()[0])


def challenged(box):
    """INVITE, re-INVITE and BYE are challenged by the provider and answered; the PBX sees nothing of it"""
    add(box, 'prov', 'trunk42', 'auth=static')
    far, pbx = Ua(box.lab, HOST, ITSP_PORT), party(box, 'pbx')
    try:
        password(box, 'prov')
        box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        first = far.expect('INVITE')
        check(not first.get('proxy-authorization'), first.start)
        far.reply(first, 407, 'Proxy Authentication Required', tag='c', headers=[challenge('n1')])
        check(not far.expect('ACK').get('proxy-authorization'), 'the ACK of a 407 goes hop by hop')
        inv = far.expect('INVITE')
        sent = answers(inv, 'n1')
        check(inv.get('call-id') == first.get('call-id') and inv.get('from') == first.get('from') and
              inv.get('to') == first.get('to') and cseq(inv) == cseq(first) + 1 and
              inv.get('via') != first.get('via'), str(inv))
        far.reply(inv, 200, 'OK', tag='f', body=sdp(far.addr, 30002, session='3'))
        ok = pbx.expect(lambda m: m.status > 100)
        check(ok.status == 200, ok.start)
        d = Dialog(pbx, True, t, ok, hop('lan'))
        d.ack(d.invite_cseq)
        check(far.expect('ACK').get('proxy-authorization') == sent, 'the ACK has the credentials of its INVITE')
        # hold: with credentials, challenged all the same since the nonce is too old
        d.request('INVITE', sdp(pbx.addr, 30000, 'sendonly', version=2))
        again = far.expect('INVITE')
        answers(again, 'n1')
        far.reply(again, 407, 'Proxy Authentication Required', tag='f', headers=[challenge('n2', ', stale=true')])
        far.expect('ACK')
        hold = far.expect('INVITE')
        answers(hold, 'n2')
        check(cseq(hold) == cseq(again) + 1, hold.get('cseq'))
        far.reply(hold, 200, 'OK', tag='f', body=sdp(far.addr, 30002, 'recvonly', version=2, session='3'))
        m = pbx.expect(lambda m: m.status > 100 and m.method == 'INVITE' and cseq(m) > d.invite_cseq)
        check(m.status == 200, m.start)
        d.ack(cseq(m))
        check(far.expect('ACK').get('proxy-authorization') == hold.get('proxy-authorization'), 'ACK of the re-INVITE')
        d.request('BYE')
        bye = far.expect('BYE')
        answers(bye, 'n2')
        far.reply(bye, 407, 'Proxy Authentication Required', headers=[challenge('n3', ', stale=true')])
        last = far.expect('BYE')
        answers(last, 'n3')
        check(cseq(last) == cseq(bye) + 1, last.get('cseq'))
        far.reply(last, 200, 'OK')
        m = pbx.expect(lambda m: m.status and m.method == 'BYE')
        check(m.status == 200, m.start)
        # a wrong password: no third try, and the PBX gets no challenge
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % TO, NUMBERS['pbx'], TO, body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        for nonce in ('n4', 'n5'):
            far.reply(far.expect('INVITE'), 401, 'Unauthorized', tag='u', headers=['WWW-' + challenge(nonce)[6:]])
            far.expect('ACK')
        m = pbx.expect(lambda m: m.status > 100)
        check(m.status == 403 and not m.all('www-authenticate'), str(m))
        ack_failure(pbx, t, m, hop('lan'))
        far.nothing(0.5, lambda m: m.method == 'INVITE')
        check(box.cdrs(1, to_trunk='prov')[0]['reason'].startswith('PSN-E1101'), str(box.cdrs(1, to_trunk='prov')[0]))
    finally:
        far.close()
        pbx.close()
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')


CASES = [calls, wrong_password, no_gin, two_customers, numbers, numbers_with_digest, associated, names, challenged]
