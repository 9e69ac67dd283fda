"""A SIP endpoint that sends and takes exactly what a test says: for races, wrong messages and everything that
SIPp decides by itself. Plain sockets, no retransmission, no state but what the test keeps."""
import os
import re
import select
import socket
import ssl
import struct
import time

from lab import Failed, addr, inside

CRLF = '\r\n'
_COMPACT = {'v': 'via', 'f': 'from', 't': 'to', 'i': 'call-id', 'm': 'contact', 'l': 'content-length',
            'c': 'content-type', 'k': 'supported', 's': 'subject'}


class Msg:
    """A message taken apart: start, headers as (lower case name, value) in order, body as text."""

    def __init__(self, raw, source=None):
        self.raw = raw
        self.source = source
        head, _, body = raw.partition(b'\r\n\r\n')
        lines = re.sub(r'\r\n[ \t]+', ' ', head.decode('utf-8', 'replace')).split('\r\n')
        self.start = lines[0]
        self.headers = []
        for l in lines[1:]:
            n, _, v = l.partition(':')
            n = n.strip().lower()
            self.headers.append((_COMPACT.get(n, n), v.strip()))
        self.body = body.decode('utf-8', 'replace')

    @property
    def status(self):
        return int(self.start.split()[1]) if self.start.startswith('SIP/') else 0

    @property
    def method(self):
        return self.get('cseq').split()[-1] if self.status else self.start.split()[0]

    def get(self, name, default=''):
        return next((v for n, v in self.headers if n == name.lower()), default)

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def tag(self, name):
        m = re.search(r';\s*tag=([^;>\s]+)', self.get(name))
        return m.group(1) if m else ''

    def contact(self):
        m = re.search(r'<([^>]+)>', self.get('contact'))
        return m.group(1) if m else self.get('contact')

    def media(self, n=0):
        """(address, port) of the n-th stream"""
        c = re.findall(r'^c=IN IP[46] (\S+)', self.body, re.M)
        m = re.findall(r'^m=\w+ (\d+)', self.body, re.M)
        return (c[min(n, len(c) - 1)] if c else None, int(m[n]) if len(m) > n else 0)

    def __str__(self):
        return self.raw.decode('utf-8', 'replace')


def sdp(address, port, direction='sendrecv', version=1, pts=('8', '0', '101'), extra='', session='20518'):
    fam = 'IP6' if ':' in address else 'IP4'
    names = {'0': 'PCMU/8000', '8': 'PCMA/8000', '13': 'CN/8000', '18': 'G729/8000'}
    b = ['v=0', 'o=- %s %d IN %s %s' % (session, version, fam, address), 's=-', 'c=IN %s %s' % (fam, address), 't=0 0',
         'm=audio %d RTP/AVP %s' % (port, ' '.join(pts))]
    for p in pts:
        b.append('a=rtpmap:%s %s' % (p, names.get(p, 'telephone-event/8000')))
        if p not in names:
            b.append('a=fmtp:%s 0-15' % p)
    b += ['a=ptime:20', 'a=' + direction]
    return CRLF.join(b) + CRLF + extra


