"""Calls between two raw parties (sip.Ua), step by step."""
from box import NUMBERS, hop, uri
from lab import ITSP_PORT, PBX_PORT, check
from sip import Dialog, Msg, Rtp, Ua, sdp

HOME = {'pbx': ('pbx0', 'lan', PBX_PORT, 'udp', 4), 'pbxt': ('pbx1', 'lan', PBX_PORT, 'tcp', 4),
        'pbx6': ('pbx0', 'lan', PBX_PORT, 'udp', 6), 'itsp': ('itsp0', 'wan', ITSP_PORT, 'udp', 4),
        'itspt': ('itsp1', 'wan', ITSP_PORT, 'tcp', 4), 'itsp6': ('itsp0', 'wan', ITSP_PORT, 'udp', 6),
        'duo': ('itsp2', 'wan', ITSP_PORT, 'udp', 4)}


def party(box, trunk, **k):
    host, realm, port, proto, family = HOME[trunk]
    u = Ua(box.lab, k.get('host', host), k.get('port', port), proto, family)
    u.realm, u.family, u.trunk = realm, family, trunk
    u.hop = hop(realm, family)
    return u


class Call:
    """A call from trunk a to trunk b. up(): to the ACK on both sides; or take the steps one by one."""

    def __init__(self, box, a='pbx', b='itsp', ua=None, ub=None, media=False):
        self.box = box
        self.a, self.b = ua or party(box, a), ub or party(box, b)
        self.called, self.calling = NUMBERS[b], NUMBERS[a]
        self.tag_b = 'B' + self.b.uniq + str(self.b.n)
        self.rtp_a = Rtp(box.lab, self.a.host, 0, self.a.family, 0xa) if media else None
        self.rtp_b = Rtp(box.lab, self.b.host, 0, self.b.family, 0xb) if media else None
        self.port_a = self.rtp_a.port if media else 30000
        self.port_b = self.rtp_b.port if media else 30002

    def sdp_a(self, **k):
        return sdp(self.a.addr, k.pop('port', self.port_a), **k)

    def sdp_b(self, **k):
        return sdp(self.b.addr, k.pop('port', self.port_b), session='30777', **k)

    def invite(self, body=None, **k):
        self.inv = self.a.request('INVITE', uri(self.called, self.a.realm, self.a.family, self.a.proto), self.calling,
                                  self.called, body=self.sdp_a() if body is None else body, **k)
        self.a.raw(self.inv, self.a.hop)
        self.callid = Msg(self.inv.encode()).get('call-id')
        return self.inv

    def arrive(self, seconds=3):
        self.inv_b = self.b.expect('INVITE', seconds)
        return self.inv_b

    def ring(self, code=180, **k):
        self.b.reply(self.inv_b, code, 'Ringing', tag=self.tag_b, **k)
        return self.a.expect(code)

    def answer(self, body=None, **k):
        self.ok_text = self.b.reply(self.inv_b, 200, 'OK', tag=self.tag_b, body=self.sdp_b() if body is None else body, **k)
        self.ok_a = self.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
        return self.ok_a

    def ack(self, body=''):
        self.da = Dialog(self.a, True, self.inv, self.ok_a, self.a.hop)
        self.da.ack(self.da.invite_cseq, body)
        self.ack_b = self.b.expect('ACK')
        self.db = Dialog(self.b, False, self.inv_b, None, self.b.hop, self.tag_b)

    def up(self, body=None, answer=None):
        self.invite(body)
        self.arrive()
        self.ring()
        self.answer(answer)
        self.ack()
        self.read_by()
        return self

    def read_by(self):
        """What A sent, its ACK above all, has been read: it asks something else by the same way, and is answered. A change by
        B that comes before that ACK gets 491."""
        text = self.a.request('OPTIONS', uri('x', self.a.realm, self.a.family, self.a.proto), self.calling, 'x')
        self.a.raw(text, self.a.hop)
        ident = Msg(text.encode()).get('call-id')
        self.a.expect(lambda m: m.status >= 200 and m.get('call-id') == ident)

    def bye(self, from_a=True):
        d, me, other = (self.da, self.a, self.b) if from_a else (self.db, self.b, self.a)
        d.request('BYE')
        m = other.expect('BYE')
        other.reply(m, 200, 'OK')
        r = me.expect(lambda x: x.status >= 200 and x.method == 'BYE')
        check(r.status == 200, 'BYE was answered ' + r.start)
        return m
