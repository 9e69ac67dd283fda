"""Kamailio as the provider's proxy, in the path by Record-Route."""
import os
import re
import threading
import time

import peers
from box import BODIES, NUMBERS
from lab import ITSP_PORT, Failed, check, listening, wait
from raw import party
from sip import Dialog, Msg, ack_failure, sdp

CONFIG = {}
CASES = []

CFG = '''#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
auto_aliases=no
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
modparam("rr", "enable_full_lr", 1)
request_route {
	if (has_totag()) {
		if (loose_route()) t_relay();
		else if (is_method("ACK") && t_check_trans()) t_relay();
		else sl_send_reply("481", "Not here");
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	record_route();
	if ($si == "203.0.113.1") $du = "sip:203.0.113.22:5064";
	else rewritehostport("203.0.113.1:5060");
	t_relay();
	exit;
}
'''


def kamailio(box):
    d = box.lab.fresh('kamailio')
    with open(d + '/k.cfg', 'w') as f:
        f.write(CFG)
    p = box.lab.run('itsp0', ['kamailio', '-f', d + '/k.cfg', '-DD', '-E', '-e', '-w', d, '-Y', d, '-m', '32', '-M', '8',
                              '-l', 'udp:203.0.113.20:%d' % ITSP_PORT], 'kamailio')
    wait('Kamailio to listen', lambda: listening('itsp0', 'udp', '203.0.113.20', ITSP_PORT) or not p.running(), 8)
    check(p.running(), 'Kamailio did not start: ' + p.text()[-500:])
    return p


def through(scn, inbound):
    def run(box):
        p = kamailio(box)
        if inbound:
            # the far party stands behind the proxy: it sends to it, the proxy to us
            s = peers.Sipp(box.lab, scn, 'itsp2', 'pbx0', None, called=NUMBERS['pbx'], calling=NUMBERS['itsp'], bodies=BODIES,
                           to=('203.0.113.20', ITSP_PORT))
        else:
            s = peers.Sipp(box.lab, scn, 'pbx0', 'itsp2', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], bodies=BODIES)
        s.finish()
        side = 'uac' if inbound else 'uas'
        text = s.text(side)
        check('Record-Route' in text, 'the proxy was not in the path')
        p.stop()
    run.__name__ = 'proxy_%s_%s' % (scn, 'in' if inbound else 'out')
    run.__doc__ = '%s through a record-routing proxy, %s' % (scn, 'ITSP to PBX' if inbound else 'PBX to ITSP')
    return run


CASES = [through(s, i) for s in ('short', 'calleebye', 'holdback', 'cancel180') for i in (False, True)]

ANSWERS = '''#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=2
auto_aliases=no
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "xlog.so"
request_route {
	if (is_method("ACK")) exit;
	xlog("L_ERR", "TOOK $rm $ci\\n");
	if (is_method("INVITE")) {
		append_to_reply("Contact: <sip:203.0.113.21:5064;transport=tcp>\\r\\n");
		set_reply_body("v=0\\r\\no=k 1 1 IN IP4 203.0.113.21\\r\\ns=-\\r\\nc=IN IP4 203.0.113.21\\r\\nt=0 0\\r\\nm=audio 6000 RTP/AVP 8\\r\\na=rtpmap:8 PCMA/8000\\r\\n", "application/sdp");
	}
	sl_send_reply("200", "OK");
	exit;
}
'''


def answering(box, n):
    """A provider over TCP that keeps nothing of a call, so that it can be ended and started again in between."""
    d = box.lab.fresh('answering%d' % n)
    with open(d + '/k.cfg', 'w') as f:
        f.write(ANSWERS)
    p = box.lab.run('itsp1', ['kamailio', '-f', d + '/k.cfg', '-DD', '-E', '-e', '-w', d, '-Y', d, '-m', '32', '-M', '8',
                              '-l', 'tcp:203.0.113.21:%d' % ITSP_PORT], 'kamailio')
    wait('Kamailio to listen', lambda: listening('itsp1', 'tcp', '203.0.113.21', ITSP_PORT) or not p.running(), 8)
    check(p.running(), 'Kamailio did not start: ' + p.text()[-500:])
    return p


def restarts(box):
    """a provider over TCP restarts three times under 20 calls a second: what a fresh connection can carry is not lost"""
    ua, running = party(box, 'pbx'), [answering(box, 0)]
    logs, down, calls = [running[0]], [], {}

    def restart():
        t = time.monotonic()
        running.pop().stop()
        running.append(answering(box, len(logs)))
        logs.append(running[0])
        down.append((t, time.monotonic()))
    begin = time.monotonic()
    kills = [begin + 2, begin + 4.5, begin + 7]
    next_call, end = begin, begin + 9.5
    while time.monotonic() < end + 3:
        now = time.monotonic()
        if kills and now >= kills[0]:
            kills.pop(0)
            again = threading.Thread(target=restart)
            again.start()
        if now >= next_call and now < end:
            next_call += 0.05
            inv = ua.request('INVITE', 'sip:%s@198.51.100.1:5060' % NUMBERS['itspt'], NUMBERS['pbx'], NUMBERS['itspt'],
                             body=sdp(ua.addr, 30000))
            ua.raw(inv, ua.hop)
            calls[Msg(inv.encode()).get('call-id')] = {'inv': inv, 'at': now, 'status': 0}
        for c in calls.values():
            if c.get('bye') and now >= c['bye'] and 'ended' not in c:
                c['ended'] = now
                c['dialog'].request('BYE')
        try:
            m = ua.expect(lambda m: m.status >= 200, 0.01)
        except Failed:
            if now >= end and all(c['status'] for c in calls.values()) and all('ended' in c for c in calls.values() if c.get('bye')):
                break
            continue
        c = calls[m.get('call-id')]
        if m.method == 'INVITE' and not c['status']:
            c['status'] = m.status
            if m.status == 200:
                c['dialog'] = Dialog(ua, True, c['inv'], m, ua.hop)
                c['dialog'].ack(c['dialog'].invite_cseq)
                c['bye'] = time.monotonic() + 0.1
            else:
                ack_failure(ua, c['inv'], m, ua.hop)
    again.join()
    wait('all calls to be gone', lambda: box.calls() == 0, 40)
    running.pop().stop()
    text = ''.join(p.text() for p in logs)
    took = {k: len(set(re.findall(r'TOOK %s (\S+)' % k, text))) for k in ('INVITE', 'BYE')}
    # nobody listened from the moment it was told to end until it was there again
    dark = lambda t: any(a - 0.3 <= t <= b for a, b in down)
    lost = [(round(c['at'] - begin, 2), c['status']) for c in calls.values() if c['status'] != 200 and not dark(c['at'])]
    check(len(calls) > 100 and len(down) == 3, '%d calls, %s' % (len(calls), down))
    check(not lost, 'of %d calls these failed though the provider was there: %s; down %s'
          % (len(calls), lost, [(round(a - begin, 2), round(b - begin, 2)) for a, b in down]))
    good = sum(c['status'] == 200 for c in calls.values())
    sure = sum(1 for c in calls.values() if c['status'] == 200 and not dark(c['ended']))
    check(took['BYE'] >= sure, '%d BYEs came to the provider, %d calls ended while it was there (%d answered)' % (took['BYE'], sure, good))


CASES.append(restarts)