class Ua:
    """A party on a host. proto udp: one socket; tcp: a listener and connections; tls: the same, wrapped.

    For tls, shows is the ssl context of its listener and calls the one it connects with (None: it cannot), and
    sni the name it asks for. Handshakes of others that fail leave their error in .refused.

    send() takes a Msg of the far side to answer, or text; expect() gives the next message that fits and keeps
    what does not in .others, so that nothing is lost by the order in which things arrive."""

    def __init__(self, lab, host, port, proto='udp', family=4, shows=None, calls=None, sni=None):
        self.shows, self.calls, self.sni, self.refused, self.accepted = shows, calls, sni, [], 0
        self.param = '' if proto == 'udp' else ';transport=' + proto
        self.host, self.port, self.proto = host, port, proto
        self.addr = addr(host, family)
        self.at = ('[%s]' % self.addr if family == 6 else self.addr) + ':%d' % port
        self.others = []
        self.n = 0
        self.conns = {}
        fam = socket.AF_INET6 if family == 6 else socket.AF_INET
        self.fam = fam
        with inside(host):
            self.sock = socket.socket(fam, socket.SOCK_DGRAM if proto == 'udp' else socket.SOCK_STREAM)
            if proto != 'udp':
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((self.addr, port))
        if proto != 'udp':
            self.sock.listen(8)
        self.port = self.sock.getsockname()[1]
        lab.sockets.append(self.sock)
        self.lab = lab
        self.uniq = os.urandom(4).hex()

    def close(self):
        self.sock.close()
        for c in list(self.conns):
            c.close()
        self.conns = {}

    # ---- bytes
    def connect(self, to):
        with inside(self.host):
            c = socket.socket(self.fam, socket.SOCK_STREAM)
            c.bind((self.addr, 0))
        c.settimeout(3)
        c.connect(to)
        if self.proto == 'tls':
            c = self.calls.wrap_socket(c, server_hostname=self.sni)
        self.conns[c] = b''
        self.lab.sockets.append(c)
        return c

    def cut(self):
        """Every connection is gone at once, without a word of TLS."""
        for c in list(self.conns):
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            c.close()
        self.conns = {}

    def raw(self, data, to, conn=None):
        if isinstance(data, str):
            data = data.encode('utf-8', 'surrogateescape')
        if self.proto == 'udp':
            self.sock.sendto(data, to)
        else:
            if conn is None:
                conn = next((c for c in self.conns), None) or self.connect(to)
            conn.sendall(data)

    def _poll(self, seconds):
        """Messages that arrive within the time, one by one; None when it is over."""
        end = time.monotonic() + seconds
        while True:
            for s in list(self.conns):      # two messages came in one segment
                m = self._frame(s)
                if m:
                    return m
            left = end - time.monotonic()
            if left <= 0:
                return None
            r, _, _ = select.select([self.sock] + list(self.conns), [], [], left)
            for s in r:
                if s is self.sock and self.proto == 'udp':
                    data, src = s.recvfrom(65535)
                    if not data.strip(b'\r\n\0'):
                        continue
                    return Msg(data, src)
                if s is self.sock:
                    c, src = s.accept()
                    self.accepted += 1
                    c.settimeout(3)
                    if self.proto == 'tls':
                        try:
                            c = self.shows.wrap_socket(c, server_side=True)
                        except OSError as e:
                            self.refused.append(str(e))
                            c.close()
                            continue
                    self.conns[c] = b''
                    self.lab.sockets.append(c)
                    continue
                try:
                    s.settimeout(0)
                    d = s.recv(65535)
                    while self.proto == 'tls' and s.pending():
                        d += s.recv(65535)
                except ssl.SSLWantReadError:        # a ticket, half a record
                    d = None
                except OSError:
                    d = b''
                s.settimeout(3)
                if d is None:
                    continue
                if not d:
                    s.close()
                    del self.conns[s]
                    continue
                self.conns[s] += d

    def _frame(self, s):
        b = self.conns[s].lstrip(b'\r\n')
        head, sep, body = b.partition(b'\r\n\r\n')
        if not sep:
            return None
        m = re.search(rb'(?im)^(?:content-length|l)\s*:\s*(\d+)', head)
        n = int(m.group(1)) if m else 0
        if len(body) < n:
            return None
        self.conns[s] = body[n:]
        r = Msg(head + sep + body[:n], s)
        return r

    def expect(self, want, seconds=3.0, callid=None):
        """want: a status, a method (request), a tuple of them, or a function of Msg."""
        def fits(m):
            if callid and m.get('call-id') != callid:
                return False
            if callable(want):
                return want(m)
            w = want if isinstance(want, tuple) else (want,)
            return (m.status in w) if m.status else (m.method in w)
        for i, m in enumerate(self.others):
            if fits(m):
                return self.others.pop(i)
        end = time.monotonic() + seconds
        while True:
            m = self._poll(end - time.monotonic())
            if m is None:
                raise Failed('%s: no %s within %.1f s; had: %s' % (
                    self.host, want if not callable(want) else 'such message', seconds,
                    ', '.join(x.start for x in self.others) or 'nothing'))
            if fits(m):
                return m
            self.others.append(m)

    def nothing(self, seconds, want=lambda m: True):
        """Nothing that fits may come (or lie there) for so long."""
        end = time.monotonic() + seconds
        for m in self.others:
            if want(m):
                raise Failed('%s: unexpected %s' % (self.host, m.start))
        while True:
            m = self._poll(end - time.monotonic())
            if m is None:
                return
            if want(m):
                raise Failed('%s: unexpected %s' % (self.host, m.start))
            self.others.append(m)

    def drain(self):
        while True:
            m = self._poll(0.01)
            if m is None:
                break
        self.others = []

    # ---- messages
    def branch(self):
        self.n += 1
        return 'z9hG4bK%s%d' % (self.uniq, self.n)

    def request(self, method, uri, calling, called, **k):
        """Text of a request out of dialog. k: callid cseq branch body ctype headers via tag totag mf"""
        self.n += 1
        body = k.get('body', '')
        h = ['%s %s SIP/2.0' % (method, uri),
             'Via: SIP/2.0/%s %s;branch=%s%s' % (self.proto.upper(), self.at, k.get('branch') or self.branch(),
                                                k.get('viaparams', ';rport'))]
        if k.get('mf', 70) is not None:
            h.append('Max-Forwards: %s' % k.get('mf', 70))
        h += ['From: <sip:%s@%s>;tag=%s' % (calling, self.addr if ':' not in self.addr else '[%s]' % self.addr,
                                           k.get('tag') or 't%s%d' % (self.uniq, self.n)),
              'To: %s%s' % (k.get('to', '<sip:%s@%s>' % (called, uri.split('@')[-1].split(';')[0])),
                            ';tag=' + k['totag'] if k.get('totag') else ''),
              'Call-ID: %s' % (k.get('callid') or 'c%s%d' % (self.uniq, self.n)),
              'CSeq: %d %s' % (k.get('cseq', 1), k.get('cseq_method', method))]
        if method in ('INVITE', 'UPDATE', 'SUBSCRIBE'):
            h.append('Contact: <sip:%s@%s%s>' % (calling, self.at, self.param))
        h += k.get('headers', [])
        if body:
            h.append('Content-Type: ' + k.get('ctype', 'application/sdp'))
        h.append('Content-Length: %d' % len(body.encode()))
        return CRLF.join(h) + CRLF + CRLF + body

    def response(self, req, code, reason='X', tag=None, body='', headers=(), contact=True):
        h = ['SIP/2.0 %d %s' % (code, reason)]
        h += ['Via: ' + v for v in req.all('via')]
        h += ['Record-Route: ' + v for v in req.all('record-route')] if 100 < code < 300 else []
        to = req.get('to')
        if tag and not req.tag('to') and code > 100:
            to += ';tag=' + tag
        h += ['From: ' + req.get('from'), 'To: ' + to, 'Call-ID: ' + req.get('call-id'), 'CSeq: ' + req.get('cseq')]
        if contact and 100 < code < 300 and req.method in ('INVITE', 'UPDATE'):
            h.append('Contact: <sip:uas@%s%s>' % (self.at, self.param))
        h += list(headers)
        if body:
            h.append('Content-Type: application/sdp')
        h.append('Content-Length: %d' % len(body.encode()))
        return CRLF.join(h) + CRLF + CRLF + body

    def reply(self, req, code, reason='X', **k):
        text = self.response(req, code, reason, **k)
        if self.proto != 'udp':
            # its connection may be gone: then over another (RFC 3261 18.2.2)
            self.raw(text, getattr(self, 'hop', None), req.source if req.source in self.conns else None)
        else:
            self.raw(text, req.source)
        return text


