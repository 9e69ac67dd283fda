"""What a bulk registration is good for, beside plain calls: other methods, Path, several nodes, numbers that come and
go, GRUUs (RFC 6140 5.2, 6, 7.1)."""
import base64
import os
import re
import subprocess

from box import NUMBERS, hop, uri
from lab import BOX, ITSP_PORT, check, wait
from raw import party
from sip import Dialog, Ua, ack_failure, sdp
from t_regclient import HOST, REALM, TO, add, drop, registers, shown
from t_register import DOMAIN, GIN, PHONE, Pbx, call_in, expanded, trunks

# a GRUU is called from anywhere: the domain is ours on both sides
CONFIG = {'realm': {r: '\tdomains = { "%s" }\n' % DOMAIN for r in ('lan', 'wan')}}


def failed_call(box, number, status):
    """A call of the ITSP that ends with that status."""
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(number, 'wan'), NUMBERS['itsp'], number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = i.expect(lambda m: m.status >= 200, 8)
    ack_failure(i, t, m, i.hop)
    i.close()
    check(m.status == status, '%s instead of %d' % (m.start, status))


def methods(box):
    """MESSAGE, OPTIONS and a method nobody knows, sent to a number, reach the PBX that registered; To stays"""
    trunks(box)
    p = Pbx(box)
    p.bulk()
    i = party(box, 'itsp')
    to = '<sip:5550102@other.example>'
    for method, body, ok in (('MESSAGE', 'Hello', 202), ('OPTIONS', '', 200), ('FOO', '', 299)):
        t = i.request(method, uri(GIN + '507', 'wan'), NUMBERS['itsp'], GIN + '507', to=to, body=body, ctype='text/plain')
        i.raw(t, i.hop)
        m = p.ua.expect(method)
        check(m.start == '%s %s SIP/2.0' % (method, expanded(p, GIN + '507')), m.start)
        check(m.get('to').startswith('<sip:5550102@') and 'other.example' not in str(m), m.get('to'))
        check(m.body == body and i.addr not in str(m) and m.get('call-id') not in t, str(m))
        p.ua.reply(m, ok, 'Well', tag='p', headers=['Allow: FROBNICATE'])
        a = i.expect(ok)
        check(a.method == method and 'FROBNICATE' not in str(a), str(a))
    # nobody is registered: the caller is told, with the reason
    check(p.register('Require: gin', p.contact(';expires=0')).status == 200, 'removal')
    i.raw(i.request('MESSAGE', uri(GIN + '507', 'wan'), NUMBERS['itsp'], GIN + '507', body='x', ctype='text/plain'), i.hop)
    check(i.expect(lambda m: m.status >= 200 and m.method == 'MESSAGE').status == 480, 'MESSAGE to nobody')
    # and with outside=off they are answered here
    p.bulk()
    box.set('gin', 'outside=off', 'outside=')
    i.raw(i.request('MESSAGE', uri(GIN + '507', 'wan'), NUMBERS['itsp'], GIN + '507', body='x', ctype='text/plain'), i.hop)
    check(i.expect(lambda m: m.status >= 200 and m.method == 'MESSAGE').status == 405, 'outside=off')
    p.ua.nothing(0.3, lambda m: m.method == 'MESSAGE')
    i.close()
    p.ua.close()


def to_stays(box):
    """a forwarded call: the request URI is the number's contact, To is whom the caller named"""
    trunks(box)
    p = Pbx(box)
    p.bulk()
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(GIN + '510', 'wan'), NUMBERS['itsp'], '', to='<sip:5550102@other.example>', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = p.ua.expect('INVITE')
    check(m.start == 'INVITE %s SIP/2.0' % expanded(p, GIN + '510'), m.start)
    check(m.get('to').startswith('<sip:5550102@') and 'other.example' not in str(m), m.get('to'))
    p.ua.reply(m, 486, 'Busy', tag='b')
    a = i.expect(lambda m: m.status >= 200)
    check(a.status == 486 and 'other.example' in a.get('to'), str(a))
    ack_failure(i, t, a, i.hop)
    i.close()
    p.ua.close()


