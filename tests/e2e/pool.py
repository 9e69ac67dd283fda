"""A provider's pool of registrars that share nothing: each has its own nonces, knows who registered with it and nobody
else, and takes calls of those alone. They run in a thread of the test, on plain UDP sockets."""
import hashlib
import os
import re
import selectors
import socket
import threading
import time

from lab import addr, inside

PORT = 5064
HEAD = re.compile(rb'^(\w+) (\S+) SIP/2\.0\r\n|^SIP/2\.0 (\d+)')
BRANCH = re.compile(rb';branch=([^;\r]+)')


def header(text, *names):
    """The lines of a header, whole, in order."""
    return [l for l in text.split('\r\n') if l.split(':', 1)[0].strip().lower() in names]


def value(text, *names):
    l = header(text, *names)
    return l[0].split(':', 1)[1].strip() if l else ''


class Member:
    """One registrar. held: until when what it was told last holds; strays: requests of somebody it does not know;
    misplaced: requests that are not for it, since another one was told later."""

    def __init__(self, pool, host, port=PORT):
        self.pool, self.host, self.addr, self.port = pool, host, addr(host), port
        self.held, self.since, self.contact = 0.0, 0.0, None
        self.strays, self.misplaced = [], []
        self.count = {}
        self.challenges = 0
        self.silent, self.dropped = False, set()
        self.nonce = os.urandom(6).hex()
        self.sock = None
        self.open()

    def open(self):
        with inside(self.host):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)     # SO_RCVBUFFORCE
        self.sock.bind((self.addr, self.port))
        self.sock.setblocking(False)
        self.pool.watch(self)

    def close(self):
        """Nobody is there: ICMP says so. What it knows stays."""
        self.pool.unwatch(self)
        self.sock.close()

    def lines(self, text, code, reason, more=(), tag=True):
        to = header(text, 'to', 't')[0]
        if tag and ';tag=' not in to:
            to += ';tag=' + hashlib.md5(value(text, 'call-id', 'i').encode()).hexdigest()[:10]
        return ('SIP/2.0 %d %s\r\n' % (code, reason) + ''.join(l + '\r\n' for l in header(text, 'via', 'v')) +
                header(text, 'from', 'f')[0] + '\r\n' + to + '\r\n' + header(text, 'call-id', 'i')[0] + '\r\n' +
                header(text, 'cseq')[0] + '\r\n' + ''.join(l + '\r\n' for l in more))

    def reply(self, to, text, code, reason, more=(), body='', tag=True):
        out = self.lines(text, code, reason, more, tag)
        if body:
            out += 'Content-Type: application/sdp\r\n'
        self.sock.sendto((out + 'Content-Length: %d\r\n\r\n%s' % (len(body), body)).encode(), to)

    def proven(self, text, method, name):
        """Credentials for a nonce of ours, and right."""
        v = value(text, name)
        f = dict(re.findall(r'(\w+)="?([^",]+)"?', v.split(' ', 1)[1])) if v else {}
        if not f.get('nonce', '').startswith(self.nonce):
            return False
        h = lambda t: hashlib.md5(t.encode()).hexdigest()
        want = h(':'.join((h('%s:%s:%s' % (self.pool.user, self.pool.realm, self.pool.secret)), f['nonce'], f.get('nc', ''),
                           f.get('cnonce', ''), 'auth', h('%s:%s' % (method, f.get('uri', ''))))))
        return f.get('response') == want

    def challenge(self, to, text, code):
        self.challenges += 1
        self.reply(to, text, code, 'Prove it', ['%s-Authenticate: Digest realm="%s", nonce="%s.%d", algorithm=MD5, qop="auth"' % (
            'WWW' if code == 401 else 'Proxy', self.pool.realm, self.nonce, self.challenges)])

    def register(self, to, text):
        if not self.proven(text, 'REGISTER', 'authorization'):
            self.challenge(to, text, 401)
            return
        contact = header(text, 'contact', 'm')[0]
        s = int(re.search(r'expires=(\d+)', contact).group(1))
        self.contact = re.search(r'<([^>]+)>', contact).group(1)
        now = time.monotonic()
        self.held, self.since = (now + s if s else 0.0), now
        self.reply(to, text, 200, 'OK', [contact] if s else [])

    def on_message(self, data, source):
        m = HEAD.match(data)
        if not m or m.group(3):
            return
        if self.silent:         # what is repeated later was sent while it was held here
            self.dropped.add(BRANCH.search(data).group(1))
            return
        method, text = m.group(1).decode(), data.decode('utf-8', 'replace')
        self.count[method] = self.count.get(method, 0) + 1
        if method == 'REGISTER':
            self.register(source, text)
            return
        now = time.monotonic()
        if now >= self.held:
            self.strays.append(method + ' ' + value(text, 'call-id', 'i'))
        elif method in ('INVITE', 'OPTIONS') and BRANCH.search(data).group(1) not in self.dropped and any(
                o is not self and o.since > self.since and now - o.since > 0.2 for o in self.pool.members):
            self.misplaced.append(method)
        if method == 'INVITE':
            if not self.proven(text, 'INVITE', 'proxy-authorization'):
                self.challenge(source, text, 407)
                return
            self.reply(source, text, 200, 'OK', ['Contact: <sip:x@%s:%d>' % (self.addr, self.port)], self.pool.sdp % (self.addr, self.addr))
        elif method != 'ACK':
            self.reply(source, text, 200, 'OK')


class Pool:
    sdp = 'v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\n'

    def __init__(self, hosts, user, realm, secret):
        self.user, self.realm, self.secret = user, realm, secret
        self.lock, self.select, self.ending, self.error = threading.Lock(), selectors.DefaultSelector(), False, None
        self.members = []
        self.members += [Member(self, h) for h in hosts]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def watch(self, m):
        with self.lock:
            self.select.register(m.sock, selectors.EVENT_READ, m)

    def unwatch(self, m):
        with self.lock:
            self.select.unregister(m.sock)

    def run(self):
        try:
            while not self.ending:
                ready = self.select.select(0.05)
                with self.lock:
                    for key, _ in ready:
                        if key.fileobj.fileno() < 0:
                            continue
                        for _ in range(64):
                            try:
                                data, source = key.fileobj.recvfrom(65535)
                            except BlockingIOError:
                                break
                            key.data.on_message(data, source)
        except Exception as e:      # a test that hears nothing would say less
            self.error = e

    def calls(self):
        return sum(m.count.get('BYE', 0) for m in self.members)

    def holder(self):
        """Who was told last."""
        return max(self.members, key=lambda m: m.since)

    def stop(self):
        self.ending = True
        self.thread.join()
        for m in self.members:
            m.sock.close()
        if self.error:
            raise self.error
