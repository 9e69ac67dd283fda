"""Kamailio as the registrar and proxy of a provider: its configuration, started and asked."""
import re

from lab import ITSP_PORT, check, listening, wait

REALM = 'itsp.example.com'
SECRET = 'tr0ub4dor'      # the provider's choice: it would be refused for a PBX

BEGIN = '''#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
alias="%(realm)s"
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
'''

# After REGISTER: requests in dialogs, calls of a customer's (from our box), calls for a customer: the account stands in a
# header here, the number called stays in the request URI.
CALLS = '''	if (has_totag()) {
		if (loose_route()) t_relay();
		else if (is_method("ACK") && t_check_trans()) t_relay();
		else sl_send_reply("481", "Not here");
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
	if ($si == "203.0.113.1") {
		xlog("L_ERR", "OUT $rm route=$hdr(Route)\\n");
		loose_route();
		record_route();
		$du = "sip:%(far)s:5070";
		t_relay();
		exit;
	}
	record_route();
	$var(did) = $rU;
	$ru = "sip:" + $hdr(X-Account) + "@%(realm)s";
	if (!lookup("location")) { sl_send_reply("404", "Not registered"); exit; }
	$rU = $var(did);
	t_relay();
	exit;
}
'''


def config(modules, params, register, more=''):
    """A template: modules by name; params: lines; register: what the route does with a REGISTER; more: global lines."""
    return (BEGIN + more + ''.join('loadmodule "%s.so"\n' % m for m in modules.split()) + params +
            'request_route {\n\tif (is_method("REGISTER")) {\n' + register + '\t\texit;\n\t}\n' + CALLS)


class Kamailio:
    """One process at that address; mem: MiB of its shared memory. cfg is filled with values, and with its folder."""

    def __init__(self, box, host, address, cfg, d=None, mem=32, port=ITSP_PORT, **values):
        d = d or box.lab.fresh('kamailio-' + host)
        with open(d + '/k.cfg', 'w') as f:
            f.write(cfg % dict(values, dir=d))
        self.p = box.lab.run(host, ['kamailio', '-f', d + '/k.cfg', '-DD', '-E', '-e', '-w', d, '-Y', d, '-m', str(mem), '-M', '8',
                                    '-l', 'udp:%s:%d' % (address, port), '-l', 'tcp:%s:%d' % (address, port)], 'kamailio')
        wait('Kamailio to listen', lambda: not self.p.running() or
             all(listening(host, proto, address, port) for proto in ('udp', 'tcp')), 8)
        check(self.p.running(), 'Kamailio did not start: ' + self.p.text()[-500:])

    def got(self):
        """(aor, call-id, cseq, contact, user of the credentials or <null>) of each REGISTER"""
        return re.findall(r'GOT \S+ aor=(\S+) ci=(\S+) cs=(\d+) contact=(.*?) auth=(\S+)', self.p.text())

    def stop(self):
        if self.p.running():
            self.p.stop()
