"""PBXs that have to say who they are: known by their address, or from anywhere; and providers that ask us."""
import os
import re

import peers
import t_audio
from box import NUMBERS, hop, uri
from digest import HASH, Digest, responses, secrets
from lab import BOX, ITSP_PORT, LISTEN, Failed, addr, check, listening, wait
from raw import party
from sip import Dialog, Ua, ack_failure, sdp

DOMAIN = 'sbc.example.net'
# pbx is known by its port too: from others of its host comes whoever may be roams
CONFIG = {'realm': {'lan': '\tdomains = { "%s" }\n' % DOMAIN}, 'trunk': {'pbx': ['source-port=5062']}}
SECRET = 'a long secret of ours'
ROAMS = '+49301240'
TO = NUMBERS['itsp']


def trunks(box):
    if getattr(box, 'asking', False):
        return
    box.cli('trunk', 'add', 'roams', 'role=pbx', 'realm=lan', 'auth=register', 'identify=credentials', 'aor=r1')
    box.cli('number', 'add', ROAMS + '500..' + ROAMS + '599', 'roams')
    box.cli('trunk', 'password', 'roams', '--user', 'roamer', stdin=SECRET + '\n')
    box.cli('trunk', 'password', 'pbx', '--user', 'pbxuser', stdin=SECRET + '\n')
    box.asking = True


class Caller:
    """Calls out and answers challenges."""

    def __init__(self, box, user, calling, proto='udp', port=0, secret=SECRET, host='pbx0', **k):
        self.box, self.calling, self.n = box, calling, 0
        self.ua = Ua(box.lab, host, port, proto)
        self.ua.at = '%s:%d' % (self.ua.addr, self.ua.port)
        self.hop = hop('lan')
        self.d = Digest(user, secret, **k)
        self.target = 'sip:%s@%s' % (TO, DOMAIN)
        self.callid = 'ask' + self.ua.uniq
        self.conn = self.ua.connect(self.hop) if proto == 'tcp' else None

    def send(self, method='INVITE', credentials=False, body=None, headers=(), covers=None):
        self.n += 1
        body = body if body is not None else sdp(self.ua.addr, 30000) if method == 'INVITE' else ''
        h = list(headers)
        if credentials:
            h.append(self.d.line(method, self.target, body if covers is None else covers))
        t = self.ua.request(method, self.target, self.calling, TO, headers=h, callid=self.callid, cseq=self.n, tag='f' + self.ua.uniq,
                            body=body)
        self.ua.raw(t, self.hop, self.conn)
        return t

    def final(self, method='INVITE'):
        return self.ua.expect(lambda m: m.status >= 200 and m.get('cseq') == '%d %s' % (self.n, method))

    def refused(self, t, m):
        if t.startswith('INVITE'):
            ack_failure(self.ua, t, m, self.hop)
        return m

    def ask(self, method='INVITE', code=401):
        """Sent without credentials: the challenge is taken."""
        t = self.send(method)
        m = self.final(method)
        check(m.status == code, str(m))
        self.d.take(self.refused(t, m))
        return m

    def busy(self, far):
        """A call with credentials that gets 486 from the far end."""
        t = self.send(credentials=True)
        inv = far.expect('INVITE')
        check('uthorization' not in str(inv), str(inv))
        far.reply(inv, 486, 'Busy Here', tag='b')
        far.expect('ACK')
        m = self.final()
        check(m.status == 486, str(m))
        self.refused(t, m)
        return inv