def path(box):
    """a PBX behind a proxy: Path is stored, given back, and is the Route of a call, which goes to the proxy"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    contact = 'Contact: <sip:10.9.8.7:5070;tk=c41f;bnc>'
    route = '<sip:%s;lr;x=1>' % p.ua.at
    m = p.register('Require: gin', 'Proxy-Require: gin', 'Supported: path', 'Path: ' + route, contact)
    check(m.status == 200 and m.get('path') == route, str(m))
    i = party(box, 'itsp')
    for n in ('511', '512'):
        t = i.request('INVITE', uri(GIN + n, 'wan'), NUMBERS['itsp'], GIN + n, body=sdp(i.addr, 30000))
        i.raw(t, i.hop)
        m = p.ua.expect('INVITE')
        check(m.start == 'INVITE sip:%s@10.9.8.7:5070;tk=c41f SIP/2.0' % (GIN + n), m.start)
        check(m.all('route') == [route], str(m))
        p.ua.reply(m, 486, 'Busy', tag='b')
        a = i.expect(lambda m: m.status == 486)
        ack_failure(i, t, a, i.hop)
    box.restart()
    t = i.request('INVITE', uri(GIN + '513', 'wan'), NUMBERS['itsp'], GIN + '513', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = p.ua.expect('INVITE')
    check(m.all('route') == [route], str(m))
    p.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    i.close()
    p.ua.close()


def nodes(box):
    """two nodes of one PBX: the one with the higher q gets the calls, the other one when it is silent, says 503 or is gone"""
    trunks(box)
    box.set('gin', 'try-timeout=600ms', 'try-timeout=')
    first, second = Pbx(box, host='pbx0', proto='udp'), Pbx(box, host='pbx1')
    first.bulk(';q=1.0')
    second.bulk(';q=0.5')
    c = [x for x in second.bulk(';q=0.5').all('contact')]
    check(len(c) == 2 and first.ua.at in c[0], str(c))
    call_in(box, first, GIN + '520', expanded(first, GIN + '520'))
    second.ua.nothing(0.1, lambda m: m.method == 'INVITE')
    # says 503
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(GIN + '521', 'wan'), NUMBERS['itsp'], GIN + '521', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    first.ua.reply(first.ua.expect('INVITE'), 503, 'Busy', tag='f')
    m = second.ua.expect('INVITE')
    check(m.start == 'INVITE %s SIP/2.0' % expanded(second, GIN + '521'), m.start)
    second.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    i.close()
    # silent, then gone: nothing is there any more
    call_in(box, second, GIN + '522', expanded(second, GIN + '522'))
    first.ua.close()
    call_in(box, second, GIN + '523', expanded(second, GIN + '523'))
    # a request outside of a call takes the same way
    i = party(box, 'itsp')
    i.raw(i.request('MESSAGE', uri(GIN + '524', 'wan'), NUMBERS['itsp'], GIN + '524', body='x', ctype='text/plain'), i.hop)
    second.ua.reply(second.ua.expect('MESSAGE'), 200, 'OK', tag='p')
    check(i.expect(lambda m: m.status >= 200 and m.method == 'MESSAGE').status == 200, 'MESSAGE')
    i.close()
    second.ua.close()


def provisioning(box):
    """a number added by the command line is called at once without a new REGISTER, one that is taken away no longer"""
    trunks(box)
    new = '+4930777001'
    p = Pbx(box)
    p.bulk()
    failed_call(box, new, 404)
    box.cli('number', 'add', new, 'gin')
    call_in(box, p, new, expanded(p, new))
    box.cli('number', 'del', new)
    failed_call(box, new, 404)
    p.ua.nothing(0.2, lambda m: m.method == 'INVITE' and new in m.start)
    call_in(box, p, GIN + '530', expanded(p, GIN + '530'))      # the others are untouched
    p.ua.close()


INSTANCE = 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'


def with_gruu(p, more=''):
    """The bulk contact's parameters in the 200."""
    m = p.register('Require: gin', 'Proxy-Require: gin', 'Supported: path, gruu',
                   p.contact(';+sip.instance="<%s>"%s' % (INSTANCE, more)))
    check(m.status == 200, str(m))
    return m.get('contact')


