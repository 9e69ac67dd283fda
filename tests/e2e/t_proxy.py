"""Kamailio as the provider's proxy, in the path by Record-Route."""
import os

import peers
from box import BODIES, NUMBERS
from lab import ITSP_PORT, Failed, check, listening, wait

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
