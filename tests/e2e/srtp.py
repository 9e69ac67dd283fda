"""SRTP of a far end, in plain Python and from the RFCs alone (3711, 6188, 4568): AES in counter mode and HMAC-SHA1.

Slow, and its own: what it seals was made by no library that the controller uses, and what it opens it opens by itself."""
import base64
import hashlib
import hmac
import os
import re
import struct

SUITES = {'AES_CM_128_HMAC_SHA1_80': (16, 10), 'AES_CM_128_HMAC_SHA1_32': (16, 4),
          'AES_256_CM_HMAC_SHA1_80': (32, 10), 'AES_256_CM_HMAC_SHA1_32': (32, 4)}
SALT = 14


def _sbox():
    p = q = 1
    box = [0] * 256
    while True:
        p ^= (p << 1 & 0xff) ^ (0x1b if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        x = q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4)
        box[p] = (x ^ 0x63) & 0xff
        if p == 1:
            break
    box[0] = 0x63
    return box


S = _sbox()


def _double(x):
    return (x << 1 ^ (0x1b if x & 0x80 else 0)) & 0xff


class Aes:
    def __init__(self, key):
        n = len(key) // 4
        w = [list(key[4 * i:4 * i + 4]) for i in range(n)]
        rcon = 1
        for i in range(n, 4 * (n + 7)):
            t = list(w[i - 1])
            if i % n == 0:
                t = [S[x] for x in t[1:] + t[:1]]
                t[0] ^= rcon
                rcon = _double(rcon)
            elif n > 6 and i % n == 4:
                t = [S[x] for x in t]
            w.append([a ^ b for a, b in zip(w[i - n], t)])
        self.round = [sum(w[i:i + 4], []) for i in range(0, len(w), 4)]

    def block(self, data):
        s = [a ^ b for a, b in zip(data, self.round[0])]
        for r in range(1, len(self.round)):
            s = [S[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if r < len(self.round) - 1:
                t = []
                for c in range(0, 16, 4):
                    a = s[c:c + 4]
                    x = a[0] ^ a[1] ^ a[2] ^ a[3]
                    t += [a[i] ^ x ^ _double(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
                s = t
            s = [a ^ b for a, b in zip(s, self.round[r])]
        return bytes(s)

    def stream(self, iv, n):
        out = b''
        iv = int.from_bytes(iv, 'big')
        while len(out) < n:
            out += self.block((iv & (1 << 128) - 1).to_bytes(16, 'big'))
            iv += 1
        return out[:n]


def _xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


class Key:
    """One master key in one direction. roc is that of the next packet; the user counts it up."""

    def __init__(self, suite, master=None, mki=b''):
        self.suite, self.mki, self.roc = suite, mki, 0
        n, self.tag = SUITES[suite]
        self.master = master or os.urandom(n + SALT)
        aes = Aes(self.master[:n])
        salt = self.master[n:]

        def derive(label, size):
            iv = bytearray(salt + b'\0\0')
            iv[7] ^= label
            return aes.stream(bytes(iv), size)
        self.aes, self.auth, self.salt = Aes(derive(0, n)), derive(1, 20), derive(2, SALT)
        self.rtcp_aes, self.rtcp_auth, self.rtcp_salt = Aes(derive(3, n)), derive(4, 20), derive(5, SALT)
        self.rtcp_index = 0

    def line(self, tag=1, params=''):
        text = base64.b64encode(self.master).decode()
        if self.mki:
            text += '|%d:%d' % (int.from_bytes(self.mki, 'big'), len(self.mki))
        return 'a=crypto:%d %s inline:%s%s\r\n' % (tag, self.suite, text, params)

    def _crypt(self, aes, salt, ssrc, index, data):
        iv = (int.from_bytes(salt, 'big') << 16) ^ (ssrc << 64) ^ (index << 16)
        return _xor(data, aes.stream(iv.to_bytes(16, 'big'), len(data)))

    def seal(self, packet):
        seq, ssrc = struct.unpack('!H', packet[2:4])[0], struct.unpack('!I', packet[8:12])[0]
        body = packet[:12] + self._crypt(self.aes, self.salt, ssrc, self.roc << 16 | seq, packet[12:])
        tag = hmac.new(self.auth, body + struct.pack('!I', self.roc), hashlib.sha1).digest()[:self.tag]
        return body + self.mki + tag

    def open(self, packet):
        """the packet in clear; None: not of this key and counter"""
        end = len(packet) - self.tag
        body, mki, tag = packet[:end - len(self.mki)], packet[end - len(self.mki):end], packet[end:]
        if hmac.new(self.auth, body + struct.pack('!I', self.roc), hashlib.sha1).digest()[:self.tag] != tag or mki != self.mki:
            return None
        seq, ssrc = struct.unpack('!H', body[2:4])[0], struct.unpack('!I', body[8:12])[0]
        return body[:12] + self._crypt(self.aes, self.salt, ssrc, self.roc << 16 | seq, body[12:])

    def seal_rtcp(self, packet):
        ssrc = struct.unpack('!I', packet[4:8])[0]
        self.rtcp_index += 1
        body = packet[:8] + self._crypt(self.rtcp_aes, self.rtcp_salt, ssrc, self.rtcp_index, packet[8:])
        body += struct.pack('!I', self.rtcp_index | 1 << 31)
        return body + self.mki + hmac.new(self.rtcp_auth, body, hashlib.sha1).digest()[:10]

    def open_rtcp(self, packet):
        end = len(packet) - 10
        body, tag = packet[:end - len(self.mki)], packet[end:]
        if hmac.new(self.rtcp_auth, body, hashlib.sha1).digest()[:10] != tag:
            return None
        index = struct.unpack('!I', body[-4:])[0]
        ssrc = struct.unpack('!I', body[4:8])[0]
        return body[:8] + self._crypt(self.rtcp_aes, self.rtcp_salt, ssrc, index & 0x7fffffff, body[8:-4])


def lines(text):
    """{tag: (suite, Key)} of the a=crypto lines of a description; Key is None for suites that are not known here"""
    out = {}
    for tag, suite, key, rest in re.findall(r'^a=crypto:(\d+) (\S+) inline:([^|\s]+)(\S*)', text, re.M):
        m = re.search(r'\|(\d+):(\d+)', rest)
        mki = int(m.group(1)).to_bytes(int(m.group(2)), 'big') if m else b''
        out[int(tag)] = (suite, Key(suite, base64.b64decode(key), mki) if suite in SUITES else None)
    return out


def selftest():
    """FIPS 197 C.1, C.3; RFC 3711 B.2, B.3"""
    plain = bytes.fromhex('00112233445566778899aabbccddeeff')
    assert Aes(bytes(range(16))).block(plain).hex() == '69c4e0d86a7b0430d8cdb78070b4c55a'
    assert Aes(bytes(range(32))).block(plain).hex() == '8ea2b7ca516745bfeafc49904b496089'
    k = Key('AES_CM_128_HMAC_SHA1_80', bytes.fromhex('E1F97A0D3E018BE0D64FA32C06DE4139' '0EC675AD498AFEEBB6960B3AABE6'))
    assert k.salt.hex().upper() == '30CBBC08863D8C85D49DB34A9AE1'
    assert k.auth.hex().upper() == 'CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4'


selftest()