def asked(box):
    """a trunk that is known by its address proves itself all the same: INVITE is asked, ACK, CANCEL and BYE are not"""
    trunks(box)
    box.set('pbx', 'challenge=new', 'challenge=off')
    far = party(box, 'itsp')
    c = Caller(box, 'pbxuser', NUMBERS['pbx'], port=5062)
    m = c.ask()
    names = [re.search(r'algorithm=([\w-]+)', v).group(1) for v in m.all('www-authenticate')]
    check(names == ['SHA-512-256', 'SHA-256', 'MD5'] and 'Basic' not in str(m), str(m))
    far.nothing(0.3)
    t = c.send(credentials=True)
    inv = far.expect('INVITE')
    check('uthorization' not in str(inv), str(inv))
    far.reply(inv, 200, 'OK', tag='b', body=sdp(far.addr, 30002, session='3'))
    ok = c.final()
    check(ok.status == 200, str(ok))
    d = Dialog(c.ua, True, t, ok, c.hop)
    d.ack(d.invite_cseq)
    far.expect('ACK')
    d.request('BYE')
    far.reply(far.expect('BYE'), 200, 'OK')
    check(c.ua.expect(lambda m: m.method == 'BYE').status == 200, 'BYE')
    # OPTIONS not yet, then too
    c.send('OPTIONS')
    check(c.final('OPTIONS').status == 200, 'OPTIONS')
    box.cli('trunk', 'set', 'pbx', 'challenge=options')
    c.ask('OPTIONS')
    c.send('OPTIONS', credentials=True)
    check(c.final('OPTIONS').status == 200, 'OPTIONS with credentials')
    # from another trunk with its own password: not this one's
    box.cdrs(1, from_trunk='pbx', to_trunk='itsp')


def inside(box):
    """challenge=all with 407: hold and BYE are asked inside the call, and go on with the nonce they have"""
    trunks(box)
    box.set('pbx', 'challenge=all', 'challenge=off')
    box.set('pbx', 'challenge-code=407', 'challenge-code=401')
    far = party(box, 'itsp')
    c = Caller(box, 'pbxuser', NUMBERS['pbx'], port=5062)
    c.ask(code=407)
    t = c.send(credentials=True)
    inv = far.expect('INVITE')
    far.reply(inv, 200, 'OK', tag='b', body=sdp(far.addr, 30002, session='3'))
    ok = c.final()
    d = Dialog(c.ua, True, t, ok, c.hop)
    d.ack(d.invite_cseq)
    far.expect('ACK')
    hold = sdp(c.ua.addr, 30000, 'sendonly', version=2)
    text = d.request('INVITE', hold)
    m = c.ua.expect(lambda m: m.status >= 200 and m.get('cseq') == '%d INVITE' % d.cseq)
    check(m.status == 407, str(m))
    ack_failure(c.ua, text, m, c.hop)
    far.nothing(0.2)
    c.d.take(m)
    d.request('INVITE', hold, headers=[c.d.line('INVITE', d.target, hold)])
    again = far.expect('INVITE')
    check('uthorization' not in str(again) and 'sendonly' in again.body, str(again))
    far.reply(again, 200, 'OK', body=sdp(far.addr, 30002, 'recvonly', version=2, session='3'))
    m = c.ua.expect(lambda m: m.status >= 200 and m.get('cseq') == '%d INVITE' % d.cseq)
    check(m.status == 200, str(m))
    d.ack(d.cseq)
    far.expect('ACK')
    d.request('BYE')
    check(c.ua.expect(lambda m: m.method == 'BYE').status == 407, 'BYE without credentials')
    d.request('BYE', headers=[c.d.line('BYE', d.target)])
    far.reply(far.expect('BYE'), 200, 'OK')
    check(c.ua.expect(lambda m: m.method == 'BYE').status == 200, 'BYE with credentials')


def anywhere(box):
    """a trunk that is known by nothing but its password: from an address of nobody, over UDP and TCP; MESSAGE and SUBSCRIBE too"""
    trunks(box)
    far = party(box, 'itsp')
    for proto in ('udp', 'tcp'):
        c = Caller(box, 'roamer', ROAMS + '501', proto)
        m = c.ask()
        check('realm="%s"' % DOMAIN in m.get('www-authenticate'), str(m))
        c.busy(far)
        box.cdrs(1, calling=ROAMS + '501', from_trunk='roams', to_trunk='itsp')
        for method in ('MESSAGE', 'SUBSCRIBE', 'OPTIONS'):
            c.d.c, c.callid = None, c.callid + method
            c.ask(method)
            c.send(method, credentials=True)
            check(c.final(method).status not in (401, 403), method)
        c.ua.close()


