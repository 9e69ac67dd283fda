"""Whole calls over TLS: a PBX over UDP, the controller, and a provider that shows a certificate and wants to see one.

The provider is Kamailio with TLS and SIPp behind it, in both directions, and where a connection is to be cut at a
given moment or a certificate to be wrong, a raw party (sip.Ua) with python's ssl.
"""
import os
import ssl
import time

import peers
import srtp
import t_srtp
import t_tls
from box import BODIES, NUMBERS, uri
from lab import BOX, ITSP_PORT, check, inside, listening, recovered, wait
from raw import Call, party
from sip import Ua, ack_failure, cancel, sdp
from t_media import both
from t_tls import TLS_PORT, openssl

FAR = '203.0.113.21'            # of the raw party
KAM = '203.0.113.20'
NUMBERS['kam'], NUMBERS['far'] = '+41445550001', '+43155500001'
CONFIG = {'realm': {'wan': '\tcert = "edge"\n'},
          'listen': {'wan': ['tls 203.0.113.1:%d' % TLS_PORT]},
          'extra': ''}
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


prepare = t_tls.prepare


# ------------------------------------------------------------------------------ the provider: Kamailio

CFG = '''#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=2
auto_aliases=no
enable_tls=yes
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "tls.so"
modparam("tls", "config", "%s")
modparam("rr", "enable_full_lr", 1)
request_route {
	# what comes from the far party goes to the controller over TLS, whatever its Contact says
	if (has_totag()) {
		if (loose_route()) {
			if ($si != "203.0.113.1") $du = "sip:203.0.113.1:5061;transport=tls";
			t_relay();
		} else if (is_method("ACK") && t_check_trans()) t_relay();
		else sl_send_reply("481", "Not here");
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	record_route();
	if ($si == "203.0.113.1") $du = "sip:203.0.113.22:5064";
	else {
		rewritehostport("203.0.113.1:5061");
		$du = "sip:203.0.113.1:5061;transport=tls";
	}
	t_relay();
	exit;
}
'''


def kamailio(box):
    d = box.lab.fresh('kamailio')
    os.chmod(d, 0o755)
    pem, key = box.peer
    with open(d + '/tls.cfg', 'w') as f:
        f.write(t_tls.KAMAILIO_TLS % (key, pem, box.ca.cert, key, pem, box.ca.cert))
    with open(d + '/k.cfg', 'w') as f:
        f.write(CFG % (d + '/tls.cfg'))
    p = box.lab.run('itsp0', ['kamailio', '-f', d + '/k.cfg', '-DD', '-E', '-e', '-w', d, '-Y', d, '-m', '64', '-M', '8',
                              '-l', 'tls:%s:%d' % (KAM, TLS_PORT), '-l', 'udp:%s:%d' % (KAM, ITSP_PORT)], 'kamailio')
    wait('Kamailio to listen', lambda: listening('itsp0', 'tcp', KAM, TLS_PORT) or not p.running(), 10)
    check(p.running(), 'Kamailio did not start: ' + p.text()[-500:])
    return p


def add_trunk(box, name, to, *settings):
    # the trunks known by these addresses stand aside: who calls is told by the certificate alone
    for trunk, address in (('itsp', KAM), ('itspt', FAR)):
        at = address + (':5064' if trunk == 'itsp' else ':5064/tcp')
        box.set(trunk, 'target=' + at.replace('113.2', '113.9'), 'target=' + at)
    box.cli('trunk', 'add', name, 'role=itsp', 'realm=wan', 'identify=tls-name', 'tls-cert=edge', 'probe=off', *settings)
    box.undoing.append(('trunk', 'del', name, '--force'))
    box.cli('route', 'add', name, '--to', to, '--via', name)
    box.undoing.append(('route', 'del', name))


def add_kam(box):
    add_trunk(box, 'kam', '+41*', 'target=%s:%d/tls' % (KAM, TLS_PORT), 'tls-names=itsp.example')


