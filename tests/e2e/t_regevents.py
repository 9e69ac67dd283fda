"""Registration events: told to a PBX and to Kamailio, and heard from Kamailio when it loses our registration."""
import os
import re
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET

from box import hop
from kamailio import Kamailio, REALM, SECRET
from lab import BOX, ITSP_PORT, LISTEN, addr, check, inside, wait
from raw import party
from t_register import CONFIG, DOMAIN, GIN, Pbx, expanded, trunks
from t_regclient import CFG as PLAIN_CFG, Provider, add, drop, password, registered

NS = '{urn:ietf:params:xml:ns:reginfo}'
HOST = 'itsp3'


class Doc:
    """A reginfo document: registrations as {aor: (state, [(uri, state, event)])}."""

    def __init__(self, m):
        check(m.get('content-type') == 'application/reginfo+xml', str(m)[:300])
        check('bnc' not in m.body, 'a bulk contact in: ' + m.body)
        root = ET.fromstring(m.body)
        self.full, self.version = root.get('state') == 'full', int(root.get('version'))
        self.aors = {r.get('aor'): (r.get('state'), [(c.find(NS + 'uri').text.strip(), c.get('state'), c.get('event'))
                                                     for c in r.findall(NS + 'contact')])
                     for r in root.findall(NS + 'registration')}


class Watch:
    """Our subscription at the box, as a raw party keeps it."""

    def __init__(self, ua, target, headers=(), calling='watcher', event='reg', expires=600, conn=None):
        self.ua, self.conn, self.cseq = ua, conn, 1
        self.callid = 'sub%s%d' % (ua.uniq, ua.n)
        self.target, self.calling, self.event = target, calling, event
        self.tag = 'w' + self.callid
        self.to = '<%s>' % target
        self.answer = self.send(expires, headers)
        self.expect = lambda s=3: self.take(s)

    def send(self, expires, headers=()):
        t = self.ua.request('SUBSCRIBE', self.target, self.calling, '', to=self.to, tag=self.tag, callid=self.callid,
                            cseq=self.cseq, headers=['Event: ' + self.event, 'Expires: %d' % expires,
                                                     'Contact: <sip:w@%s%s>' % (self.ua.at, self.ua.param)] + list(headers))
        self.cseq += 1
        self.ua.raw(t, self.ua.hop, self.conn)
        return self.ua.expect(lambda m: m.status >= 200 and m.method == 'SUBSCRIBE', callid=self.callid)

    def take(self, seconds=3):
        """The next NOTIFY, answered."""
        m = self.ua.expect('NOTIFY', seconds, callid=self.callid)
        self.to = m.get('from')
        self.ua.reply(m, 200, 'OK')
        return m

    def end(self):
        self.answer = self.send(0)
        m = self.take()
        check('terminated' in m.get('subscription-state'), str(m))


def pbx_watches_itself(box):
    """a PBX that registered all its numbers watches them: one element each, and what happens to its registration"""
    trunks(box)
    pbx = Pbx(box)
    w = None
    try:
        pbx.bulk(';expires=60')
        w = Watch(pbx.ua, 'sip:trunk42@' + DOMAIN, calling='trunk42', conn=pbx.conn)
        check(w.answer.status == 200 and w.answer.get('expires') == '600', str(w.answer))
        m = w.take()
        d = Doc(m)
        check(m.get('subscription-state').startswith('active;expires=') and d.full and d.version == 0, str(m)[:400])
        check(len(d.aors) == 100 and all(s == 'active' for s, _ in d.aors.values()), '%d elements' % len(d.aors))
        aor = 'sip:%s517@%s' % (GIN, DOMAIN)
        check(d.aors[aor][1] == [('sip:%s517@%s;transport=tcp;tk=c41f' % (GIN, pbx.ua.at), 'active', 'registered')],
              str(d.aors[aor]))
        l = box.json('subscription', 'list', 'gin')['subscriptions']
        check(len(l) == 1 and l[0]['what'] == 'trunk gin' and l[0]['state'] == 'active' and l[0]['event'] == 'reg', str(l))
        # kicked by an operator: told, with why
        box.cli('reg', 'kick', box.json('reg', 'inside', '--trunk', 'gin')['registrations'][0]['id'])
        d = Doc(w.take(8))
        check(d.version == 1 and d.aors[aor][0] == 'terminated' and d.aors[aor][1][0][2] == 'deactivated', str(d.aors[aor]))
        pbx.bulk(';expires=60')
        d = Doc(w.take(8))
        check(d.version == 2 and d.aors[aor][0] == 'active', str(d.aors[aor]))
        w.end()
        w = None
        check(box.json('subscription', 'list')['subscriptions'] == [], 'it is still there')
    finally:
        pbx.ua.close()


