"""RFC 5626 where we are the registrar: a PBX with two flows, which are cut; edge proxies with flow tokens in front of us."""
import json
import os
import re
import signal
import sys
import time

import peers
import t_audio
from box import NUMBERS, hop, uri
from kamailio import BEGIN, Kamailio
from lab import BOX, HERE, ITSP_PORT, LISTEN, Failed, addr, check, listening, wait
from raw import party
from sip import Dialog, Ua, ack_failure, sdp
from t_register import CONFIG, DOMAIN, GIN, PHONE, SECRET, Pbx, trunks  # noqa: F401 (CONFIG is read by the runner)

INSTANCE = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'
NUMBER = PHONE + '507'


class Relay:
    """A way to us that can be cut: that port of that host."""

    def __init__(self, box, host, port, to=None):
        self.at = '%s:%d' % (addr(host), port)
        to = to or (BOX[('lan', 4)], LISTEN)
        self.p = box.lab.run(host, [sys.executable, os.path.join(HERE, 'relay.py'), addr(host), str(port), to[0], str(to[1])], 'relay')
        wait('the relay to listen', lambda: listening(host, 'tcp', addr(host), port), 5)

    def carried(self, method):
        return self.p.text().count('down %s\n' % method)

    def cut(self):
        self.p.stop()


def baresip(box, *outbound):
    """One baresip with a flow by each of these."""
    box.set('phones', 'digest=md5', 'digest=')        # this one gives up at a name it does not know
    ways = ''.join(';outbound%s="sip:%s;transport=tcp"' % (i + 1 if i else '', o) for i, o in enumerate(outbound))
    return peers.Baresip(box.lab, 'flows', 'pbx0', 5068, 440, answer=True, instance=INSTANCE, account=(
        '<sip:%s@%s;transport=tcp>;auth_user=user300;auth_pass="%s";regint=60;sipnat=outbound%s;audio_codecs=PCMA;'
        'answermode=auto' % (NUMBER, DOMAIN, SECRET, ways)))


def flows(box, *states, seconds=10):
    """The flows of PBXs when they are in these states."""
    def there():
        l = json.loads(box.cli('reg', 'flows', '-j', ok=None)[1])['data']['flows']
        return l if sorted(f['state'] for f in l) == sorted(states) else None
    return wait('flows: %s' % (states,), there, seconds)


