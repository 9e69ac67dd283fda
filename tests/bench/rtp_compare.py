#!/usr/bin/env python3
"""rtp_compare.py BENCH_RTP [--rates 10000,25000,50000] [--calls 500] [--runs 3] [--secs 3] [--max] [--cpu 1] [--suite SUITE]

Our relay and Debian's rtpengine (user space: no kernel table) under the same load in the same run, taking turns so
that what else the machine does hits both. Prints medians and their spread. Each has one thread for media on the
same CPU. rtpengine gets its calls over its ng protocol (bencode over UDP), with the SDP of plain PCMU.

On a machine that does other things the latencies are those of its scheduler (a tick of 4 ms and more); to see the
relay's own, run all of it at real-time priority: chrt -f 5 rtp_compare.py …

With --suite the A sides of all calls speak SRTP (SDES) and the B sides plain RTP."""
import argparse
import base64
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NG = ('127.71.0.3', 2223)


def bencode(v):
    if isinstance(v, dict):
        return b'd' + b''.join(bencode(k) + bencode(v[k]) for k in sorted(v)) + b'e'
    if isinstance(v, (list, tuple)):
        return b'l' + b''.join(bencode(x) for x in v) + b'e'
    b = str(v).encode()
    return b'%d:%s' % (len(b), b)


def answer_sdp(reply):
    """the SDP out of a bencoded answer: a string that says its length"""
    if b'6:result2:ok' not in reply:
        raise SystemExit('rtpengine refused: %r' % reply[:200])
    m = re.search(rb'3:sdp(\d+):', reply)
    return reply[m.end():m.end() + int(m.group(1))].decode()


KEYS = {'AES_CM_128_HMAC_SHA1_80': 30, 'AES_CM_128_HMAC_SHA1_32': 30, 'AEAD_AES_128_GCM': 28, 'AEAD_AES_256_GCM': 44}


def sdp(ip, port, suite=None, key=None):
    return ('v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/{2} 0\r\n'
            'a=rtpmap:0 PCMU/8000\r\n{3}a=sendrecv\r\n').format(
                ip, port, 'SAVP' if suite else 'AVP', 'a=crypto:1 %s inline:%s\r\n' % (suite, key) if suite else '')


def where(text):
    return '%s:%s' % (re.search(r'c=IN IP4 (\S+)', text).group(1), re.search(r'm=audio (\d+)', text).group(1))


class Rtpengine:
    def __init__(self, cpu, calls, suite=None):
        self.dir = tempfile.mkdtemp()
        self.p = subprocess.Popen(
            ['taskset', '-c', str(cpu), 'rtpengine', '--foreground', '--log-stderr', '--log-level=3', '--table=-1',
             '--interface=a/127.71.0.3', '--interface=b/127.72.0.3', '--listen-ng=%s:%d' % NG, '--port-min=10000',
             '--port-max=29999', '--num-threads=1', '--timeout=3600', '--silent-timeout=3600', '--offer-timeout=3600',
             '--pidfile=' + self.dir + '/pid'],
            cwd=self.dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.table = self.dir + '/calls'
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.settimeout(0.5)
        self.n = 0
        time.sleep(1)
        if self.p.poll() is not None:
            raise SystemExit('rtpengine ended at once: is %s:%d, or a port of 127.71.0.3, taken?' % NG)
        with open(self.table, 'w') as f:
            for c in range(calls):
                port = 30000 + 2 * c
                key = base64.b64encode(os.urandom(KEYS[suite])).decode() if suite else ''
                ident = {'call-id': 'bench%d' % c, 'from-tag': 'f', 'ICE': 'remove', 'flags': ['trust-address']}
                b = answer_sdp(self.ask(dict(ident, command='offer', direction=['a', 'b'], sdp=sdp('127.71.0.1', port, suite, key),
                                             **({'transport-protocol': 'RTP/AVP'} if suite else {}))))
                a = answer_sdp(self.ask(dict(ident, command='answer', sdp=sdp('127.72.0.1', port), **{'to-tag': 't'})))
                ours = re.search(r'a=crypto:\d+ %s inline:([A-Za-z0-9+/=]+)' % suite, a).group(1) if suite else ''
                f.write('127.71.0.1:%d %s 127.72.0.1:%d %s %s %s\n' % (port, where(a), port, where(b), key, ours))

    def ask(self, msg):
        self.n += 1
        cookie = b'%d ' % self.n
        for _ in range(10):
            self.s.sendto(cookie + bencode(msg), NG)
            try:
                while True:
                    r = self.s.recv(65536)
                    if r.startswith(cookie):
                        return r
            except (socket.timeout, ConnectionRefusedError):
                time.sleep(0.1)
        raise SystemExit('rtpengine does not answer')

    def close(self):
        self.p.send_signal(signal.SIGTERM)
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        shutil.rmtree(self.dir)


def bench(a, extra):
    out = subprocess.run([a.bench, '-n', str(a.calls), '-t', str(a.secs), '-c', str(a.cpu)] +
                         (['-s', a.suite] if a.suite else []) + extra,
                         stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def show(name, rate, rs):
    def three(k, scale=1.0, digits=0):
        v = sorted(r[k] * scale for r in rs)
        return '%.*f (%.*f..%.*f)' % (digits, statistics.median(v), digits, v[0], digits, v[-1])
    print('%-10s %8s  %9.0f  %-22s %-24s %-16s %-18s %s' % (
        name, rate, statistics.median(r['pps'] for r in rs), three('cpu_ns'), three('loss', 100, 3), three('p50_us'),
        three('p99_us'), sum(r['bad'] for r in rs)))
    sys.stdout.flush()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('bench')
    p.add_argument('--rates', default='10000,25000,50000')
    p.add_argument('--calls', type=int, default=500)
    p.add_argument('--runs', type=int, default=3)
    p.add_argument('--secs', type=float, default=3)
    p.add_argument('--cpu', type=int, default=1)
    p.add_argument('--max', action='store_true', help='also the highest rate without loss')
    p.add_argument('--suite', choices=sorted(KEYS), help='SRTP on the A sides')
    a = p.parse_args()
    a.bench = os.path.abspath(a.bench)
    peer = Rtpengine(a.cpu, a.calls, a.suite) if shutil.which('rtpengine') else None
    if not peer:
        print('# no rtpengine on this machine: ours alone')
    who = [('postern', lambda x: bench(a, x))]
    if peer:
        who.append(('rtpengine', lambda x: bench(a, x + ['-T', peer.table, '-P', str(peer.p.pid)])))
    try:
        print('%-10s %8s  %9s  %-22s %-24s %-16s %-18s %s' % (
            'relay', 'offered', 'packets/s', 'CPU ns per packet', 'loss %', 'p50 us', 'p99 us', 'bad'))
        for rate in a.rates.split(','):
            rs = {n: [] for n, _ in who}
            for _ in range(a.runs):
                for n, f in who:
                    rs[n].append(f(['-r', rate]))
            for n, _ in who:
                show(n, rate, rs[n])
        if a.max:
            rs = {n: [] for n, _ in who}
            for _ in range(a.runs):
                for n, f in who:
                    rs[n].append(f(['-m', '-r', '30000']))
            for n, _ in who:
                show(n, rs[n][0]['what'], rs[n])
    finally:
        if peer:
            peer.close()


main()