def who_may(box):
    """another trunk is refused, until it is named; it sees our address; packages we do not have are 489"""
    trunks(box)
    pbx, itsp = Pbx(box), party(box, 'itsp')
    number = GIN + '501'
    at_wan = 'sip:%s@%s:%d' % (number, BOX[('wan', 4)], LISTEN)
    try:
        box.set('gin', 'reg-answer=own', 'reg-answer=pbx')
        pbx.bulk(';expires=60')
        w = Watch(itsp, at_wan)
        check(w.answer.status == 403, str(w.answer))
        w = Watch(itsp, at_wan, event='presence')
        check(w.answer.status == 489 and w.answer.get('allow-events') == 'reg', str(w.answer))
        w = Watch(itsp, 'sip:+49111@%s:%d' % (BOX[('wan', 4)], LISTEN))
        check(w.answer.status == 404, str(w.answer))
        box.cli('trunk', 'set', 'gin', 'reg-watchers=itsp')
        w = Watch(itsp, at_wan, headers=['Accept: text/plain'])
        check(w.answer.status == 406 and w.answer.get('accept') == 'application/reginfo+xml', str(w.answer))
        w = Watch(itsp, at_wan)
        check(w.answer.status == 200, str(w.answer))
        m = w.take()
        d = Doc(m)
        check(list(d.aors.values())[0][0] == 'active' and pbx.ua.addr not in m.body and 'tk=' not in m.body, m.body)
        # its right is taken away: so is the subscription
        box.cli('trunk', 'set', 'gin', 'reg-watchers-=itsp')
        check('terminated;reason=rejected' in w.take().get('subscription-state'), 'not ended')
    finally:
        pbx.ua.close()
        itsp.close()


def pbx_tells(box):
    """a number of a PBX: sent to the PBX once it is registered, which tells; refreshed and ended through us"""
    trunks(box)
    pbx, itsp = Pbx(box), party(box, 'itsp')
    number = GIN + '544'
    at_wan = 'sip:%s@%s:%d' % (number, BOX[('wan', 4)], LISTEN)
    doc = ('<?xml version="1.0"?><reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="%%d" state="full"><registration '
           'aor="sip:%s@%s" id="x" state="active"><contact id="1" state="active" event="registered"><uri>sip:%s@10.1.2.3'
           '</uri></contact></registration></reginfo>' % (number, DOMAIN, number))
    state = {'cseq': 0, 'version': 0}

    def tell(sub, how='active;expires=500'):
        state['cseq'] += 1
        t = pbx.ua.request('NOTIFY', sub.contact(), 'x', '', to=sub.get('from'), callid=sub.get('call-id'), tag='ptag',
                           cseq=state['cseq'], body=doc % state['version'], ctype='application/reginfo+xml',
                           headers=['Event: reg', 'Subscription-State: ' + how, 'Contact: <sip:%s;transport=tcp>' % pbx.ua.at])
        state['version'] += 1
        pbx.ua.raw(t, pbx.ua.hop, pbx.conn)
        m = pbx.ua.expect(lambda m: m.status and m.method == 'NOTIFY')
        check(m.status == 200, str(m))

    def taken(seconds=3):
        sub = pbx.ua.expect('SUBSCRIBE', seconds)
        pbx.ua.reply(sub, 200, 'OK', tag='ptag', headers=['Expires: ' + sub.get('expires'),
                                                          'Contact: <sip:%s;transport=tcp>' % pbx.ua.at])
        return sub
    try:
        box.cli('trunk', 'set', 'gin', 'reg-watchers=itsp')
        w = Watch(itsp, at_wan)                         # nobody is registered: told from here
        check(w.answer.status == 200 and 'state="init"' in w.take().body, str(w.answer))
        pbx.bulk(';expires=120')
        m = w.take()
        check('terminated;reason=deactivated' in m.get('subscription-state'), str(m))
        # asked again, it goes to the PBX, and waits for it
        t = itsp.request('SUBSCRIBE', at_wan, 'w', '', to='<%s>' % at_wan, callid='again', tag='wtag',
                         headers=['Event: reg', 'Expires: 500'])
        itsp.raw(t, itsp.hop)
        sub = taken()
        check(sub.start.startswith('SUBSCRIBE %s ' % expanded(pbx, number)), sub.start)
        check(itsp.addr not in str(sub), str(sub))
        tell(sub)
        ok = itsp.expect(lambda m: m.status >= 200 and m.method == 'SUBSCRIBE', callid='again')
        check(ok.status == 200 and ok.get('expires') == '500', str(ok))
        m = itsp.expect('NOTIFY', callid='again')
        itsp.reply(m, 200, 'OK')
        d = Doc(m)
        check(list(d.aors.values())[0][0] == 'active' and '10.1.2.3' not in m.body and DOMAIN not in m.body, m.body)
        tell(sub)
        m = itsp.expect('NOTIFY', callid='again')
        itsp.reply(m, 200, 'OK')
        check(Doc(m).version == 1, m.body)
        l = box.json('subscription', 'list')['subscriptions']
        check(sorted(x['role'] for x in l) == ['watched by us', 'watches us'], str(l))
        # the watcher ends it: the PBX hears of it
        t = itsp.request('SUBSCRIBE', ok.contact(), 'w', '', to=ok.get('to'), callid='again', tag='wtag', cseq=2,
                         headers=['Event: reg', 'Expires: 0'])
        itsp.raw(t, itsp.hop)
        m = itsp.expect('NOTIFY', callid='again')
        itsp.reply(m, 200, 'OK')
        check('terminated' in m.get('subscription-state'), str(m))
        sub = taken()
        check(sub.get('expires') == '0', str(sub))
        tell(sub, 'terminated;reason=timeout')
        wait('both to be over', lambda: box.json('subscription', 'list')['subscriptions'] == [], 5)
    finally:
        box.cli('trunk', 'set', 'gin', 'reg-watchers=', ok=None)
        pbx.ua.close()
        itsp.close()