def connections(address):
    """TLS connections between the controller and that address: (ours, theirs)."""
    raw = ''.join('%02X' % int(x) for x in reversed(address.split('.')))
    n = [0, 0]
    with inside('box'), open('/proc/thread-self/net/tcp') as f:
        for l in f.readlines()[1:]:
            w = l.split()
            if w[3] == '01' and w[2].startswith(raw):
                n[w[1].endswith(':%04X' % TLS_PORT)] += 1
    return tuple(n)


def through(scn, inbound):
    def run(box):
        p = kamailio(box)
        add_kam(box)
        if inbound:     # the far party sends to Kamailio, which calls us with its certificate
            s = peers.Sipp(box.lab, scn, 'itsp2', 'pbx0', None, called=NUMBERS['pbx'], calling=NUMBERS['kam'], bodies=BODIES,
                           to=(KAM, ITSP_PORT))
        else:
            s = peers.Sipp(box.lab, scn, 'pbx0', 'itsp2', 'lan', called=NUMBERS['kam'], calling=NUMBERS['pbx'], bodies=BODIES)
        s.finish()
        check(sum(connections(KAM)) >= 1, 'there is no TLS connection')
        r = box.cdrs(1)[0]
        check(r['from_trunk' if inbound else 'to_trunk'] == 'kam', str(r))
        check(p.running(), 'Kamailio ended')
    run.__name__ = 'kamailio_%s_%s' % (scn, 'in' if inbound else 'out')
    run.__doc__ = '%s through Kamailio over mutual TLS, %s' % (scn, 'ITSP to PBX' if inbound else 'PBX to ITSP')
    return run


CASES += [through(s, i) for s in ('short', 'calleebye', 'holdback', 'cancel180', 'update') for i in (False, True)]


@case
def hundred(box):
    """100 calls each way through Kamailio over mutual TLS: one connection that we made and at most one that it made"""
    kamailio(box)
    add_kam(box)
    peers.Sipp(box.lab, 'short', 'pbx0', 'itsp2', 'lan', called=NUMBERS['kam'], calling=NUMBERS['pbx'], calls=100, rate=25,
               seconds=40).finish()
    ours, theirs = connections(KAM)
    check((ours, theirs) == (1, 0), 'after 100 calls out: %d connections of ours, %d of the peer' % (ours, theirs))
    peers.Sipp(box.lab, 'short', 'itsp2', 'pbx0', None, called=NUMBERS['pbx'], calling=NUMBERS['kam'], calls=100, rate=25,
               seconds=40, to=(KAM, ITSP_PORT)).finish()
    ours, theirs = connections(KAM)
    check(ours == 1 and theirs <= 1, 'after 100 calls in: %d connections of ours, %d of the peer' % (ours, theirs))


# ------------------------------------------------------------------------------ the provider: a raw party

def contexts(box, pair, ask=True):
    """(of its listener, of its connections) with that certificate; None: it shows none as a client."""
    s = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    s.load_cert_chain(*(pair or box.peer))
    s.load_verify_locations(box.ca.cert)
    s.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(box.ca.cert)
    if pair:
        c.load_cert_chain(*pair)
    return s, c


def raw_peer(box, pair='own', host='itsp1'):
    s, c = contexts(box, box.peer if pair == 'own' else pair)
    u = Ua(box.lab, host, TLS_PORT, 'tls', shows=s, calls=c, sni='edge.example')
    u.realm, u.family, u.trunk, u.hop = 'wan', 4, 'far', (BOX[('wan', 4)], TLS_PORT)
    return u


def add_far(box, *settings):
    add_trunk(box, 'far', '+43*', 'target=%s:%d/tls' % (FAR, TLS_PORT), 'tls-names=itsp.example', *settings)


def call_far(box, ub=None, media=True):
    return Call(box, 'pbx', 'far', ub=ub or raw_peer(box), media=media)


