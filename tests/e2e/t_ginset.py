"""What any registrar of RFC 6140 has to do at least, seen from the wire: what t_register and t_gin leave out."""
import struct

import t_register
from box import NUMBERS, uri
from lab import check
from raw import party
from sip import ack_failure, sdp
from t_register import GIN, Pbx, call_in, expanded, trunks

CONFIG = t_register.CONFIG


def bindings(box, trunk='gin'):
    return box.json('reg', 'inside', '--trunk', trunk)['registrations']


def world(box, number, status):
    """A call of the ITSP to that number gets that final answer."""
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(number, 'wan'), NUMBERS['itsp'], number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = i.expect(lambda m: m.status >= 200)
    check(m.status == status, m.start)
    ack_failure(i, t, m, i.hop)
    i.close()


def bad_contacts(box):
    """a bulk contact with a user part, with user=, or with a value of bnc is answered 400 and binds nothing"""
    trunks(box)
    p = Pbx(box)
    for c in ('<sip:+49301238501@%s;bnc>', '<sip:%s;bnc;user=phone>', '<sip:%s;bnc=1>', '<sip:@%s;bnc>'):
        m = p.register('Require: gin', 'Proxy-Require: gin', 'Supported: path', 'Contact: ' + c % p.ua.at)
        check(m.status == 400, '%s: %s' % (c, m.start))
    check(not bindings(box), str(bindings(box)))
    p.bulk()        # after all that the right one is taken
    call_in(box, p, GIN + '501', expanded(p, GIN + '501'))


def option_tag(box):
    """bnc without Require: gin is taken, or refused with 421 where the trunk is strict; a trunk without GIN answers 420"""
    trunks(box)
    p = Pbx(box)
    check(p.register(p.contact()).status == 200, 'without Require: gin')
    box.set('gin', 'gin-strict=yes', 'gin-strict=no')
    m = p.register(p.contact())
    check(m.status == 421 and m.get('require') == 'gin', str(m))
    check(p.register('Require: gin', p.contact()).status == 200, 'with it')
    q = Pbx(box, user='user300')
    m = q.register('Require: gin', 'Proxy-Require: gin', 'Contact: <sip:300@%s>' % q.ua.at, aor='300')
    check(m.status == 420 and m.get('unsupported').startswith('gin'), str(m))


def one_number(box):
    """to unregister one number of a bulk registration changes nothing: 200 with the contact it has, and calls go on"""
    trunks(box)
    p = Pbx(box)
    p.bulk(';expires=600')
    m = p.register('Contact: <%s>;expires=0' % expanded(p, GIN + '507'), aor=GIN + '507')
    check(m.status == 200 and any(expanded(p, GIN + '507') in c for c in m.all('contact')), str(m))
    call_in(box, p, GIN + '507', expanded(p, GIN + '507'))
    check(len(bindings(box)) == 1, str(bindings(box)))


def beside(box):
    """a number registered by its own device stands beside the bulk registration, comes first, and outlives it"""
    trunks(box)
    p, own = Pbx(box), Pbx(box, host='pbx0', proto='udp')
    p.bulk(';expires=600')
    contact = 'sip:dev@%s;x=1' % own.ua.at
    check(own.register('Contact: <%s>;expires=300' % contact, aor=GIN + '508').status == 200, 'its own')
    call_in(box, own, GIN + '508', contact)
    call_in(box, p, GIN + '509', expanded(p, GIN + '509'))
    check(p.register('Require: gin', p.contact(';expires=0')).status == 200, 'bulk removal')
    call_in(box, own, GIN + '508', contact)
    for n in ('507', '509', '599'):
        world(box, GIN + n, 480)
    check(own.register('Contact: <%s>;expires=0' % contact, aor=GIN + '508').status == 200, 'its removal')
    world(box, GIN + '508', 480)


def behind_nat(box):
    """a contact that nobody can reach: calls come back to where it registered from, and its keepalives are answered"""
    trunks(box)
    p = Pbx(box, host='pbx0', proto='udp')
    m = p.register('Require: gin', 'Contact: <sip:10.9.9.9:5099;tk=n;bnc>;expires=600')
    check(m.status == 200 and 'received=%s' % p.ua.addr in m.get('via') and 'rport=%d' % p.ua.port in m.get('via'), str(m))
    call_in(box, p, GIN + '511', 'sip:%s@10.9.9.9:5099;tk=n' % (GIN + '511'))
    # STUN on the flow (RFC 5626 4.4.2): it learns its address as we see it
    p.ua.sock.settimeout(3)
    p.ua.sock.sendto(struct.pack('!HHI', 1, 0, 0x2112a442) + b'abcdefghijkl', p.ua.hop)
    d = p.ua.sock.recv(2048)
    kind, n, magic = struct.unpack('!HHI', d[:8])
    check(kind == 0x0101 and magic == 0x2112a442 and d[8:20] == b'abcdefghijkl', repr(d))
    at, mapped = 20, None
    while at < 20 + n:
        t, l = struct.unpack('!HH', d[at:at + 4])
        if t == 0x0020:
            mapped = struct.unpack('!H', d[at + 6:at + 8])[0] ^ 0x2112
        at += 4 + (l + 3) // 4 * 4
    check(mapped == p.ua.port, 'mapped port %s, sent from %d' % (mapped, p.ua.port))
    # two line ends on a connection (4.4.1)
    q = Pbx(box, user='trunk42')
    m = q.register('Require: gin', 'Contact: <sip:10.9.9.8:5099;transport=tcp;tk=t;bnc>;q=1.0;expires=600')
    check(m.status == 200, str(m))
    q.conn.settimeout(3)
    q.conn.sendall(b'\r\n\r\n')
    check(q.conn.recv(16) == b'\r\n', 'pong')
    box.cli('reg', 'kick', next(b['id'] for b in bindings(box) if 'tk=n' in str(b)))
    call_in(box, q, GIN + '512', 'sip:%s@10.9.9.8:5099;transport=tcp;tk=t' % (GIN + '512'))


CASES = [bad_contacts, option_tag, one_number, beside, behind_nat]