# ------------------------------------------------------------------ Kamailio

PRESENCE = '''
loadmodule "ctl.so"
loadmodule "kex.so"
loadmodule "jsonrpcs.so"
loadmodule "db_text.so"
loadmodule "presence.so"
loadmodule "presence_reginfo.so"
loadmodule "pua.so"
loadmodule "pua_reginfo.so"
modparam("ctl", "binrpc", "unix:%(dir)s/ctl")
modparam("jsonrpcs", "transport", 0)
modparam("presence", "db_url", "text://%(dir)s/db")
modparam("presence", "server_address", "sip:203.0.113.23:5064")
modparam("presence", "expires_offset", 0)
modparam("presence", "min_expires", 30)
modparam("presence", "subs_db_mode", 0)
modparam("presence", "send_fast_notify", 1)
modparam("presence", "timeout_rm_subs", 0)
modparam("pua", "db_url", "text://%(dir)s/db")
modparam("pua_reginfo", "default_domain", "itsp.example.com")
modparam("pua_reginfo", "publish_reginfo", %(publish)d)
modparam("pua_reginfo", "outbound_proxy", "%(proxy)s")
modparam("pua_reginfo", "server_address", "sip:reginfo@203.0.113.23:5064")
'''
SUBSCRIBED = '''
	if (is_method("PUBLISH")) { if (t_newtran()) handle_publish(); exit; }
	if (is_method("NOTIFY") && $rU == "reginfo") {
		xlog("L_ERR", "HEARD $hdr(Subscription-State)\\n");
		reginfo_handle_notify("location");
		sl_send_reply("200", "OK");
		exit;
	}
	if (is_method("SUBSCRIBE")) {
		xlog("L_ERR", "WATCHED $hdr(Event) expires=$hdr(Expires) au=$au\\n");
		if (!has_totag() && !pv_www_authenticate("%(realm)s", "%(secret)s", "0")) {
			www_challenge("%(realm)s", "0");
			exit;
		}
		if (t_newtran()) handle_subscribe();
		exit;
	}
	if (is_method("OPTIONS") && $hdr(X-Watch) != $null) {
		reginfo_subscribe("$hdr(X-Watch)", "600");
		sl_send_reply("200", "OK");
		exit;
	}
'''


NOT_OFFERED = '''
	if (is_method("SUBSCRIBE")) { sl_send_reply("489", "Bad Event"); exit; }
'''