def cut(box):
    """baresip registered by two flows over TCP: the one a call came by is cut, the call ends in order and the next one comes by the other"""
    trunks(box)
    ways = [Relay(box, 'pbx1', 5071), Relay(box, 'pbx1', 5072)]
    a = baresip(box, *[w.at for w in ways])
    l = flows(box, 'up', 'up')
    check(sorted(f['flow'] for f in l) == [1, 2] and all(INSTANCE in f['instance'] for f in l), str(l))
    b = peers.Baresip(box.lab, 'b', 'itsp0', 5064, 1000)
    b.command('dial', uri(NUMBER, 'wan'))
    b.event('CALL_ESTABLISHED', 12)
    check([w.carried('INVITE') for w in ways] in ([1, 0], [0, 1]), 'one INVITE by one flow')
    by, other = (0, 1) if ways[0].carried('INVITE') else (1, 0)
    t_audio.listen((a, b), 1)
    t = time.monotonic()
    ways[by].cut()
    flows(box, 'up', 'lost')
    rc, out = box.cli('status', ok=None)
    check(rc == 1 and 'phones: a flow of the PBX is lost (1 in all)' in out, out)
    check(box.json('reg', 'history', 'phones')['events'][0]['code'] == 'PSN-E1133', 'history')
    b.command('hangup')
    a.event('CALL_CLOSED')
    check(ways[other].carried('BYE') == 1, 'BYE not by the other flow')
    r = box.cdrs(1, called=NUMBER)[0]
    check(r['answer_us'] and r['reason'].startswith('PSN-E2001'), str(r))
    # the next call, at once
    b.command('dial', uri(NUMBER, 'wan'))
    b.event('CALL_ESTABLISHED', 12)
    print('# cut: the next call was up by the other flow after %.2f s' % (time.monotonic() - t))
    check(ways[other].carried('INVITE') == 1, 'not by the other flow')
    t_audio.listen((a, b), 2)
    b.command('hangup')
    a.event('CALL_CLOSED')
    b.stop()
    t_audio.heard(a, b, 2.0)
    t_audio.heard(b, a, 2.0)
    # no flow at all: told as nobody registered, and why
    ways[other].cut()
    flows(box, 'lost', 'lost')
    i = party(box, 'itsp')
    t = i.request('INVITE', uri(NUMBER, 'wan'), NUMBERS['itsp'], NUMBER, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    m = i.expect(lambda m: m.status >= 200)
    check(m.status == 480, m.start)
    ack_failure(i, t, m, i.hop)
    wait('the record to say why', lambda: any(r['reason'].startswith('PSN-E1133') for r in box.cdrs(1, called=NUMBER)), 3)
    i.close()


# An edge proxy (RFC 5626 5): what a UA registers is sent on with a Path that names its flow; what comes back by that Path
# goes by that flow, or is answered 430.
EDGE = BEGIN + """loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "stun.so"
loadmodule "outbound.so"
loadmodule "path.so"
tcp_connection_lifetime=600
modparam("outbound", "force_outbound_flag", -1)
request_route {
	if ($si == "%(postern)s") {
		if (is_method("INVITE")) record_route();
		loose_route();
		switch ($rc) {
		case -2:
			xlog("L_ERR", "TAMPERED\\n");
			sl_send_reply("403", "Forbidden");
			exit;
		}
		set_forward_no_connect();
		if (!t_relay()) {
			xlog("L_ERR", "FLOW FAILED $rm\\n");
			sl_send_reply("430", "Flow Failed");
		}
		exit;
	}
	remove_hf("Route");
	if (is_method("REGISTER") && !add_path()) {
		sl_send_reply("503", "No Path");
		exit;
	}
	if (is_method("INVITE")) record_route();
	$du = "sip:%(postern)s:5060;transport=tcp";
	t_relay();
}
"""


class Edge(Kamailio):
    """One edge proxy on pbx1, at that port."""

    def __init__(self, box, port):
        super().__init__(box, 'pbx1', addr('pbx1'), EDGE, d=box.lab.fresh('edge%d' % port), port=port, realm='edge%d.example' % port,
                         postern=BOX[('lan', 4)])


def edges(box):
    """behind two edge proxies with flow tokens in Path: 430 of the one whose flow is cut leads to the other one, and the call is not lost"""
    trunks(box)
    edge = [Edge(box, 5073), Edge(box, 5074)]
    ways = [Relay(box, 'pbx0', 5075 + i, (addr('pbx1'), 5073 + i)) for i in range(2)]
    a = baresip(box, *[w.at for w in ways])
    flows(box, 'up', 'up')
    l = box.json('reg', 'inside', '--trunk', 'phones')['registrations']
    check(all(re.match(r'<sip:[^@>]+@198\.51\.100\.11:507[34];[^>]*\bob\b', r['path']) for r in l), str(l))
    b = peers.Baresip(box.lab, 'b', 'itsp0', 5064, 1000)
    b.command('dial', uri(NUMBER, 'wan'))
    b.event('CALL_ESTABLISHED', 12)
    by, other = (0, 1) if ways[0].carried('INVITE') else (1, 0)
    check((ways[by].carried('INVITE'), ways[other].carried('INVITE')) == (1, 0), 'one INVITE by one flow')
    b.command('hangup')
    a.event('CALL_CLOSED')
    ways[by].cut()
    b.command('dial', uri(NUMBER, 'wan'))
    b.event('CALL_ESTABLISHED', 12)
    check('FLOW FAILED INVITE' in edge[by].p.text(), 'no 430')
    check((ways[by].carried('INVITE'), ways[other].carried('INVITE')) == (1, 1), 'not by the other edge')
    t_audio.listen((a, b), 2)
    b.command('hangup')
    a.event('CALL_CLOSED')
    a.stop()
    b.stop()
    t_audio.heard(a, b, 1.5)
    t_audio.heard(b, a, 1.5)
    for e in edge:
        e.stop()


def by_flow(box, i, token, number, method='INVITE'):
    """A request of the ITSP with that Route."""
    t = i.request(method, uri(number, 'wan'), NUMBERS['itsp'], number, headers=['Route: ' + token],
                  body=sdp(i.addr, 30000) if method == 'INVITE' else '')
    i.raw(t, i.hop)
    return t


def token(box):
    """the Path of the 200 names the flow: a request with that Route goes by it and no other, changed it is 403, and 430 once it is cut"""
    trunks(box)
    number = GIN + '541'
    flow = [Pbx(box), Pbx(box)]
    paths = []
    for k, p in enumerate(flow):
        m = p.register('Require: gin', 'Proxy-Require: gin', 'Supported: path, outbound',
                       p.contact(';+sip.instance="<urn:uuid:%s>";reg-id=%d' % (INSTANCE, k + 1)))
        check(m.status == 200 and m.get('require') == 'outbound', str(m))
        paths.append(m.get('path'))
        check(re.match(r'<sip:fl\.[\w+/]{38}@%s:%d;transport=tcp;lr;ob>$' % (re.escape(BOX[('lan', 4)]), LISTEN), paths[k]), str(m))
    check(paths[0] != paths[1], 'one name for two flows')
    i = party(box, 'itsp')
    for k, p in enumerate(flow):
        t = by_flow(box, i, paths[k], number)
        inv = p.ua.expect('INVITE')
        check(not inv.all('route'), str(inv))
        p.ua.reply(inv, 486, 'Busy Here', tag='b')
        ack_failure(i, t, i.expect(lambda m: m.status >= 200), i.hop)
        t = by_flow(box, i, paths[k].replace(paths[k][15], 'A' if paths[k][15] != 'A' else 'B', 1), number)
        m = i.expect(lambda m: m.status >= 200)
        check(m.status == 403, m.start)
        ack_failure(i, t, m, i.hop)
    # what the PBX sends by it is its own
    t = flow[0].ua.request('INVITE', 'sip:%s@%s' % (NUMBERS['itsp'], DOMAIN), number, NUMBERS['itsp'], headers=['Route: ' + paths[0]],
                           body=sdp(flow[0].ua.addr, 30000))
    flow[0].ua.raw(t, flow[0].ua.hop, flow[0].conn)
    i.reply(i.expect('INVITE'), 486, 'Busy Here', tag='b')
    i.expect('ACK')
    ack_failure(flow[0].ua, t, flow[0].ua.expect(lambda m: m.status == 486), flow[0].ua.hop)
    flow[0].ua.close()
    flows(box, 'lost', 'up')
    for method in ('INVITE', 'OPTIONS'):
        t = by_flow(box, i, paths[0], number, method)
        m = i.expect(lambda m: m.status >= 200)
        check(m.status == 430, m.start)
        if method == 'INVITE':
            ack_failure(i, t, m, i.hop)
    flow[1].ua.nothing(0.2, lambda m: m.method == 'INVITE')
    # without that Route the call is not lost
    t = i.request('INVITE', uri(number, 'wan'), NUMBERS['itsp'], number, body=sdp(i.addr, 30000))
    i.raw(t, i.hop)
    flow[1].ua.reply(flow[1].ua.expect('INVITE'), 486, 'Busy Here', tag='b')
    ack_failure(i, t, i.expect(lambda m: m.status == 486), i.hop)
    i.close()
    flow[1].ua.close()


CASES = [cut, edges, token]
