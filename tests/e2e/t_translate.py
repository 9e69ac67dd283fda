"""Translation between the ways two sides of a border register: {GIN, pilot, numbers, static} at the PBX with the same four at
the provider; who stands in for a PBX that is gone, and registrations that follow it."""
import json
import re
import signal

from box import NUMBERS, uri
from lab import BOX, LISTEN, check, wait
from raw import party
from sip import Ua, ack_failure, sdp
from t_regclient import shown
from t_register import CONFIG, DOMAIN, GIN, PHONE, Pbx, expanded, trunks  # noqa: F401

FAR, PORT, FAR_NUMBER = 'itsp1', 5090, '+39021234567'


class Provider:
    """Takes what is sent to it as a provider's registrar and as the far end of calls. kind: gin, pilot, numbers (each number of
    the PBX is registered), static. trunk: the PBX's."""

    def __init__(self, box, kind, trunk='pbx'):
        self.box, self.kind, self.contact, self.contacts = box, kind, None, {}
        self.ua = Ua(box.lab, FAR, PORT)
        self.ua.hop = (BOX[('wan', 4)], LISTEN)
        box.cli('trunk', 'add', 'prov', 'role=itsp', 'realm=wan', 'target=203.0.113.21:%d' % PORT, 'probe=off', 'aor=acc1',
                'source-port=%d' % PORT, 'auth=' + {'gin': 'gin', 'pilot': 'register', 'numbers': 'numbers', 'static': 'static'}[kind],
                *(['reg-numbers=' + trunk] if kind == 'numbers' else []))
        box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
        if kind == 'numbers':
            self.total = shown(box)['numbers']
            while len(self.contacts) < self.total:
                self.register()
        elif kind != 'static':
            self.register()

    def register(self):
        m = self.ua.expect('REGISTER', 5)
        c = m.get('contact')
        if self.kind == 'numbers':
            number = re.search(r'sip:([^@]+)@', m.get('to')).group(1)
            check('sip:%s@' % number in c, c)
            self.contacts[number] = re.search(r'<([^>]+)>', c).group(1)
            if 'expires=0' in c:
                del self.contacts[number]
            self.ua.reply(m, 200, 'OK', tag='r', headers=['Contact: %s' % c])
            return not self.contacts
        check((';bnc' in c) == (self.kind == 'gin') and ('acc1@' in c) == (self.kind == 'pilot'), c)
        check(('gin' in m.get('require')) == (self.kind == 'gin'), m.get('require'))
        self.ua.reply(m, 200, 'OK', tag='r', headers=['Contact: %s' % c])
        gone = 'expires=0' in c
        self.contact = None if gone else re.search(r'<([^>]+)>', c).group(1)
        return gone

    def ruri(self, number):
        if self.kind == 'static':
            return uri(number, 'wan')
        if self.kind == 'gin':
            return self.contact.replace('sip:', 'sip:%s@' % number).replace(';bnc', '')
        if self.kind == 'numbers':
            return self.contacts[number]
        return self.contact               # the pilot: the number stands in To

    def call(self, number):
        t = self.ua.request('INVITE', self.ruri(number), FAR_NUMBER, number, to='<sip:%s@prov.example>' % number,
                            body=sdp(self.ua.addr, 30000))
        self.ua.raw(t, self.ua.hop)
        return t

    def end(self):
        self.box.cli('route', 'del', 'prov')
        self.box.cli('trunk', 'del', 'prov', '--force', '--yes')
        if self.contact or self.contacts:
            wait('the registration to be taken back', self.register, 5)
        self.ua.close()


class Side:
    """A PBX of one kind, registered; its number and what its calls look like. kind: gin, pilot, numbers, static."""

    def __init__(self, box, kind):
        self.kind = kind
        if kind == 'static':
            self.ua = party(box, 'pbx')
            self.number, self.want = NUMBERS['pbx'], 'sip:%s@%s' % (NUMBERS['pbx'], '198.51.100.10:5062')
            self.domain = '%s:%d' % (BOX[('lan', 4)], LISTEN)
            return
        self.number = (GIN if kind == 'gin' else PHONE) + '577'
        self.p = Pbx(box, host='pbx0', proto='udp', **({} if kind == 'gin' else {'user': 'user300'}))
        self.ua, self.domain = self.p.ua, DOMAIN
        if kind == 'gin':
            self.p.bulk()
            self.want = expanded(self.p, self.number)
        elif kind == 'pilot':             # as 3CX and its like do: parameters of their own in the Contact
            m = self.p.register('Contact: <sip:300@%s;rinstance=a1b2;x=y>;expires=300' % self.ua.at, aor='300')
            self.want = 'sip:%s@%s;rinstance=a1b2;x=y' % (self.number, self.ua.at)
        else:
            m = self.p.register('Contact: <sip:dev7@%s;ob>;expires=300' % self.ua.at, aor=self.number)
            self.want = 'sip:dev7@%s;ob' % self.ua.at
        if kind != 'gin':
            check(m.status == 200, str(m))

    def end(self, box):
        for l in box.json('reg', 'inside')['registrations']:
            box.cli('reg', 'kick', l['id'])
        self.ua.close()


