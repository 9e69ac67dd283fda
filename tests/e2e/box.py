"""The controller under test: its configuration, its provisioning by the command line, what it says of itself.

Trunks (t_*.py may say more in CONFIG):
    pbx     lan, pbx0 198.51.100.10:5062/udp        +49301234500..599
    pbxt    lan, pbx1 198.51.100.11:5062/tcp        +49301235500..599
    pbx6    lan, pbx0 2001:db8:a::10, 5062/udp      +49301236500..599
    pbx6t   lan, pbx1 2001:db8:a::11, 5062/tcp      +49301237500..599
    itsp    wan, itsp0 203.0.113.20:5064/udp        route out:  +49* from any
    itspt   wan, itsp1 203.0.113.21:5064/tcp        route tcp:  +44*
    itsp6   wan, itsp0 2001:db8:b::20, 5064/udp     route v6:   +33*
    itsp6t  wan, itsp1 2001:db8:b::21, 5064/tcp     route v6t:  +34*
    duo     wan, itsp2 203.0.113.22, 5064 then 5066 route duo:  +1*
"""
import json
import os
import signal
import subprocess
import time

from lab import LAN_PORTS, LISTEN, WAN_PORTS, BOX, Failed, check, hp, listening, wait

BODIES = {'dtmf': 'Signal=5\nDuration=160', 'dtmf7': 'Signal=7\nDuration=160'}
NUMBERS = {'pbx': '+49301234501', 'pbxt': '+49301235501', 'pbx6': '+49301236501', 'pbx6t': '+49301237501',
           'itsp': '+4989998877', 'itspt': '+442079460001', 'itsp6': '+33155510001', 'itsp6t': '+34915550001',
           'duo': '+12025550100'}
TRUNKS = [
    ('pbx', 'pbx', 'lan', '198.51.100.10:5062'),
    ('pbxt', 'pbx', 'lan', '198.51.100.11:5062/tcp'),
    ('pbx6', 'pbx', 'lan', '[2001:db8:a::10]:5062'),
    ('pbx6t', 'pbx', 'lan', '[2001:db8:a::11]:5062/tcp'),
    ('itsp', 'itsp', 'wan', '203.0.113.20:5064'),
    ('itspt', 'itsp', 'wan', '203.0.113.21:5064/tcp'),
    ('itsp6', 'itsp', 'wan', '[2001:db8:b::20]:5064'),
    ('itsp6t', 'itsp', 'wan', '[2001:db8:b::21]:5064/tcp'),
    ('duo', 'itsp', 'wan', '203.0.113.22:5064@1,203.0.113.22:5066@2'),
]
ROUTES = [('out', '+49*', 'itsp'), ('tcp', '+44*', 'itspt'), ('v6', '+33*', 'itsp6'), ('v6t', '+34*', 'itsp6t'),
          ('duo', '+1*', 'duo')]