class Presence(Kamailio):
    """The provider of t_regclient, and a presence server that knows who is registered there (or watches us)."""

    def __init__(self, box, publish=1, proxy='sip:203.0.113.23:5064'):
        d = box.lab.fresh('presence')
        shutil.copytree('/usr/share/kamailio/dbtext/kamailio', d + '/db')
        self.dir = d
        text = PLAIN_CFG.replace('modparam("usrloc"', PRESENCE + 'modparam("usrloc"', 1)
        text = text.replace('\tif (has_totag()) {', SUBSCRIBED + '\tif (has_totag()) {', 1)
        text = text.replace('append_to_reply("Service-Route', 'append_to_reply("Allow-Events: reg\\r\\n");\n\t\tappend_to_reply("Service-Route', 1)
        super().__init__(box, HOST, '203.0.113.23', text, d, 64, realm=REALM, secret=SECRET, alg='SHA-256', expires=600, min=0,
                         far='203.0.113.22', publish=publish, proxy=proxy)

    def rpc(self, *args):
        r = subprocess.run(['kamcmd', '-s', 'unix:%s/ctl' % self.dir] + list(args), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=10)
        return r.stdout


def events(box, state, name='prov', seconds=8):
    def there():
        import json
        out = box.cli('reg', 'list', '-j', ok=None)[1]
        l = next(x for x in json.loads(out)['data']['registrations'] if x['trunk'] == name)
        return l if l['events'] == state else None
    return wait('events of %s to be %s' % (name, state), there, seconds)


def lost_at_kamailio(box):
    """Kamailio loses our registration: it says so, and has it back"""
    k = Presence(box)
    try:
        add(box, 'prov', 'trunk42')
        password(box, 'prov')
        registered(box)
        events(box, 'sees')                     # auto: it said Allow-Events: reg
        check('au=trunk42' in k.p.text(), 'SUBSCRIBE was not challenged: ' + k.p.text()[-600:])
        saved = k.p.text().count('SAVED')
        t = time.monotonic()
        out = k.rpc('ul.rm', 'location', 'trunk42')
        wait('a new registration at Kamailio', lambda: k.p.text().count('SAVED') > saved, 12)
        took = time.monotonic() - t
        print('#   registered anew %.2f s after Kamailio lost it' % took)
        registered(box)
        events(box, 'sees', seconds=15)
        codes = [e['code'] for e in box.json('reg', 'history', 'prov')['events']]
        check('PSN-E1146' in codes, 'the history says %s (%s)' % (codes, out))
        check(took < 8, 'it took %.1f s' % took)
        # taken back by an operator: the subscription is ended too
        box.cli('trunk', 'unregister', 'prov')
        wait('the subscription to end', lambda: box.json('subscription', 'list')['subscriptions'] == [], 10)
    finally:
        drop(box, 'prov')
        k.stop()


def not_offered(box):
    """a provider without registration events is asked once, and left alone"""
    k = Provider(box, cfg=PLAIN_CFG.replace('\tif (has_totag()) {', NOT_OFFERED + '\tif (has_totag()) {', 1))
    try:
        add(box, 'prov', 'trunk42', 'reg-event=on')
        password(box, 'prov')
        registered(box)
        l = events(box, 'refused')
        check(l['events_status'] == 489, str(l))
        codes = [e['code'] for e in box.json('reg', 'history', 'prov')['events']]
        check('PSN-E1148' in codes, str(codes))
        rc, out = box.cli('reg', 'show', 'prov', ok=None)
        check(rc == 1 and 'refused' in out and 'gives no registration events' in out, out)
        box.cli('trunk', 'set', 'prov', 'reg-event=off')
        check(events(box, 'off')['state'] == 'registered', 'the registration went')
    finally:
        drop(box, 'prov')
        k.stop()


def kamailio_watches(box):
    """Kamailio subscribes to a trunk of ours and takes its contacts into its own location table"""
    trunks(box)
    pbx = Pbx(box)
    k = Presence(box, 0, 'sip:%s:%d' % (BOX[('wan', 4)], LISTEN))
    far = None
    try:
        box.cli('trunk', 'add', 'kam', 'role=itsp', 'realm=wan', 'target=203.0.113.23:%d' % ITSP_PORT, 'probe=off')
        box.cli('trunk', 'set', 'gin', 'reg-watchers=kam')
        box.set('gin', 'reg-answer=own', 'reg-answer=pbx')
        pbx.bulk(';expires=60')
        far = party(box, 'duo')
        number = GIN + '533'
        t = far.request('OPTIONS', 'sip:203.0.113.23:%d' % ITSP_PORT, 'x', '',
                        headers=['X-Watch: sip:%s@%s:%d' % (number, BOX[('wan', 4)], LISTEN)])
        far.raw(t, ('203.0.113.23', ITSP_PORT))
        far.expect(200)
        wait('Kamailio to hear of it', lambda: 'HEARD active' in k.p.text(), 6)
        l = box.json('subscription', 'list', 'kam')['subscriptions']
        check(len(l) == 1 and l[0]['what'] == number and l[0]['state'] == 'active', str(l))
        wait('the contact in its table', lambda: number in k.rpc('ul.dump'), 6)
        # the PBX goes: so does the contact
        pbx.bulk(';expires=0')
        wait('the contact to go', lambda: number not in k.rpc('ul.dump'), 10)
        l = box.json('subscription', 'list', 'kam')['subscriptions']
        check(len(l) == 1 and l[0]['notifies'] == 2, str(l))
    finally:
        if far:
            far.close()
        box.cli('trunk', 'set', 'gin', 'reg-watchers=', ok=None)
        drop(box, 'kam')
        k.stop()
        pbx.ua.close()