def pair(box, side, prov):
    """One call each way."""
    t = prov.call(side.number)
    m = side.ua.expect('INVITE')
    check(m.start == 'INVITE %s SIP/2.0' % side.want, '%s/%s: %s' % (side.kind, prov.kind, m.start))
    check(FAR_NUMBER in m.get('from') and 'acc1' not in str(m) and 'tk=' not in m.start.replace('tk=c41f', ''), str(m))
    side.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(prov.ua, t, prov.ua.expect(lambda m: m.status == 486), prov.ua.hop)
    t = side.ua.request('INVITE', 'sip:%s@%s' % (FAR_NUMBER, side.domain), side.number, FAR_NUMBER, body=sdp(side.ua.addr, 30000))
    side.ua.raw(t, side.ua.hop)
    m = prov.ua.expect('INVITE')
    check(m.start.startswith('INVITE sip:%s@203.0.113.21' % FAR_NUMBER), m.start)
    check(side.number in m.get('from') and 'rinstance' not in str(m) and side.ua.addr not in str(m), str(m))
    prov.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(side.ua, t, side.ua.expect(lambda m: m.status == 486 and m.method == 'INVITE'), side.ua.hop)


def matrix(box, kind):
    trunks(box)
    for far in ('gin', 'pilot', 'numbers', 'static'):
        prov, side = Provider(box, far, {'static': 'pbx', 'gin': 'gin'}.get(kind, 'phones')), Side(box, kind)
        pair(box, side, prov)
        side.end(box)
        prov.end()


def gin(box):
    """a GIN PBX with a provider of GIN, of a pilot, of addresses: calls both ways"""
    matrix(box, 'gin')


def pilot(box):
    """a PBX that registers one address, with each provider: the called number and parameters of its Contact reach it"""
    matrix(box, 'pilot')


def numbers(box):
    """a PBX whose numbers register one by one, with each provider"""
    matrix(box, 'numbers')


def static(box):
    """a PBX known by its address, with each provider"""
    matrix(box, 'static')


def did_source(box):
    """the called number where the provider says it: To, P-Called-Party-ID, Diversion, or the request URI alone"""
    trunks(box)
    side, prov = Side(box, 'static'), Provider(box, 'static')
    pilot_uri = uri('+7700', 'wan')         # nobody's, and no route leads there
    for setting, headers, to in (('to', [], side.number), ('p-called-party-id', ['P-Called-Party-ID: <sip:%s@h>' % side.number], '+1'),
                                 ('diversion', ['Diversion: <sip:%s@h>;reason=unknown' % side.number], '+1')):
        box.cli('trunk', 'set', 'prov', 'did-source=' + setting)
        t = prov.ua.request('INVITE', pilot_uri, FAR_NUMBER, '', to='<sip:%s@h>' % to, headers=headers, body=sdp(prov.ua.addr, 30000))
        prov.ua.raw(t, prov.ua.hop)
        m = side.ua.expect('INVITE')
        check(m.start == 'INVITE %s SIP/2.0' % side.want, '%s: %s' % (setting, m.start))
        side.ua.reply(m, 486, 'Busy', tag='b')
        ack_failure(prov.ua, t, prov.ua.expect(lambda m: m.status == 486), prov.ua.hop)
    box.cli('trunk', 'set', 'prov', 'did-source=ruri')
    t = prov.ua.request('INVITE', pilot_uri, FAR_NUMBER, '', to='<sip:%s@h>' % side.number, body=sdp(prov.ua.addr, 30000))
    prov.ua.raw(t, prov.ua.hop)
    m = prov.ua.expect(lambda m: m.status >= 200)
    check(m.status == 404, m.start)
    ack_failure(prov.ua, t, m, prov.ua.hop)
    side.end(box)
    prov.end()