def registered(box):
    """it registers, is called there, and its calls from there and from elsewhere are its own"""
    trunks(box)
    far = party(box, 'itsp')
    c = Caller(box, 'roamer', ROAMS + '501')
    c.target = 'sip:' + DOMAIN
    contact = 'Contact: <sip:r1@%s>;expires=60' % c.ua.at

    def register(credentials):
        c.n += 1
        t = c.ua.request('REGISTER', c.target, 'r1', '', to='<sip:r1@%s>' % DOMAIN, callid=c.callid, cseq=c.n,
                         headers=[contact] + ([c.d.line('REGISTER', c.target)] if credentials else []))
        c.ua.raw(t, c.hop)
        return c.final('REGISTER')
    c.d.take(register(False))
    check(register(True).status == 200, 'REGISTER')
    i = far.request('INVITE', uri(ROAMS + '501', 'wan'), TO, ROAMS + '501', body=sdp(far.addr, 30000))
    far.raw(i, far.hop)
    inv = c.ua.expect('INVITE')
    c.ua.reply(inv, 486, 'Busy Here', tag='x')
    c.ua.expect('ACK')
    ack_failure(far, i, far.expect(lambda m: m.status == 486), far.hop)
    # by the flow it is known, and asked all the same: UDP addresses are easily forged
    c.target, c.callid = 'sip:%s@%s' % (TO, DOMAIN), c.callid + 'o'
    c.ask()
    c.busy(far)
    other = Caller(box, 'roamer', ROAMS + '502')
    other.ask()
    other.busy(far)
    box.cli('reg', 'kick', box.json('reg', 'inside', '--trunk', 'roams')['registrations'][0]['id'])


def wrong(box):
    """a wrong password and an unknown name get the same 403, it is counted and told; guessing is slowed, not the true PBX"""
    trunks(box)
    far = party(box, 'itsp')
    good = Caller(box, 'roamer', ROAMS + '501')
    good.ask()
    good.busy(far)
    said = set()
    for user, secret in (('roamer', 'something else'), ('nobody', SECRET)):
        c = Caller(box, user, ROAMS + '501', secret=secret, host='pbx1')
        box.set('pbxt', 'source-transport=tcp', 'source-transport=any')   # its UDP is somebody else's
        c.ask()
        t = c.send(credentials=True)
        m = c.refused(t, c.final())
        check(m.status == 403, str(m))
        said.add(re.sub(r'(?im)^(via|from|to|call-id|cseq):.*\r\n', '', str(m)))
        c.ua.close()
    check(len(said) == 1, str(said))
    check(box.metric('b2b.proof_failed') >= 2 and 'proof_failed' in box.log_text(), 'counted and logged')
    before = box.metric('b2b.calls_in')
    for _ in range(12):
        c = Caller(box, 'roamer', ROAMS + '501', secret='a guess', host='pbx1')
        try:
            c.ask()
            m = c.refused(c.send(credentials=True), c.final())
            check(m.status == 403, str(m))
        except Failed:          # nobody hears it any more
            break
        finally:
            c.ua.close()
    check(box.metric('b2b.calls_in') == before, 'a guess became a call')
    check('auth_slowed' in box.log_text(), 'nobody was slowed down')
    good.busy(far)
    good.d.c = None
    good.callid += 'x'
    good.ask()
    good.busy(far)
    # with the trunk known by its address: the reason is with the trunk, and told to it when it is trusted
    box.set('pbx', 'challenge=new', 'challenge=off')
    box.set('pbx', 'trusted=yes', 'trusted=no')
    c = Caller(box, 'pbxuser', NUMBERS['pbx'], port=5062, secret='not this')
    c.ask()
    m = c.refused(c.send(credentials=True), c.final())
    check(m.status == 403 and 'PSN-E1128' in m.get('reason'), str(m))
    check('PSN-E1128' in box.cli('why', 'trunk', 'pbx', ok=None)[1], box.cli('why', 'trunk', 'pbx', ok=None)[1])


def integrity(box):
    """auth-int=require: the body is covered; another body, or qop=auth, is refused"""
    trunks(box)
    box.set('roams', 'auth-int=require', 'auth-int=off')
    far = party(box, 'itsp')
    c = Caller(box, 'roamer', ROAMS + '501', qop='auth-int')
    m = c.ask()
    check('qop="auth-int"' in m.get('www-authenticate'), str(m))
    t = c.send(credentials=True, covers='v=0\r\n')
    m = c.refused(t, c.final())
    check(m.status == 403, str(m))
    c.busy(far)
    c.d.qop = 'auth'
    m = c.refused(c.send(credentials=True), c.final())
    check(m.status == 400, str(m))