class Dialog:
    """Our side of a dialog: enough to send requests in it and to ACK."""

    def __init__(self, ua, uac, invite, answer, to, local_tag=None):
        """uac: we sent the INVITE (Msg or text of it); answer: the 1xx/2xx with the far tag. As UAS: invite is
        theirs, answer is None and local_tag what we put in. to: (host, port) requests go to."""
        self.ua, self.to = ua, to
        inv = invite if isinstance(invite, Msg) else Msg(invite.encode())
        self.callid = inv.get('call-id')
        if uac:
            self.local, self.remote = inv.get('from'), answer.get('to')
            self.target = answer.contact()
            self.routes = list(reversed(answer.all('record-route')))
            self.cseq = self.invite_cseq = int(inv.get('cseq').split()[0])
        else:
            self.local, self.remote = inv.get('to') + ';tag=' + local_tag, inv.get('from')
            self.target = inv.contact()
            self.routes = inv.all('record-route')
            self.cseq = 100

    def request(self, method, body='', headers=(), cseq=None, branch=None, ctype='application/sdp'):
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        h = ['%s %s SIP/2.0' % (method, self.target),
             'Via: SIP/2.0/%s %s;branch=%s;rport' % (self.ua.proto.upper(), self.ua.at, branch or self.ua.branch())]
        h += ['Route: ' + r for r in self.routes]
        h += ['Max-Forwards: 70', 'From: ' + self.local, 'To: ' + self.remote, 'Call-ID: ' + self.callid,
              'CSeq: %d %s' % (cseq, method)]
        if method in ('INVITE', 'UPDATE'):
            h.append('Contact: <sip:ua@%s%s>' % (self.ua.at, self.ua.param))
        h += list(headers)
        if body:
            h.append('Content-Type: ' + ctype)
        h.append('Content-Length: %d' % len(body.encode()))
        text = CRLF.join(h) + CRLF + CRLF + body
        self.ua.raw(text, self.to)
        return text

    def ack(self, cseq=None, body=''):
        return self.request('ACK', cseq=cseq or self.cseq, body=body)