ANSWER = """  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
"""
SUBSCRIBER = """<?xml version="1.0" encoding="us-ascii"?>
<scenario name="watcher">
  <send retrans="500"><![CDATA[
SUBSCRIBE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:watcher@[local_ip]>;tag=w[call_number]
To: <sip:[service]@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 SUBSCRIBE
Contact: <sip:watcher@[local_ip]:[local_port];transport=[transport]>
Event: reg
Accept: application/reginfo+xml
Expires: 300
Content-Length: 0

]]></send>
  <recv response="200"><action>
    <ereg regexp="3[0]{2}|2[0-9]{2}" search_in="hdr" header="Expires:" check_it="true" assign_to="granted"/>
  </action></recv>
  <recv request="NOTIFY"><action>
    <ereg regexp="active;expires=" search_in="hdr" header="Subscription-State:" check_it="true" assign_to="state"/>
    <ereg regexp="application/reginfo.xml" search_in="hdr" header="Content-Type:" check_it="true" assign_to="type"/>
    <ereg regexp="version=.0. state=.full." search_in="body" check_it="true" assign_to="version"/>
    <ereg regexp="aor=.sip:[+0-9]*@[^ ]* [^>]*state=.active." search_in="body" check_it="true" assign_to="aor"/>
  </action></recv>
ANSWER
  <send retrans="500"><![CDATA[
SUBSCRIBE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:watcher@[local_ip]>;tag=w[call_number]
To: <sip:[service]@[remote_ip]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 SUBSCRIBE
Contact: <sip:watcher@[local_ip]:[local_port];transport=[transport]>
Event: reg
Expires: 0
Content-Length: 0

]]></send>
  <recv response="200"/>
  <recv request="NOTIFY"><action>
    <ereg regexp="terminated" search_in="hdr" header="Subscription-State:" check_it="true" assign_to="end"/>
  </action></recv>
ANSWER
  <Reference variables="granted,state,type,version,aor,end"/>
</scenario>
""".replace('ANSWER\n', ANSWER)


def sipp_watches(box):
    """SIPp as the watcher of a number, twenty times by UDP and by TCP: subscribed, told, ended"""
    trunks(box)
    box.set('gin', 'reg-answer=own', 'reg-answer=pbx')
    box.set('gin', 'reg-watchers=itsp', 'reg-watchers=')
    pbx = Pbx(box)
    d = box.lab.fresh('sipp-watcher')
    with open(d + '/watcher.xml', 'w') as f:
        f.write(SUBSCRIBER)
    try:
        pbx.bulk(';expires=60')
        for transport in ('u1', 't1'):
            p = box.lab.run('itsp0', ['sipp', '%s:%d' % (BOX[('wan', 4)], LISTEN), '-sf', 'watcher.xml', '-s', GIN + '533', '-i', addr('itsp0'),
                                      '-p', str(ITSP_PORT), '-t', transport, '-m', '20', '-r', '20', '-nostdin', '-timeout', '20s',
                                      '-timeout_error', '-trace_err', '-error_file', 'err'], 'sipp-watcher', cwd=d)
            rc = p.wait(25)
            check(rc == 0, 'SIPp: %s %s' % (rc, open(d + '/err').read()[-600:] if os.path.exists(d + '/err') else p.text()[-600:]))
        wait('no subscription to be left', lambda: not box.json('subscription', 'list')['subscriptions'], 5)
    finally:
        pbx.ua.close()


CASES = [pbx_watches_itself, who_may, pbx_tells, lost_at_kamailio, not_offered, kamailio_watches, sipp_watches]