def provider_integrity(box):
    """a provider that asks for auth-int: the hash is that of the body as we send it; one that asks for Basic gets nothing"""
    trunks(box)
    box.cli('trunk', 'add', 'prov', 'role=itsp', 'realm=wan', 'target=203.0.113.23:5064', 'domain=itsp.example.com', 'probe=off')
    far, pbx = Ua(box.lab, 'itsp3', ITSP_PORT), party(box, 'pbx')
    try:
        box.cli('trunk', 'password', 'prov', '--user', 'trunk42', stdin='tr0ub4dor\n')
        box.cli('route', 'add', 'prov', '--to', '+39*', '--via', 'prov')
        judge = Digest('trunk42', 'tr0ub4dor', qop='auth-int')
        judge.proxy, judge.c, judge.nc = False, {'algorithm': 'SHA-256', 'realm': 'itsp.example.com', 'nonce': 'n1'}, 0
        for offered, mode, qop in (('auth-int', 'off', 'auth-int'), ('auth,auth-int', 'off', 'auth'),
                                   ('auth,auth-int', 'prefer', 'auth-int'), ('auth', 'require', None)):
            box.cli('trunk', 'set', 'prov', 'auth-int=' + mode)
            t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % '+39021234567', NUMBERS['pbx'], '+39021234567',
                            body=sdp(pbx.addr, 30000))
            pbx.raw(t, hop('lan'))
            far.reply(far.expect('INVITE'), 401, 'Unauthorized', tag='c', headers=[
                'WWW-Authenticate: Digest realm="itsp.example.com", nonce="n1", algorithm=SHA-256, qop="%s"' % offered])
            far.expect('ACK')
            if qop:
                inv = far.expect('INVITE')
                v = inv.get('authorization')
                f = dict(re.findall(r'(\w+)="?([^",]+)"?', v.split(' ', 1)[1]))
                check(f['qop'] == qop, v)
                h = lambda t: HASH['SHA-256'](t.encode()).hexdigest()
                a2 = 'INVITE:' + f['uri'] + (':' + h(inv.body) if qop == 'auth-int' else '')
                want = h(':'.join((h('trunk42:itsp.example.com:tr0ub4dor'), 'n1', f['nc'], f['cnonce'], qop, h(a2))))
                check(inv.body and f['response'] == want, '%s\n%s' % (want, inv))
                far.reply(inv, 486, 'Busy Here', tag='d')
                far.expect('ACK')
            m = pbx.expect(lambda m: m.status >= 200)
            check(m.status == (486 if qop else 403) and not m.all('www-authenticate'), str(m))
            ack_failure(pbx, t, m, hop('lan'))
        box.cli('trunk', 'set', 'prov', 'auth-int=off')
        # Basic alone: not answered, neither for a call nor for a registration (AUT-05)
        t = pbx.request('INVITE', 'sip:%s@198.51.100.1:5060' % '+39021234567', NUMBERS['pbx'], '+39021234567',
                        body=sdp(pbx.addr, 30000))
        pbx.raw(t, hop('lan'))
        basic = ['WWW-Authenticate: Basic realm="itsp.example.com"']
        far.reply(far.expect('INVITE'), 401, 'Unauthorized', tag='c', headers=basic)
        far.expect('ACK')
        m = pbx.expect(lambda m: m.status >= 200)
        check(m.status == 403 and 'Basic' not in str(m), str(m))
        ack_failure(pbx, t, m, hop('lan'))
        far.nothing(0.4, lambda m: m.method == 'INVITE')
        check(box.cdrs(1, to_trunk='prov')[0]['reason'].startswith('PSN-E1103'), str(box.cdrs(1, to_trunk='prov')[0]))
        box.cli('trunk', 'set', 'prov', 'auth=register')
        r = far.expect('REGISTER')
        check(not r.get('authorization'), str(r))
        far.reply(r, 401, 'Unauthorized', tag='r', headers=basic)
        wait('it to be given up', lambda: 'PSN-E1103' in box.cli('reg', 'show', 'prov', ok=None)[1], 5)
        far.nothing(0.4, lambda m: m.method == 'REGISTER')
    finally:
        box.cli('route', 'del', 'prov', ok=None)
        box.cli('trunk', 'del', 'prov', '--force', '--yes', ok=None)