def down(box):
    """a PBX that is gone: its own answer code, then the trunk that stands in for it; hairpin keeps calls inside"""
    trunks(box)
    side = Side(box, 'gin')
    box.cli('reg', 'kick', box.json('reg', 'inside')['registrations'][0]['id'])
    i = party(box, 'itsp')

    def refused(status):
        t = i.request('INVITE', uri(side.number, 'wan'), NUMBERS['itsp'], side.number, body=sdp(i.addr, 30000))
        i.raw(t, i.hop)
        m = i.expect(lambda m: m.status >= 200 and m.get('call-id') in t)
        check(m.status == status, m.start)
        ack_failure(i, t, m, i.hop)

    refused(480)
    box.set('gin', 'down-code=604', 'down-code=480')
    refused(604)
    # this number by itself: its own answer, its own stand-in
    box.set('gin', 'down-numbers=%s:410' % side.number, 'down-numbers=')
    refused(410)
    rc, out = box.cli('trunk', 'set', 'gin', 'down-numbers=%s:nobody' % side.number, ok=None)
    check(rc == 2 and 'does not exist' in out, out)
    box.cli('trunk', 'set', 'gin', 'down-numbers=%s:pbx' % side.number)
    stands_in = party(box, 'pbx')
    t = i.request('INVITE', uri(side.number, 'wan'), NUMBERS['itsp'], side.number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = stands_in.expect('INVITE')
    stands_in.reply(m, 486, 'Busy', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    stands_in.close()
    box.cli('trunk', 'set', 'gin', 'down-numbers=')
    i.raw(i.request('MESSAGE', uri(side.number, 'wan'), NUMBERS['itsp'], side.number, body='x', ctype='text/plain'), i.hop)
    check(i.expect(lambda m: m.status >= 200 and m.method == 'MESSAGE').status == 604, 'MESSAGE')
    rc, out = box.cli('trunk', 'set', 'gin', 'alternative=nobody', ok=None)
    check(rc == 2 and 'does not exist' in out, out)
    box.set('gin', 'alternative=pbx', 'alternative=')
    other = party(box, 'pbx')
    t = i.request('INVITE', uri(side.number, 'wan'), NUMBERS['itsp'], side.number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = other.expect('INVITE')
    check(m.start.startswith('INVITE sip:%s@' % side.number), m.start)
    other.reply(m, 486, 'Busy', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    # back again: it gets its calls itself; one between its own numbers comes back to it
    side.p.bulk()
    box.set('gin', 'hairpin=yes', 'hairpin=no')
    t = side.ua.request('INVITE', 'sip:%s@%s' % (GIN + '511', DOMAIN), side.number, GIN + '511', body=sdp(side.ua.addr, 30000))
    side.ua.raw(t, side.ua.hop)
    m = side.ua.expect('INVITE')
    check(m.start == 'INVITE %s SIP/2.0' % expanded(side.p, GIN + '511'), m.start)
    side.ua.reply(m, 486, 'Busy', tag='b')
    ack_failure(side.ua, t, side.ua.expect(lambda m: m.status == 486 and m.method == 'INVITE'), side.ua.hop)
    i.nothing(0.2, lambda m: m.method == 'INVITE')
    i.close()
    other.close()
    side.end(box)


def link(box):
    """reg-link: registered at the provider only while the PBX is registered with us"""
    trunks(box)
    prov = Provider(box, 'gin')
    rc, out = box.cli('trunk', 'set', 'prov', 'reg-link=pbx', ok=None)
    check(rc == 2 and 'no PBX that registers' in out, out)
    box.cli('trunk', 'set', 'prov', 'reg-link=gin')
    check(prov.register(), 'nobody is registered with us: it is taken back')
    p = Pbx(box, host='pbx0', proto='udp')
    p.bulk()
    check(not prov.register(), 'the PBX is there')
    p.bulk()                               # a refresh of the PBX is no news
    prov.ua.nothing(0.5, lambda m: m.method == 'REGISTER')
    box.restart(signal.SIGKILL)            # a clean stop would take it back
    check(not prov.register(), 'after a restart: the PBX is still registered')
    check(p.register('Require: gin', p.contact(';expires=0')).status == 200, 'removal')
    check(prov.register(), 'the PBX has gone')
    out = json.loads(box.cli('reg', 'list', '-j', ok=None)[1])['data']['registrations']
    check(next(l for l in out if l['trunk'] == 'prov')['state'] == 'stopped', str(out))
    box.cli('trunk', 'set', 'prov', 'reg-link=')
    check(not prov.register(), 'independent again')
    p.ua.close()
    prov.end()


CASES = [gin, pilot, numbers, static, did_source, down, link]