def ack_failure(ua, invite, answer, to):
    """ACK of a non-2xx: the branch, URI and CSeq number of the INVITE (text)."""
    m = Msg(invite.encode())
    h = ['ACK %s SIP/2.0' % m.start.split()[1], 'Via: ' + m.get('via'), 'Max-Forwards: 70', 'From: ' + m.get('from'),
         'To: ' + answer.get('to'), 'Call-ID: ' + m.get('call-id'), 'CSeq: %s ACK' % m.get('cseq').split()[0],
         'Content-Length: 0']
    ua.raw(CRLF.join(h) + CRLF + CRLF, to)


def cancel(ua, invite, to, headers=()):
    m = Msg(invite.encode())
    h = ['CANCEL %s SIP/2.0' % m.start.split()[1], 'Via: ' + m.get('via'), 'Max-Forwards: 70', 'From: ' + m.get('from'),
         'To: ' + m.get('to'), 'Call-ID: ' + m.get('call-id'), 'CSeq: %s CANCEL' % m.get('cseq').split()[0]]
    h += list(headers) + ['Content-Length: 0']
    ua.raw(CRLF.join(h) + CRLF + CRLF, to)


class Rtp:
    """An RTP socket on a host; sends numbered packets, tells what came."""

    def __init__(self, lab, host, port, family=4, ssrc=0x1234):
        self.addr = addr(host, family)
        with inside(host):
            self.s = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
            self.s.bind((self.addr, port))
        self.port = self.s.getsockname()[1]
        lab.sockets.append(self.s)
        self.seq, self.ts, self.ssrc = 100, 0, ssrc

    def close(self):
        self.s.close()

    def send(self, to, pt=8, payload=b'\xd5' * 160, marker=0):
        self.s.sendto(struct.pack('!BBHII', 0x80, (marker << 7) | pt, self.seq & 0xffff, self.ts & 0xffffffff,
                                  self.ssrc) + payload, to)
        self.seq += 1
        self.ts += len(payload)

    def recv(self, seconds=1.0):
        """(payload type, sequence, payload, source) or None"""
        self.s.settimeout(seconds)
        try:
            d, src = self.s.recvfrom(4096)
        except socket.timeout:
            return None
        return (d[1] & 127, struct.unpack('!H', d[2:4])[0], d[12:], src)

    def drain(self):
        n = 0
        self.s.setblocking(False)
        try:
            while True:
                self.s.recvfrom(4096)
                n += 1
        except BlockingIOError:
            return n