def cookie_of(contact):
    return re.search(r'temp-gruu-cookie=([^;\s]+)', contact).group(1)


def invite_to(box, i, ruri, to=None):
    t = i.request('INVITE', ruri, NUMBERS['itsp'], '', to=to or '<%s>' % ruri, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    return t


def gruu_public(box):
    """a public GRUU: bnc and no user part for the PBX; a call to a phone's keeps sg; another instance is not there"""
    trunks(box)
    p = Pbx(box)
    c = with_gruu(p)
    check('pub-gruu="sip:%s;bnc;gr=%s"' % (DOMAIN, INSTANCE) in c, c)
    i = party(box, 'itsp')
    t = invite_to(box, i, 'sip:%s@%s;gr=%s;sg=ph7' % (GIN + '540', DOMAIN, INSTANCE))
    m = p.ua.expect('INVITE')
    check(m.start == 'INVITE %s;sg=ph7 SIP/2.0' % expanded(p, GIN + '540'), m.start)
    p.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    # an instance that is not registered, though the number is
    t = invite_to(box, i, 'sip:%s@%s;gr=urn:uuid:other;sg=ph7' % (GIN + '540', DOMAIN))
    m = i.expect(lambda m: m.status >= 200 and m.get('call-id') in t)
    check(m.status == 480, m.start)
    ack_failure(i, t, m, i.hop)
    # outside of calls too
    i.raw(i.request('MESSAGE', 'sip:%s@%s;gr=%s;sg=ph8' % (GIN + '541', DOMAIN, INSTANCE), NUMBERS['itsp'], '', to='<sip:x@y>',
                    body='x', ctype='text/plain'), i.hop)
    m = p.ua.expect('MESSAGE')
    check(m.start == 'MESSAGE %s;sg=ph8 SIP/2.0' % expanded(p, GIN + '541'), m.start)
    p.ua.reply(m, 200, 'OK', tag='p')
    i.expect(lambda m: m.status == 200)
    i.close()
    p.ua.close()


def encrypt(box, pem, cookie):
    """E of RFC 6140 7.1.2.2, by openssl"""
    path = box.lab.path('gruu.pem')
    with open(path, 'w') as f:
        f.write(pem)
    m = base64.b64decode(cookie + '=' * (-len(cookie) % 4)) + os.urandom(10)
    e = subprocess.run(['openssl', 'pkeyutl', '-encrypt', '-pubin', '-inkey', path, '-pkeyopt', 'rsa_padding_mode:oaep',
                        '-pkeyopt', 'rsa_oaep_md:sha256'], input=m, stdout=subprocess.PIPE, check=True).stdout
    return base64.b64encode(e).decode().rstrip('=')


def public_key(box):
    wait('a key pair', lambda: box.json('gruu', 'show')['public_pem'], 20)
    pem = box.cli('gruu', 'show', '--pem')[1]
    check('BEGIN PUBLIC KEY' in pem and 'PRIVATE' not in pem, pem)
    return pem


def gruu_temporary(box):
    """temporary GRUUs: made with our public key they reach the PBX, tampered ones 404; keys survive, are replaced, are over"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    cookies = {cookie_of(with_gruu(p)) for _ in range(3)}
    check(len(cookies) == 1, str(cookies))
    cookie = cookies.pop()
    pem = public_key(box)
    i = party(box, 'itsp')

    def reaches(e):
        user = 'tgruu.%s.%s' % (e, base64.b64encode(os.urandom(16)).decode().rstrip('='))
        t = invite_to(box, i, 'sip:%s@%s;gr=ph9' % (user, DOMAIN))
        m = p.ua.expect('INVITE')
        check(m.start == 'INVITE sip:%s@%s;tk=c41f;gr=ph9 SIP/2.0' % (user, p.ua.at), m.start)
        p.ua.reply(m, 486, 'Busy', tag='b')
        ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)

    def unknown(e):
        t = invite_to(box, i, 'sip:tgruu.%s.AAAAAAAAAAAAAAAAAAAAAA@%s;gr=ph9' % (e, DOMAIN))
        m = i.expect(lambda m: m.status >= 200 and m.get('call-id') in t)
        check(m.status == 404, m.start)
        ack_failure(i, t, m, i.hop)

    first = encrypt(box, pem, cookie)
    reaches(first)
    reaches(encrypt(box, pem, cookie))
    unknown(('B' if first[0] == 'A' else 'A') + first[1:])
    unknown(encrypt(box, pem, base64.b64encode(os.urandom(24)).decode()))
    box.restart()                      # the registration, the secret and the key are all there
    reaches(first)
    check(cookie_of(with_gruu(p)) == cookie, 'the cookie changed by a restart')
    box.cli('gruu', 'rotate', '--grace', '1h')
    new = public_key(box)
    check(new != pem and len(box.json('gruu', 'show')['keys']) == 2, 'rotated')
    reaches(first)
    reaches(encrypt(box, new, cookie))
    box.restart()
    reaches(first)
    box.cli('gruu', 'rotate', '--grace', '0s')
    unknown(encrypt(box, new, cookie))
    reaches(first)                     # its hour is not over
    third = encrypt(box, public_key(box), cookie)
    reaches(third)
    check(p.register('Require: gin', p.contact(';expires=0')).status == 200, 'removal')
    unknown(third)
    check(cookie_of(with_gruu(p)) != cookie, 'a new registration has the old cookie')
    unknown(third)
    text = box.log_text()
    check('PRIVATE' not in text and cookie not in text, 'a secret stands in the log')
    check(oct(os.stat(os.path.join(box.state, 'postern.db')).st_mode & 0o777) == '0o600', 'mode of the database')
    i.close()
    p.ua.close()


def gruu_opaque(box):
    """;gr= in a Contact is kept as it is in the requests of its dialog, from either side"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    p.bulk()
    mine = 'sip:%s@pbx.example;gr=urn:uuid:phone;x=1' % (GIN + '550')
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(GIN + '550', 'wan'), NUMBERS['itsp'], GIN + '550', body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = p.ua.expect('INVITE')
    p.ua.reply(m, 200, 'OK', tag='P', body=sdp(p.ua.addr, 30002), contact=False, headers=['Contact: <%s>' % mine])
    ok = i.expect(lambda m: m.status == 200)
    check('pbx.example' not in str(ok) and 'gr=' not in ok.get('contact'), ok.get('contact'))
    d = Dialog(i, True, t, ok, i.hop)
    d.ack(d.invite_cseq)
    check(p.ua.expect('ACK').start == 'ACK %s SIP/2.0' % mine, 'ACK')
    d.request('BYE')
    m = p.ua.expect('BYE')
    check(m.start == 'BYE %s SIP/2.0' % mine, m.start)
    p.ua.reply(m, 200, 'OK')
    i.expect(lambda m: m.status == 200 and m.method == 'BYE')
    i.close()
    p.ua.close()


def gruu_as_pbx(box):
    """GRUUs as a PBX: a phone behind us with a GRUU of ours has one of the provider's in its Contact; it leads back to that phone, and to no other"""
    far = Ua(box.lab, HOST, ITSP_PORT)
    number, gr = PHONE + '577', 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'
    trunks(box)
    add(box, 'prov', 'trunk42', 'auth=gin', 'gruu=yes', 'source-port=%d' % ITSP_PORT)
    box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
    phones = []
    try:
        m = far.expect(registers)
        instance = re.search(r';\+sip\.instance="<([^>]+)>"', m.get('contact')).group(1)
        check('gruu' in m.get('supported') and 'reg-id' not in m.get('contact'), str(m))
        pub = 'sip:%s;bnc;gr=%s' % (REALM, instance)
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: %s;pub-gruu="%s"' % (m.get('contact'), pub)])
        bulk = m.contact()
        wait('it to be seen', lambda: shown(box)['gruu'] == pub, 3)
        # two phones of one number
        for i, instance_of in enumerate((gr, gr.replace('f81d', 'aaaa'))):
            p = Pbx(box, host='pbx%d' % i, proto='udp', user='user300')
            m = p.register('Contact: <sip:dev@%s>;+sip.instance="<%s>";expires=300' % (p.ua.at, instance_of), 'Supported: gruu', aor=number)
            check(m.status == 200, str(m))
            phones.append(p)
        ours = 'sip:%s@%s;gr=%s' % (number, BOX[('lan', 4)], gr)     # its host is us: what is sent in the dialog goes to the phone all the same
        a = phones[0].ua
        t = a.request('INVITE', 'sip:%s@%s:5060' % (TO, BOX[('lan', 4)]), number, TO, body=sdp(a.addr, 30000))
        t = re.sub(r'(?m)^Contact: [^\r]*', 'Contact: <%s>' % ours, t)
        a.raw(t, hop('lan'))
        inv = far.expect('INVITE')
        want = re.match(r'sip:\%s@%s;gr=%s;sg=([\w+/]{12})$' % (number, re.escape(REALM), instance), inv.contact())
        check(want, inv.contact())
        check(gr not in str(inv), 'the provider sees the instance')
        far.reply(inv, 200, 'OK', tag='f', body=sdp(far.addr, 30002, session='3'))
        ok = a.expect(lambda m: m.status == 200)
        d = Dialog(a, True, t, ok, hop('lan'))
        d.ack(d.invite_cseq)
        far.expect('ACK')
        # in its dialog, by what the provider makes of the GRUU: our contact with number and sg
        ruri = bulk.replace('sip:', 'sip:%s@' % number).replace(';bnc', '') + ';sg=' + want.group(1)
        e = Dialog(far, False, inv, None, hop('wan'), 'f')
        e.target = ruri
        e.request('BYE')
        a.reply(a.expect('BYE'), 200, 'OK')
        far.expect(lambda m: m.status == 200 and m.method == 'BYE')
        # and outside of it: that phone alone rings
        t = far.request('INVITE', ruri, TO, '', to='<sip:x@y>', body=sdp(far.addr, 30000))
        far.raw(t, hop('wan'))
        m = a.expect('INVITE')
        check(m.start == 'INVITE sip:dev@%s SIP/2.0' % a.at, m.start)
        phones[1].ua.nothing(0.3, lambda m: m.method == 'INVITE')
        a.reply(m, 200, 'OK', tag='p', body=sdp(a.addr, 30000), headers=['Contact: <%s>' % ours], contact=False)
        ok = far.expect(lambda m: m.status == 200)
        check(ok.contact() == inv.contact(), 'another GRUU when it is called: ' + ok.contact())
        d = Dialog(far, True, t, ok, hop('wan'))
        d.target = ruri
        d.ack(d.invite_cseq)
        a.expect('ACK')
        d.request('BYE')
        a.reply(a.expect('BYE'), 200, 'OK')
        far.expect(lambda m: m.status == 200 and m.method == 'BYE')
        # one that nobody has, and one that is gone: nobody else gets it
        for sg in ('AAAAAAAAAAAA', want.group(1)):
            t = far.request('INVITE', re.sub(r'sg=.*', 'sg=' + sg, ruri), TO, '', to='<sip:x@y>', body=sdp(far.addr, 30000))
            far.raw(t, hop('wan'))
            m = far.expect(lambda m: m.status >= 200 and m.get('call-id') in t)
            check(m.status == 480, m.start)
            ack_failure(far, t, m, hop('wan'))
            for l in box.json('reg', 'inside')['registrations']:
                if l['contact'] == 'sip:dev@' + a.at:
                    box.cli('reg', 'kick', l['id'])
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')
        far.close()
        for p in phones:
            p.ua.close()


def gruu_as_pbx_temporary(box):
    """temporary GRUUs as a PBX: a phone that calls by one of ours has one of the provider's, another in each call, which the provider reads; it leads back to that phone; tampered ones 404"""
    trunks(box)
    public_key(box)             # ours, for the phone
    far = Ua(box.lab, HOST, ITSP_PORT)
    key = box.lab.path('provider.pem')
    subprocess.run(['openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', key], check=True, stderr=subprocess.DEVNULL)
    pem = subprocess.run(['openssl', 'pkey', '-in', key, '-pubout'], stdout=subprocess.PIPE, text=True, check=True).stdout
    line = ''.join(l for l in pem.split('\n') if not l.startswith('---'))
    number, cookie = PHONE + '577', base64.b64encode(os.urandom(24)).decode().rstrip('=')
    rc, out = box.cli('trunk', 'set', 'itsp', 'gruu-key=no-base64', ok=None)
    check(rc == 2 and 'base64' in out, out)
    add(box, 'prov', 'trunk42', 'auth=gin', 'gruu=yes', 'gruu-key=' + line, 'source-port=%d' % ITSP_PORT)
    box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
    p = Pbx(box, host='pbx0', proto='udp', user='user300')
    a = p.ua
    try:
        m = far.expect(registers)
        bulk = m.contact()
        far.reply(m, 200, 'OK', tag='r', headers=['Contact: %s;pub-gruu="sip:%s;bnc;gr=urn:x";temp-gruu-cookie=%s' % (m.get('contact'), REALM, cookie)])
        m = p.register('Contact: <sip:dev@%s>;+sip.instance="<urn:uuid:ph>";expires=300' % a.at, 'Supported: gruu', aor=number)
        ours = re.search(r';temp-gruu="([^"]+)"', m.get('contact')).group(1)
        wait('it to be seen', lambda: shown(box)['gruu'], 3)
        seen = []
        for _ in range(2):
            t = a.request('INVITE', 'sip:%s@%s:5060' % (TO, BOX[('lan', 4)]), number, TO, body=sdp(a.addr, 30000))
            a.raw(re.sub(r'(?m)^Contact: [^\r]*', 'Contact: <%s>' % ours, t), hop('lan'))
            inv = far.expect('INVITE')
            w = re.match(r'sip:tgruu\.([\w+/]+)\.([\w+/]{22})@%s;gr=([\w+/]{32})$' % re.escape(REALM), inv.contact())
            check(w, inv.contact())
            e = base64.b64decode(w.group(1) + '=' * (-len(w.group(1)) % 4))
            d = subprocess.run(['openssl', 'pkeyutl', '-decrypt', '-inkey', key, '-pkeyopt', 'rsa_padding_mode:oaep', '-pkeyopt',
                                'rsa_oaep_md:sha256'], input=e, stdout=subprocess.PIPE, check=True).stdout
            check(d[:24] == base64.b64decode(cookie) and len(d) >= 34, 'the cookie is not in it')
            seen.append(w.groups())
            far.reply(inv, 486, 'Busy', tag='f')
            far.expect('ACK')
            ack_failure(a, t, a.expect(lambda m: m.status == 486 and m.method == 'INVITE'), hop('lan'))
        check(all(x != y for x, y in zip(*seen)), 'two calls can be told to be of one phone')
        e, pa, gr = seen[1]
        host = bulk.replace('sip:', '').replace(';bnc', '')
        other = lambda t: ('B' if t[0] != 'B' else 'C') + t[1:]
        for user, handle, good in (('tgruu.%s.%s' % (e, pa), gr, True), ('tgruu.%s.%s' % (e, other(pa)), gr, False),
                                   ('tgruu.%s.%s' % (other(e), pa), gr, False), ('tgruu.%s.%s' % (e, pa), other(gr), False),
                                   ('tgruu.%s.%s' % (e, pa), 'x', False)):
            t = far.request('INVITE', 'sip:%s@%s;gr=%s' % (user, host, handle), TO, '', to='<sip:x@y>', body=sdp(far.addr, 30000))
            far.raw(t, hop('wan'))
            if good:
                m = a.expect('INVITE')
                check(m.start == 'INVITE sip:dev@%s SIP/2.0' % a.at, m.start)
                a.reply(m, 486, 'Busy', tag='b')
            m = far.expect(lambda m: m.status >= 200 and m.get('call-id') in t)
            check(m.status == (486 if good else 404), m.start)
            ack_failure(far, t, m, hop('wan'))
        a.nothing(0.2, lambda m: m.method == 'INVITE')
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        drop(box, 'prov')
        far.close()
        a.close()


CASES = [gruu_public, gruu_temporary, gruu_opaque, gruu_as_pbx, gruu_as_pbx_temporary, methods, to_stays, path, nodes, provisioning]