class Box:
    def __init__(self, lab, config):
        self.lab = lab
        self.config = config          # strangers, media (lan, wan ranges), limits, extra (text), trunk (assignments),
                                      # listen (realm: more of them), realm (realm: more text)
        self.state = lab.fresh('state')
        os.chmod(self.state, 0o755)
        self.conf = lab.path('postern.conf')
        self.ctl = os.path.join(self.state, 'ctl')
        self.proc = None
        self.undoing = []
        self.logs = []
        self.used = False

    # ---- life
    def text(self, strangers=None, lan=None, wan=None, extra=''):
        c = self.config
        lan, wan = lan or c.get('lan', LAN_PORTS), wan or c.get('wan', WAN_PORTS)
        out = 'box "e2e" { state-dir = "%s"  control = "%s" }\n' % (self.state, self.ctl)
        for realm, (a, b) in (('lan', lan), ('wan', wan)):
            v4, v6 = BOX[(realm, 4)], BOX[(realm, 6)]
            more = ''.join(', "%s"' % l for l in c.get('listen', {}).get(realm, []))
            out += ('realm "%s" {\n\tlisten = { "udp %s:%d", "tcp %s:%d", "udp [%s]:%d", "tcp [%s]:%d"%s }\n'
                    '\tmedia = { "%s %d-%d", "%s %d-%d" }\n\tstrangers = %s\n%s}\n'
                    % (realm, v4, LISTEN, v4, LISTEN, v6, LISTEN, v6, LISTEN, more, v4, a, b, v6, a, b,
                       strangers or c.get('strangers', 'drop'), c.get('realm', {}).get(realm, '')))
        return out + c.get('extra', 'media { workers = 2  quarantine = 1s }\n') + extra

    def write(self, **k):
        with open(self.conf, 'w') as f:
            f.write(self.text(**k))

    def start(self, wait_up=True):
        if not self.proc:
            self.write()
        self.proc = self.lab.run('box', [os.path.join(self.lab.bindir, 'posternd'), '-c', self.conf], 'posternd')
        self.lab.box = self.proc
        self.logs.append(self.proc.log)
        if wait_up:
            wait('posternd to listen', lambda: (listening('box', 'udp', BOX[('wan', 4)], LISTEN) and os.path.exists(self.ctl))
                 or not self.proc.running(), 20)
            check(self.proc.running(), 'posternd ended with %s: %s' % (self.proc.p.returncode, self.proc.text()[-600:]))
            wait('posternd to answer', lambda: self.cli('status', ok=None)[0] < 3, 10)
        return self.proc

    def alive(self):
        return self.proc is not None and self.proc.running()

    def restart(self, sig=signal.SIGTERM):
        if self.alive():
            self.proc.stop(sig, 15)
        self.start()

    def log_tail(self):
        try:
            return ''.join(open(self.logs[-1], errors='replace').readlines()[-12:])
        except (OSError, IndexError):
            return ''

    def log_text(self):
        return self.proc.text()

    # ---- command line
    def cli(self, *args, ok=0, stdin=None, seconds=20):
        """(exit code, output); Failed when the code is not ok (None: any)."""
        r = subprocess.run([os.path.join(self.lab.bindir, 'postern'), '--socket', self.ctl] + [str(a) for a in args],
                           input=stdin or '', stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=seconds, errors='replace')
        if ok is not None and r.returncode != ok:
            raise Failed('postern %s: exit %d: %s' % (' '.join(map(str, args)), r.returncode, r.stdout.strip()))
        return r.returncode, r.stdout

    def json(self, *args):
        rc, out = self.cli(*args, '-j', ok=None)
        if rc > 1:
            raise Failed('postern %s -j: exit %d: %s' % (' '.join(map(str, args)), rc, out.strip()))
        answer = json.loads(out)
        check(answer['postern'] == 1 and answer['code'] == rc, 'envelope: %s' % out[:200])
        return answer['data']

    def provision(self):
        more = self.config.get('trunk', {})
        for name, role, realm, targets in TRUNKS:
            # peers come and go here: what a probe found out would decide calls of the next case
            self.cli('trunk', 'add', name, 'role=' + role, 'realm=' + realm, 'target=' + targets, 'probe=off',
                     *more.get(name, []))
            if role == 'pbx':
                n = NUMBERS[name][:-3]
                self.cli('number', 'add', '%s500..%s599' % (n, n), name)
        for name, to, via in ROUTES:
            self.cli('route', 'add', name, '--to', to, '--via', via)

    def set(self, trunk, assignment, back):
        """Changes a trunk for this case only."""
        self.cli('trunk', 'set', trunk, assignment)
        self.undoing.append(('trunk', 'set', trunk, back))

    def undo(self):
        for u in reversed(self.undoing):
            if self.alive():
                self.cli(*u, ok=None)
        self.undoing = []
        if self.alive() and self.calls():       # left by a case that failed
            for c in rows(self.json('call', 'list')):
                self.cli('call', 'clear', c['id'], '--force', '--yes', ok=None)

    # ---- what it holds
    def calls(self):
        return len(rows(self.json('call', 'list')))

    def media(self):
        """What `call media` says of the one call that is up: a dict per stream and leg, leg a first."""
        l = rows(self.json('call', 'list'))
        check(len(l) == 1, 'calls: %s' % l)
        out = self.cli('call', 'media', l[0]['id'], '-j', ok=None)[1]   # its exit status is the verdict
        return sorted(json.loads(out)['data']['media'], key=lambda m: (m['leg'], m['stream']))

    def metric(self, name):
        """A counter by its full name, net.udp_refused."""
        return int(dict(l.split() for l in self.cli('metrics')[1].strip().split('\n')).get(name, 0))

    def cdrs(self, n=1, seconds=4, **want):
        """Call records (dicts), newest first, when at least n are there that fit."""
        def fit():
            l = [r for r in reversed(rows(self.json('cdr', 'tail', '-n', 1000))) if all(str(r.get(k)) == str(v) for k, v in want.items())]
            return l if len(l) >= n else None
        return wait('%d call records with %s' % (n, want), fit, seconds)

    def before_case(self):
        self.fds = self.count_fds()

    def after_case(self):
        """Nothing of the case may be left: no call, and the daemon lives."""
        check(self.alive(), 'posternd ended with %s' % (self.proc.p.returncode if self.proc else None))
        wait('all calls to be gone', lambda: self.calls() == 0, 6)

    def count_fds(self):
        try:
            return len(os.listdir('/proc/%d/fd' % self.proc.pid))
        except OSError:
            return 0

    def finish(self, suite):
        """The end of a suite: a clean stop, and nothing a sanitizer complains about in any log."""
        bad = 0
        rc = self.proc.stop(seconds=20) if self.alive() else -1
        reports = []
        for l in self.logs:
            t = open(l, errors='replace').read()
            for mark in ('ERROR: AddressSanitizer', 'runtime error:', 'ERROR: LeakSanitizer', 'Assertion'):
                if mark in t:
                    i = t.index(mark)
                    reports.append(t[max(0, i - 80):i + 1500])
        if rc == 0 and not reports:
            print('ok - %s: the controller ends cleanly, without leak or sanitizer report' % suite)
        else:
            bad = 1
            print('not ok - %s: the controller ends cleanly, without leak or sanitizer report' % suite)
            print('#   exit status %s' % rc)
            for r in reports:
                for l in r.split('\n')[:30]:
                    print('#   ' + l[:200])
        return bad


def rows(j):
    """The list inside an answer of the command line."""
    if isinstance(j, list):
        return j
    for k in ('calls', 'cdrs', 'records', 'rows', 'items', 'trunks', 'numbers', 'routes'):
        if isinstance(j.get(k), list):
            return j[k]
    raise Failed('no list in %s' % str(j)[:200])


def hop(realm, family=4):
    """Where a peer sends: (host, port) of our listener."""
    return (BOX[(realm, family)], LISTEN)


def uri(number, realm, family=4, proto='udp'):
    return 'sip:%s@%s%s' % (number, hp(BOX[(realm, family)], LISTEN), ';transport=tcp' if proto == 'tcp' else '')


__all__ = ['Box', 'NUMBERS', 'BODIES', 'hop', 'uri', 'rows', 'time']
