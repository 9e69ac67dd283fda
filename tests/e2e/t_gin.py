"""What a bulk registration is good for, beside plain calls: other methods, Path, several nodes, numbers that come and
go (RFC 6140 5.2, 6)."""
from box import NUMBERS, hop, uri
from lab import LISTEN, BOX, check
from raw import party
from sip import Ua, ack_failure, sdp
from t_register import CONFIG, DOMAIN, GIN, Pbx, call_in, expanded, trunks  # noqa: F401


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


CASES = [methods, to_stays, path, nodes, provisioning]