@case
def one_connection(box):
    """in-dialog requests of both sides of a call over TLS use the connection the call began on"""
    add_far(box)
    c = call_far(box).up()
    inv = c.inv_b.source
    check(c.ack_b.source is inv, 'the ACK came over another connection')
    both(c)
    c.da.request('INVITE', c.sdp_a(version=2))
    m = c.b.expect('INVITE')
    check(m.source is inv, 'the re-INVITE came over another connection')
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=2))
    c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    c.da.ack()
    check(c.b.expect('ACK').source is inv, 'its ACK came over another connection')
    check(c.inv_b.start.split()[1].startswith('sip:') and 'TLS' in c.inv_b.get('via'), c.inv_b.start)
    c.db.request('BYE')
    m = c.a.expect('BYE')
    c.a.reply(m, 200, 'OK')
    r = c.b.expect(lambda x: x.status >= 200 and x.method == 'BYE')
    check(r.status == 200 and r.source is inv and c.b.accepted == 1, '%s, %d connections' % (r.start, c.b.accepted))


@case
def encrypted_media(box):
    """SRTP with SDES over TLS, without leave for keys in clear: offered by us and to us, answered as what was offered, packets both ways"""
    add_far(box, 'srtp=required')
    for inbound in (False, True):
        far, pbx = raw_peer(box), party(box, 'pbx')
        ua, ub, trunks = (far, pbx, ('far', 'pbx')) if inbound else (pbx, far, ('pbx', 'far'))
        keys = [srtp.Key(t_srtp.CM80) if t == 'far' else None for t in trunks]
        t = t_srtp.call(box, keys, trunks=trunks, ua=ua, ub=ub)
        theirs = t.c.ok_a if inbound else t.c.inv_b     # what the far party was told
        check('m=audio ' in theirs.body and ' RTP/SAVP ' in theirs.body and 'a=crypto:1 ' + t_srtp.CM80 in theirs.body, theirs.body)
        check('RTP/SAVP' not in (t.c.inv_b if inbound else t.c.ok_a).body, 'keys went to a party in clear')
        t_srtp.say(t, 0, 3)
        t_srtp.say(t, 1, 3)
        m = [x for x in box.media() if x['leg'] == ('a' if inbound else 'b')][0]
        check(m['srtp_in'] == m['srtp_out'] == t_srtp.CM80 and m['srtp_auth_failed'] == 0, str(m))
        t.c.bye()
        box.lab.close()


# ------------------------------------------------------------------------------ certificates that are wrong

def refused_out(box, pair, reason):
    """A call to a far end with that certificate is refused with the reason in its record."""
    add_far(box)
    c = call_far(box, raw_peer(box, pair), media=False)
    inv = c.invite()
    end = time.monotonic() + 8
    m = None
    while m is None and time.monotonic() < end:      # the far end has to take part in its handshake
        c.b._poll(0.05)
        m = c.a._poll(0.05)
        if m is not None and m.status < 200:
            m = None
    check(m is not None, 'the caller got no final answer')
    ack_failure(c.a, inv, m, c.a.hop)
    check(m.status >= 400, m.start)
    check(not any(x.start.startswith('INVITE') for x in c.b.others), 'the far end got the INVITE')
    r = box.cdrs(1, reason=reason)[0]
    check(r['to_trunk'] in ('far', None, ''), str(r))


def wrong(name, title, make, reason):
    def run(box):
        refused_out(box, make(box), reason)
    run.__name__, run.__doc__ = name, title
    CASES.append(run)


wrong('other_name', 'a call to a far end whose certificate names another domain: refused, the record says so',
      lambda box: box.ca.issue('other', 'other.example'), 'PSN-E1040')
wrong('foreign_root', 'a call to a far end whose certificate leads to no root of ours: refused, the record says so',
      lambda box: box.foreign.issue('itsp', 'itsp.example'), 'PSN-E1038')
wrong('expired', 'a call to a far end whose certificate has expired: refused, the record says so',
      lambda box: box.ca.issue('old', 'itsp.example', days=-1), 'PSN-E1039')