def told(box):
    """a trunk whose password is asked for with MD5 alone is flagged; one that has to show a password and has none is a warning"""
    trunks(box)
    check('MD5 alone' not in box.cli('status', ok=None)[1] + box.cli('trunk', 'show', 'roams')[1], 'flagged for nothing')
    box.set('roams', 'digest=md5', 'digest=sha-512-256')
    for command in (('status',), ('trunk', 'show', 'roams'), ('trunk', 'list')):
        out = ' '.join(box.cli(*command, ok=None)[1].split())
        check('MD5 alone' in out, '%s: %s' % (command, out))
    box.set('pbxt', 'challenge=new', 'challenge=off')
    rc, out = box.cli('status', ok=None)
    check(rc == 1 and 'pbxt has to show a password, and has none' in out, out)
    c = Caller(box, 'pbxuser', NUMBERS['pbxt'], 'tcp', host='pbx1')
    t = c.send()
    check(c.refused(t, c.final()).status == 403, 'without a password of its own nobody gets in')
    check('PSN-E1129' in box.cli('why', 'trunk', 'pbxt', ok=None)[1], 'why trunk')


def baresip(box):
    """baresip from an address of nobody calls out through the challenge, with audio both ways, and hangs up through another"""
    trunks(box)
    box.set('roams', 'digest=md5', 'digest=sha-512-256')     # this one gives up at a name it does not know
    box.set('roams', 'challenge=all', 'challenge=off')
    a = peers.Baresip(box.lab, 'roams', 'pbx0', 5068, 440, account=(
        '<sip:%s@%s;transport=udp>;auth_user=roamer;auth_pass="%s";regint=0;outbound="sip:%s:%d";audio_codecs=PCMA'
        % (ROAMS + '501', DOMAIN, SECRET, BOX[('lan', 4)], LISTEN)))
    b = peers.Baresip(box.lab, 'b', 'itsp0', ITSP_PORT, 1000, answer=True, number=TO)
    before = box.metric('b2b.challenged')
    t_audio.talk(a, b, 'sip:%s@%s' % (TO, DOMAIN))
    box.cdrs(1, calling=ROAMS + '501', from_trunk='roams', to_trunk='itsp', status=200)
    check(box.metric('b2b.challenged') - before >= 1, 'nobody was asked')


SIPP = '''<?xml version="1.0"?>
<scenario name="challenged">
%s
 <recv response="%d" auth="true"/>
 <send><![CDATA[
ACK sip:[service]@%s SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
%s
 <recv response="100" optional="true"/>
 <recv response="180" optional="true"/>
 <recv response="200" rrs="true"/>
 <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:%s@%s>;tag=[pid]T[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
 <pause milliseconds="200"/>
 <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:%s@%s>;tag=[pid]T[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 3 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
 <recv response="200"/>
</scenario>
'''
SIPP_INVITE = ''' <send retrans="500"><![CDATA[
INVITE sip:[service]@%s SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:%s@%s>;tag=[pid]T[call_number]
To: <sip:[service]@%s>
Call-ID: [call_id]
CSeq: %d INVITE
Contact: <sip:c@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
%sContent-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
'''


