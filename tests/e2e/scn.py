"""Scenarios in one line a message, turned into the XML of SIPp.

A file of scn/ holds both parties of a call, each as a list of steps:

    uac                         the calling side            uas     the called side
    > INVITE sdp                send a request              > 180   answer the last request taken
    < 180?                      take; ? = may be left out   < BYE
    wait 200                    ms                          audio   send 2 s of G.711 (pcap)

Words behind a message:
    sdp  sdp=sendonly           a session description, with that direction; version counts up by itself
    pt=0,101 port=0 raw=NAME    its payload types, its port, the text NAME of the table BODIES
    h:Name=value                a header more (_ stands for a space)
    for=INVITE                  answer that earlier request, not the last one
    tag=B                       answer with another To tag (a fork)
    once                        no retransmission by SIPp
    new                         request out of dialog; without To tag
    has=/re/  hasnt=/re/        what the message taken must or must not hold
    to=5000                     ms to wait for it
    => label                    go on there when it came; on a wait: when time is up
    label:                      such a place

SIPp's own words are kept out of the scenarios because the same few lines would stand in each of them: headers
of the INVITE saved for later answers, the branch that CANCEL and ACK share with it, route sets.
Keys SIPp needs: -s called, -key calling, -key domain.
"""
import re
from xml.sax.saxutils import escape

REASONS = {100: 'Trying', 180: 'Ringing', 181: 'Forwarded', 183: 'Session Progress', 199: 'Early Dialog Terminated',
           200: 'OK', 302: 'Moved Temporarily', 403: 'Forbidden', 404: 'Not Found', 408: 'Request Timeout',
           480: 'Temporarily Unavailable', 481: 'No Such Call', 486: 'Busy Here', 487: 'Request Terminated',
           488: 'Not Acceptable Here', 491: 'Request Pending', 500: 'Server Error', 503: 'Service Unavailable',
           600: 'Busy Everywhere', 603: 'Decline'}
ALLOW = 'Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO'
RTPMAP = {'0': 'PCMU/8000', '8': 'PCMA/8000', '9': 'G722/8000', '18': 'G729/8000', '96': 'telephone-event/8000',
          '97': 'telephone-event/8000', '101': 'telephone-event/8000', '111': 'opus/48000/2'}
BODIES = {
    'filler': ''.join('a=x-filler-%03d:%s\n' % (i, 'abcdefghij' * 5) for i in range(70)),
}
LINE = r'[^[:cntrl:]]+'