@case
def purpose(box):
    """a call to a far end whose certificate is for something else (EKU codeSigning): refused, the record says so"""
    base = box.lab.path('tls/ca/sign')
    with open(base + '.ext', 'w') as f:
        f.write('subjectAltName=URI:sip:itsp.example,DNS:itsp.example\nextendedKeyUsage=codeSigning\n')
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=itsp.example',
            '-keyout', base + '.key', '-out', base + '.csr')
    openssl('x509', '-req', '-in', base + '.csr', '-CA', box.ca.cert, '-CAkey', box.ca.key, '-CAcreateserial', '-days', 9,
            '-extfile', base + '.ext', '-out', base + '.pem')
    refused_out(box, (base + '.pem', base + '.key'), 'PSN-E1043')


def asks_in(box, pair):
    """What an INVITE from outside comes to with that client certificate: a status, 'closed' or 'silence'."""
    u = raw_peer(box, pair)
    pbx = party(box, 'pbx')
    try:
        u.raw(u.request('INVITE', uri(NUMBERS['pbx'], 'wan'), NUMBERS['far'], NUMBERS['pbx'], body=sdp(u.addr, 30000)), u.hop)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            m = u._poll(0.1)
            if m is not None and m.status != 100:
                return m.status
            if not u.conns:
                return 'closed'
            m = pbx._poll(0.02)
            if m is not None and m.method == 'INVITE':
                pbx.reply(m, 486, 'Busy', tag='x')
                pbx.expect('ACK')
        return 'silence'
    except OSError:
        return 'closed'


@case
def wrong_callers(box):
    """calls of a trunk known by its certificate: the right one is let in; another name, an expired one, a foreign root, none are not, and guard events says why"""
    add_far(box)
    wait('the right certificate to be let in', lambda: asks_in(box, 'own') == 486, 1)
    box.lab.close()
    for what, pair in (('another name', box.ca.issue('other', 'other.example')), ('expired', box.ca.issue('old', 'itsp.example', days=-1)),
                       ('a foreign root', box.foreign.issue('itsp', 'itsp.example')), ('none', None)):
        got = asks_in(box, pair)
        print('# caller with %s: %s' % (what, got))
        check(got in ('closed', 'silence', 403), '%s: %s' % (what, got))
        box.lab.close()
    out = box.cli('guard', 'events', ok=None)[1]
    for code in ('PSN-E1039', 'PSN-E1038', 'PSN-E1040'):
        check(code in out, '%s is not among guard events: %s' % (code, out))
    check('other.example' in out, out)


# ------------------------------------------------------------------------------ the connection is cut

@case
def cut_setup(box):
    """the connection is cut before the far end answered: it answers over one of its own, the call comes up"""
    add_far(box)
    c = call_far(box)
    c.invite()
    c.arrive()
    c.b.cut()
    t = time.monotonic()
    c.ring()            # RFC 3261 18.2.2: over a new connection
    recovered('TCP cut in set-up', time.monotonic() - t)
    c.answer()
    c.ack()
    check(c.ack_b.source is not c.inv_b.source, 'the ACK came over a connection that is gone')
    both(c)
    c.bye()


@case
def cut_ringing(box):
    """the connection is cut while it rings: the far end answers over one of its own, the call comes up"""
    add_far(box)
    c = call_far(box)
    c.invite()
    c.arrive()
    c.ring()
    c.b.cut()
    t = time.monotonic()
    c.answer()          # RFC 3261 18.2.2: over a new connection
    c.ack()
    recovered('TCP cut while ringing', time.monotonic() - t)
    both(c)
    c.bye()


def cut_up(from_a):
    def run(box):
        add_far(box)
        c = call_far(box).up()
        both(c)
        c.b.cut()
        both(c)
        t = time.monotonic()
        c.bye(from_a)
        recovered('TCP cut in a call that is up, BYE from the %s' % ('PBX' if from_a else 'ITSP'), time.monotonic() - t)
        check(box.cdrs(1)[0]['to_trunk'] == 'far', 'record')
    run.__name__ = 'cut_up_' + ('a' if from_a else 'b')
    run.__doc__ = 'the connection is cut in a call: media goes on, BYE of the %s goes over a new connection' % ('PBX' if from_a else 'ITSP')
    return run


