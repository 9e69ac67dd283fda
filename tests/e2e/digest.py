"""Digest (RFC 7616, RFC 8760) from the client's side, for parties made of sockets."""
import hashlib
import os
import re

from lab import check

HASH = {'MD5': hashlib.md5, 'SHA-256': hashlib.sha256, 'SHA-512-256': lambda b: hashlib.new('sha512_256', b)}


class Digest:
    """An account; take() a 401 or 407, then line() for each request."""

    def __init__(self, user, secret, algs=('SHA-512-256', 'SHA-256', 'MD5'), qop='auth'):
        self.user, self.secret, self.algs, self.qop = user, secret, algs, qop
        self.c = None

    def take(self, m):
        self.proxy = m.status == 407
        lines = m.all('proxy-authenticate' if self.proxy else 'www-authenticate')
        found = [dict(re.findall(r'(\w+)="?([^",]+(?:,[\w-]+(?="))?)"?', v.split(' ', 1)[1])) for v in lines]
        check(found and all(self.qop in f['qop'].split(',') for f in found), str(m))
        self.c = next(f for a in self.algs for f in found if f['algorithm'] == a)
        self.nc = 0
        return self

    def line(self, method, uri, body='', nc=None):
        h = lambda t: HASH[self.c['algorithm']](t.encode()).hexdigest()
        self.nc += 1
        nc, cn = '%08x' % (nc or self.nc), os.urandom(4).hex()
        a1 = h('%s:%s:%s' % (self.user, self.c['realm'], self.secret))
        a2 = h('%s:%s' % (method, uri) + (':' + h(body) if self.qop == 'auth-int' else ''))
        return ('%sAuthorization: Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=%s, qop=%s, '
                'nc=%s, cnonce="%s", response="%s"'
                % ('Proxy-' if self.proxy else '', self.user, self.c['realm'], self.c['nonce'], uri, self.c['algorithm'],
                   self.qop, nc, cn, h(':'.join((a1, self.c['nonce'], nc, cn, self.qop, a2)))))


def secrets(user, realm, secret):
    """The password and the hashes that are as good as it."""
    return [secret] + [h(('%s:%s:%s' % (user, realm, secret)).encode()).hexdigest() for h in HASH.values()]


def responses(text):
    """The response values of credentials in a text."""
    return re.findall(r'response="([0-9a-f]{32,64})"', text)