class Side:
    def __init__(self, name, role, bodies=None):
        self.role = role
        self.name = name
        self.out = []
        self.cseq = 0 if role == 'uac' else 100
        self.sent = {}       # method -> (branch, cseq): the last request of ours
        self.taken = {}      # method -> (number, initial): the last request of theirs
        self.last = None     # number of the last request taken (not ACK)
        self.count = 0
        self.vars = []
        self.version = 0
        self.up = False      # as UAC: a final or provisional answer gave the dialog
        self.labels = {}
        self.bodies = dict(BODIES, **(bodies or {}))

    # ---- text pieces
    def var(self, name):
        self.vars.append(name)
        return name

    def sdp(self, words):
        d = words.get('sdp')
        self.version += 1
        pts = words.get('pt', '8,0,101').split(',')
        b = ('v=0\no=- 20518 %d IN IP[media_ip_type] [media_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n'
             % self.version)
        b += 'm=audio %s RTP/AVP %s\n' % (words.get('port', '[media_port]'), ' '.join(pts))
        for p in pts:
            b += 'a=rtpmap:%s %s\n' % (p, RTPMAP[p])
            if RTPMAP[p].startswith('telephone-event'):
                b += 'a=fmtp:%s 0-15\n' % p
        b += 'a=ptime:20\na=%s\n' % (d if isinstance(d, str) else 'sendrecv')
        if 'raw' in words:
            b += self.bodies[words['raw']]
        return b

    def body(self, words):
        if 'sdp' in words:
            return 'Content-Type: application/sdp\nContent-Length: [len]\n\n' + self.sdp(words)
        if 'text' in words:
            return 'Content-Type: %s\nContent-Length: [len]\n\n%s\n' % (
                words.get('type', 'application/dtmf-relay'), self.bodies[words['text']])
        return 'Content-Length: 0\n\n'

    def contact(self):
        return 'Contact: <sip:%s@[local_ip]:[local_port];transport=[transport]>\n' % (
            '[calling]' if self.role == 'uac' else '[service]')

    def headers(self, words):
        return ''.join('%s: %s\n' % (k, v.replace('_', ' ')) for k, v in words.get('h', []))

    def emit(self, text, words, retrans):
        attr = ' retrans="500"' if retrans and 'once' not in words else ''
        if words.get('start'):
            attr += ' start_rtd="%s"' % words['start']
        self.out.append(' <send%s>\n  <![CDATA[\n%s\n  ]]>\n </send>\n' % (attr, text.rstrip('\n') + (
            '\n\n' if text.endswith('\n\n') else '\n')))

    # ---- steps
    def request(self, method, words):
        if method in ('ACK', 'CANCEL'):
            branch, cseq = self.sent['INVITE']
        else:
            self.cseq += 1
            cseq = self.cseq
            branch = None
        fresh = branch is None or (method == 'ACK' and self.acked2xx)
        if fresh:
            branch = 'z9hG4bK-[pid]-[call_number]-%s%d' % (self.role, len(self.out))
        if method not in ('ACK', 'CANCEL'):
            self.sent[method] = (branch, cseq)
        initial = 'new' in words or (self.role == 'uac' and not self.up and method == 'INVITE')
        same = method == 'CANCEL' or (method == 'ACK' and not fresh)   # hop of the INVITE
        if self.role == 'uac':
            from_ = '"Caller" <sip:[calling]@[domain]>;tag=[pid]Tuac[call_number]'
            to = '<sip:[service]@[domain]>' + ('' if initial or (method == 'CANCEL' and self.initial_invite)
                                               else '[peer_tag_param]')
            uri = 'sip:[service]@[remote_ip]:[remote_port]' if initial or (same and self.initial_invite) else '[next_url]'
        else:
            from_ = '[$to1];tag=[pid]Tuas[call_number]'
            to = '[$from1]'
            uri = '[next_url]'
        routes = '' if initial or same else '[routes]\n'
        if method == 'INVITE':
            self.initial_invite = initial
        if 'uri' in words:
            uri = words['uri']
        t = '%s %s SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=%s\n%s' % (method, uri, branch, routes)
        if 'nomf' not in words:
            t += 'Max-Forwards: %s\n' % words.get('mf', '70')
        t += 'From: %s\nTo: %s%s\nCall-ID: [call_id]\nCSeq: %d %s\n' % (from_, to, words.get('totag', ''), cseq, method)
        if method in ('INVITE', 'UPDATE'):
            t += self.contact() + ALLOW + '\n'
        t += self.headers(words) + self.body(words)
        self.emit(t, words, method != 'ACK')
        if method == 'INVITE':
            self.acked2xx = False

    def response(self, code, words):
        n = self.taken[words['for']][0] if 'for' in words else self.last
        method, initial = self.info[n]
        tag = ''
        if initial and code > 100:
            tag = ';tag=[pid]Tuas%s[call_number]' % words.get('tag', '')
        t = 'SIP/2.0 %d %s\n[$via%d]\n' % (code, REASONS.get(code, 'Answer'), n)
        if initial and 100 < code < 300:
            t += '[$rr%d]' % n
        t += 'From: [$from%d]\nTo: [$to%d]%s\nCall-ID: [call_id]\nCSeq: [$cseq%d]\n' % (n, n, tag, n)
        if method in ('INVITE', 'UPDATE') and 100 < code < 300:
            t += self.contact() + ALLOW + '\n'
        t += self.headers(words) + self.body(words)
        self.emit(t, words, method == 'INVITE' and code >= 200)

    def ereg(self, rx, var, where, header=None, inverse=False, must=True):
        for v in var.split(','):
            self.var(v)
        return '<ereg regexp="%s" search_in="%s"%s %s="%s" assign_to="%s"/>' % (
            escape(rx, {'"': '&quot;'}), where, ' header="%s"' % header if header else '',
            'check_it_inverse' if inverse else 'check_it', 'true' if must else 'false', var)

    def receive(self, what, words):
        optional = what.endswith('?')
        what = what.rstrip('?')
        acts = []
        attr = ''
        if what.isdigit():
            code = int(what)
            attr = 'response="%d"' % code
            if self.role == 'uac' and code > 100 and code < 300:
                attr += ' rrs="true"'
                if not self.up or 'dialog' in words:
                    pass
            if code >= 200 and code < 300 and self.sent and 'of' not in words:
                pass
            if words.get('stop'):
                attr += ' rtd="%s"' % words['stop']
            if code >= 101:
                self.note_answer(code, optional, words)
        else:
            attr = 'request="%s"' % what
            if what != 'ACK':
                self.count += 1
                n = self.count
                initial = ('new' in words) or (self.role == 'uas' and n == 1)
                self.info[n] = (what, initial)
                self.taken[what] = (n, initial)
                self.last = n
                acts += [self.ereg('Via: *%s([[:cntrl:]]+Via: *%s)*' % (LINE, LINE), 'via%d,vx%d' % (n, n), 'msg'),
                         self.ereg(LINE, 'from%d' % n, 'hdr', 'From:'), self.ereg(LINE, 'to%d' % n, 'hdr', 'To:'),
                         self.ereg(LINE, 'cseq%d' % n, 'hdr', 'CSeq:')]
                if initial:
                    acts.append(self.ereg('(Record-Route: *%s[[:cntrl:]]*)+' % LINE, 'rr%d,rx%d' % (n, n), 'msg',
                                          must=False))
                    if self.role == 'uas' and n == 1:
                        attr += ' rrs="true"'
        for i, rx in enumerate(words.get('has', [])):
            acts.append(self.ereg(rx, 'h%dx%d' % (len(self.out), i), 'msg'))
        for i, rx in enumerate(words.get('hasnt', [])):
            acts.append(self.ereg(rx, 'n%dx%d' % (len(self.out), i), 'msg', inverse=True))
        if optional:
            attr += ' optional="true"'
        if 'to' in words:
            attr += ' timeout="%s"' % words['to']
        if 'else' in words:
            attr += ' ontimeout="%s"' % self.label(words['else'])
        if 'next' in words:
            attr += ' next="%s"' % self.label(words['next'])
        self.out.append(' <recv %s>%s</recv>\n' % (attr, '\n  <action>\n   %s\n  </action>\n ' % '\n   '.join(acts)
                                                    if acts else ''))

    def note_answer(self, code, optional, words):
        """What an answer does to our side of the dialog: the route set and whose ACK comes next."""
        if self.role == 'uac' and 100 < code < 300:
            self.up_next = True
        if code >= 200 and words.get('of', self.pending) == 'INVITE':
            self.acked2xx = code < 300
            if code < 300:
                self.up = True

    def label(self, name):
        return self.labels.setdefault(name, str(len(self.labels) + 1))

    def step(self, line):
        word, words = parse(line)
        self.pending = words.get('of', self.pending)
        if word[0] == '>':
            what = word[1]
            if what.isdigit():
                self.response(int(what), words)
            else:
                if what != 'ACK':
                    self.pending = what
                self.request(what, words)
        elif word[0] == '<':
            self.receive(word[1], words)
        elif word[0] == 'wait':
            self.out.append(' <pause milliseconds="%d"%s/>\n' % (
                int(word[1]), ' next="%s"' % self.label(words['next']) if 'next' in words else ''))
        elif word[0] == 'audio':
            self.out.append(' <nop><action><exec play_pcap_audio="audio.pcap"/></action></nop>\n')
        elif word[0] == 'goto':
            self.out.append(' <nop next="%s"/>\n' % self.label(word[1]))
        elif word[0].endswith(':'):
            self.out.append(' <label id="%s"/>\n' % self.label(word[0][:-1]))
        else:
            raise ValueError('%s: what is "%s"?' % (self.name, line))

    info = None
    pending = 'INVITE'
    acked2xx = False
    initial_invite = True

    def xml(self):
        text = ''.join(self.out)
        unused = sorted({v for v in self.vars if '[$%s]' % v not in text})
        ref = ' <Reference variables="%s"/>\n' % ','.join(unused) if unused else ''
        return ('<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
                '<scenario name="%s-%s">\n%s%s</scenario>\n' % (self.name, self.role, text, ref))