CASES += [cut_up(True), cut_up(False)]


@case
def cut_reinvite(box):
    """the connection is cut during a re-INVITE: its answer comes over a new one, media goes on, BYE works"""
    add_far(box)
    c = call_far(box).up()
    c.da.request('INVITE', c.sdp_a(version=2))
    m = c.b.expect('INVITE')
    c.b.cut()
    both(c)
    t = time.monotonic()
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=2))
    c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    c.da.ack()
    c.b.expect('ACK')
    recovered('TCP cut in a re-INVITE', time.monotonic() - t)
    both(c)
    c.bye()


@case
def cut_before_request(box):
    """the connection is cut and at once a re-INVITE is to be sent: it goes over a new connection within a second"""
    add_far(box)
    c = call_far(box).up()
    c.b.cut()
    t = time.monotonic()
    c.da.request('INVITE', c.sdp_a(version=2))
    m = c.b.expect('INVITE')
    recovered('TCP cut just before a re-INVITE', time.monotonic() - t)
    c.b.reply(m, 200, 'OK', body=c.sdp_b(version=2))
    c.a.expect(lambda m: m.status == 200 and m.method == 'INVITE')
    c.da.ack()
    c.b.expect('ACK')
    both(c)
    c.bye()


@case
def cut_answered(box):
    """the connection is cut right behind the 200: the far end repeats it over one of its own, the call comes up"""
    add_far(box)
    c = call_far(box)
    c.invite()
    c.arrive()
    c.ring()
    c.b.reply(c.inv_b, 200, 'OK', tag=c.tag_b, body=c.sdp_b())
    c.b.cut()
    t = time.monotonic()
    c.answer()          # RFC 3261 13.3.1.4, over a new connection
    c.ack()
    recovered('TCP cut between 200 and ACK', time.monotonic() - t)
    both(c)
    c.bye()


@case
def cut_bye(box):
    """the connection is cut with a BYE that was not answered: it comes again over a new one, within a second"""
    add_far(box)
    c = call_far(box).up()
    c.da.request('BYE')
    one = c.b.expect('BYE')
    c.b.cut()
    t = time.monotonic()
    two = c.b.expect('BYE', 1)
    recovered('TCP cut with a BYE unanswered', time.monotonic() - t)
    check(two.get('via') == one.get('via') and two.source is not one.source, 'another BYE, or over the old connection')
    c.b.reply(two, 200, 'OK')
    c.b.nothing(1, lambda m: m.method == 'BYE')


@case
def cut_cancel(box):
    """the connection is cut with a CANCEL that was not answered: it comes again over a new one, within a second"""
    add_far(box)
    c = call_far(box)
    inv = c.invite()
    c.arrive()
    c.ring()
    cancel(c.a, inv, c.a.hop)
    m = c.a.expect(487)
    ack_failure(c.a, inv, m, c.a.hop)
    one = c.b.expect('CANCEL')
    c.b.cut()
    t = time.monotonic()
    two = c.b.expect('CANCEL', 1)
    recovered('TCP cut with a CANCEL unanswered', time.monotonic() - t)
    check(two.get('via') == one.get('via') and two.source is not one.source, 'another CANCEL, or over the old connection')
    c.b.reply(two, 200, 'OK', tag=c.tag_b)
    c.b.reply(c.inv_b, 487, 'Terminated', tag=c.tag_b)
    check(c.b.expect('ACK', 2).get('cseq').endswith('ACK'), 'no ACK')


@case
def cut_caller(box):
    """the caller's connection is cut in set-up: what it is told comes over a new one, to the port of its Via"""
    add_far(box)
    c = Call(box, 'pbxt', 'far', ub=raw_peer(box), media=True)
    c.invite()
    c.arrive()
    c.a.cut()
    t = time.monotonic()
    c.ring()            # RFC 3261 18.2.2
    recovered('TCP of the caller cut in set-up', time.monotonic() - t)
    c.answer()
    c.ack()
    both(c)
    c.bye()