def sipp(box):
    """SIPp -au -ap: twenty calls in a row through 401, then through 407, over UDP and TCP"""
    trunks(box)
    box.set('roams', 'digest=md5', 'digest=sha-512-256')
    me = ROAMS + '507'
    for transport, code in (('u1', 401), ('t1', 407)):
        box.cli('trunk', 'set', 'roams', 'challenge-code=%d' % code)
        d = box.lab.fresh('sipp-%s-%d' % (transport, code))
        one, two = ((SIPP_INVITE % (DOMAIN, me, DOMAIN, DOMAIN, n, h)) for n, h in ((1, ''), (2, '[authentication]\n')))
        with open(d + '/uac.xml', 'w') as f:
            f.write(SIPP % (one, code, DOMAIN, two, me, DOMAIN, me, DOMAIN))
        far, a = addr('itsp0'), addr('pbx0')
        uas = box.lab.run('itsp0', ['sipp', '-sn', 'uas', '-i', far, '-p', str(ITSP_PORT), '-nostdin'], 'sipp-uas', cwd=d)
        wait('SIPp to listen', lambda: listening('itsp0', 'udp', far, ITSP_PORT), 5)
        p = box.lab.run('pbx0', ['sipp', '%s:%d' % (BOX[('lan', 4)], LISTEN), '-sf', 'uac.xml', '-i', a, '-p', '5074', '-t', transport,
                                 '-m', '20', '-r', '10', '-s', TO, '-au', 'roamer', '-ap', SECRET, '-timeout', '25s', '-timeout_error',
                                 '-nostdin', '-trace_err', '-error_file', 'uac.err'], 'sipp-' + transport, cwd=d)
        rc = p.wait(35)
        err = open(d + '/uac.err').read()[-900:] if os.path.exists(d + '/uac.err') else p.text()[-300:]
        check(rc == 0, 'SIPp ended with %s: %s' % (rc, err))
        uas.stop()
    box.cli('trunk', 'set', 'roams', 'challenge-code=401')
    box.cdrs(40, calling=me, from_trunk='roams', status=200, seconds=8)


def hidden(box):
    """what proves a password stands nowhere: log at debug, database, ladder, capture, status; the rest of the header does"""
    trunks(box)
    box.cli('log', 'level', 'all', 'debug', ok=None)
    far = party(box, 'itsp')
    sent = ''
    c = Caller(box, 'roamer', ROAMS + '511')
    c.ask()
    sent += c.send(credentials=True)
    inv = far.expect('INVITE')
    far.reply(inv, 486, 'Busy Here', tag='b')
    far.expect('ACK')
    c.final()
    w = Caller(box, 'roamer', ROAMS + '511', secret='a quite wrong one')
    w.ask()
    sent += w.send(credentials=True)
    w.final()
    cdr = box.cdrs(1, calling=ROAMS + '511')[0]
    proofs = responses(sent)
    check(len(proofs) == 2, str(proofs))
    bad = proofs + secrets('roamer', DOMAIN, SECRET) + secrets('roamer', DOMAIN, 'a quite wrong one')
    ladder = box.cli('call', 'ladder', cdr['id'], '--full', ok=None)[1]
    check('Authorization: Digest username="roamer"' in ladder and 'response="****' in ladder, ladder)
    out = os.path.join(box.lab.work, 'call.pcap')
    box.cli('call', 'pcap', cdr['id'], '-o', out)
    texts = {'ladder': ladder, 'ladder -j': box.cli('call', 'ladder', cdr['id'], '--full', '-j', ok=None)[1],
             'capture': open(out, 'rb').read().decode('latin1'), 'log': box.log_text(),
             'log tail': box.cli('log', 'tail', '-n', '500', ok=None)[1], 'why': box.cli('why', 'call', cdr['id'], ok=None)[1],
             'trunk': box.cli('trunk', 'show', 'roams', ok=None)[1] + box.cli('trunk', 'show', 'roams', '-j', ok=None)[1],
             'history': box.cli('history', ok=None)[1], 'status': box.cli('status', ok=None)[1]}
    check('username="roamer"' in texts['capture'], 'the capture has no credentials at all')
    for f in os.listdir(box.state):
        if f.startswith('postern.db'):
            texts[f] = open(os.path.join(box.state, f), 'rb').read().decode('latin1')
    stored = secrets('roamer', DOMAIN, SECRET)[1:]           # H(A1) is what the database has to keep
    for where, text in texts.items():
        for b in bad:
            check(b not in text or (where.startswith('postern.db') and b in stored), '%s shows %s' % (where, b))
    mode = os.stat(os.path.join(box.state, 'postern.db')).st_mode & 0o777
    check(mode == 0o600, 'the database has mode %o' % mode)
    box.cli('log', 'level', 'all', 'info', ok=None)


CASES = [asked, inside, anywhere, registered, wrong, integrity, provider_integrity, told, baresip, sipp, hidden]