def parse(line):
    """'> 200 sdp=sendonly for=INVITE' -> (['>', '200'], {...})"""
    line = line.strip()
    words = {}
    m = re.search(r'\s=>\s*(\w+)\s*$', line)
    if m:
        words['next'] = m.group(1)
        line = line[:m.start()]

    def rx(m):
        words.setdefault(m.group(1), []).append(m.group(2))
        return ''
    line = re.sub(r'\b(has|hasnt)=/((?:[^/\\]|\\.)*)/', rx, line)
    parts = line.split()
    head = parts[:2] if parts[0] in '<>' or parts[0] in ('wait', 'goto') else parts[:1]
    for w in parts[len(head):]:
        if w.startswith('h:'):
            k, _, v = w[2:].partition('=')
            words.setdefault('h', []).append((k, v))
        elif '=' in w:
            k, _, v = w.partition('=')
            words[k] = v
        else:
            words[w] = True
    return head, words


def compile_file(path, name, bodies=None):
    """The scenario file as {'uac': xml, 'uas': xml} (a side may be missing)."""
    sides = {}
    side = None
    with open(path) as f:
        for n, line in enumerate(f, 1):
            line = line.split('#')[0].rstrip()
            if not line.strip():
                continue
            if line.strip() in ('uac', 'uas'):
                side = Side(name, line.strip(), bodies)
                side.info = {}
                sides[side.role] = side
                continue
            try:
                side.step(line)
            except Exception as e:
                raise ValueError('%s:%d: %s: %s' % (path, n, line.strip(), e))
    return {k: v.xml() for k, v in sides.items()}
