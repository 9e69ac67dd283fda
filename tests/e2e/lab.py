"""The ground of the end-to-end tests: a private network, the controller in it, programs run on its hosts.

    box         the controller: 198.51.100.1 / 2001:db8:a::1 on the enterprise side (realm lan),
                203.0.113.1 / 2001:db8:b::1 on the provider side (realm wan); no forwarding
    pbx0 pbx1   enterprise hosts 198.51.100.10 .11, 2001:db8:a::10 ::11
    itsp0..3    provider hosts 203.0.113.20 .. .23, 2001:db8:b::20 .. ::23
    alien       a stranger on the provider side, 203.0.113.66, 2001:db8:b::66

One namespace per host: in a shared one the kernel gives an unbound UDP socket the address of the receiver as
source, and RTP seems to come from the controller itself. Everything lives in a network and mount namespace of
the runner's own (see enter()), so runs do not meet each other and nothing is left behind.

Nothing here sleeps for luck: wait() polls a condition and says what it waited for when time is up.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

HOSTS = {
    # name: (bridge, IPv4, IPv6)
    'pbx0': ('lan', '198.51.100.10', '2001:db8:a::10'),
    'pbx1': ('lan', '198.51.100.11', '2001:db8:a::11'),
    'itsp0': ('wan', '203.0.113.20', '2001:db8:b::20'),
    'itsp1': ('wan', '203.0.113.21', '2001:db8:b::21'),
    'itsp2': ('wan', '203.0.113.22', '2001:db8:b::22'),
    'itsp3': ('wan', '203.0.113.23', '2001:db8:b::23'),
    'alien': ('wan', '203.0.113.66', '2001:db8:b::66'),
}
BOX = {('lan', 4): '198.51.100.1', ('lan', 6): '2001:db8:a::1',
       ('wan', 4): '203.0.113.1', ('wan', 6): '2001:db8:b::1'}
LISTEN = 5060          # our port in both realms
PBX_PORT, ITSP_PORT = 5062, 5064
LAN_PORTS, WAN_PORTS = (16384, 17383), (20480, 21479)


class Failed(Exception):
    """A test's expectation that did not hold; the text is the report."""


def check(cond, text):
    if not cond:
        raise Failed(text)


def recovered(what, seconds):
    """A line of the table at the end of the run: how long a fault was felt."""
    print('# recovered in %5d ms: %s' % (seconds * 1000, what))


def wait(what, cond, seconds=5.0, step=0.02):
    """Polls cond() until it gives something true, which is returned; Failed when the time is up."""
    end = time.monotonic() + seconds
    while True:
        r = cond()
        if r:
            return r
        if time.monotonic() >= end:
            raise Failed('waited %.1f s for %s' % (seconds, what))
        time.sleep(step)


def hp(host, port):
    return '[%s]:%d' % (host, port) if ':' in host else '%s:%d' % (host, port)


def addr(host, family=4):
    """Address of a host; 'lan' and 'wan' are the controller's faces."""
    if host in ('lan', 'wan'):
        return BOX[(host, family)]
    return HOSTS[host][1 if family == 4 else 2]


# ------------------------------------------------------------------------------ namespaces

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(argv):
    """Runs the calling program again inside fresh network and mount namespaces; returns in the inner one."""
    if os.environ.get('POSTERN_LAB') == 'enter':
        return
    if os.geteuid() != 0:
        raise SystemExit('the end-to-end tests make network namespaces and need root')
    os.environ['POSTERN_LAB'] = 'enter'
    os.execvp('unshare', ['unshare', '-n', '-m', '--propagation', propagation()] + argv)


def propagation():
    """'private'; in a chroot whose / is no mount point that cannot be set, 'unchanged' does when it is so already."""
    if subprocess.run(['unshare', '-m', '--propagation', 'private', 'true'], stderr=subprocess.DEVNULL).returncode == 0:
        return 'private'
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(['unshare', '-m', '--propagation', 'unchanged', 'mount', '-t', 'tmpfs', 'postern-e2e', d], check=True)
        if os.path.ismount(d):
            subprocess.run(['umount', d], check=True)
            raise SystemExit('/ is not a mount point here, and what the tests mount would be seen outside of this '
                             'chroot: before entering it, mount --bind --make-private DIR DIR')
    return 'unchanged'


def build():
    """Makes the network. Called once per process, inside enter()."""
    os.makedirs('/run/netns', exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '--make-private', 'postern-e2e', '/run/netns'], check=True)
    # Who looks up the name of this machine is told at once that there is no such thing: the name server of the
    # outside cannot be reached, and Kamailio would wait for it at its start when /etc/hosts does not help.
    if os.path.exists('/etc/resolv.conf'):
        with open('/run/netns/resolv.conf', 'w') as f:
            f.write('nameserver 127.0.0.1\n')
        subprocess.run(['mount', '--bind', '/run/netns/resolv.conf', '/etc/resolv.conf'], check=True)
    lines = ['link set lo up']
    for bridge in ('lan', 'wan'):
        lines += ['link add %s type bridge forward_delay 0 mcast_snooping 0' % bridge,
                  'addr add %s/24 dev %s' % (BOX[(bridge, 4)], bridge),
                  'addr add %s/64 dev %s nodad' % (BOX[(bridge, 6)], bridge),
                  'link set %s up' % bridge]
    _batch(lines)
    for h in HOSTS:     # not by `ip netns add`: it changes the mount of / (see propagation()); nor `ip -n`
        open('/run/netns/' + h, 'w').close()
        subprocess.run(['unshare', '--net=/run/netns/' + h, 'true'], check=True)
    lines = []
    for h, (bridge, a4, a6) in HOSTS.items():
        lines += ['link add v-%s type veth peer name eth0 netns %s' % (h, h),
                  'link set v-%s master %s up' % (h, bridge)]
    _batch(lines)
    for h, (bridge, a4, a6) in HOSTS.items():
        _batch(['link set lo up', 'link set eth0 up', 'addr add %s/24 dev eth0' % a4,
                'addr add %s/64 dev eth0 nodad' % a6,
                'route add default via ' + BOX[(bridge, 4)],
                '-6 route add default via ' + BOX[(bridge, 6)]], h)
    for p in ('/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'):
        with open(p, 'w') as f:
            f.write('0')


def _batch(lines, ns=None):
    """Lines of ip commands; those that begin with -6 run after the others."""
    for opt in ([], ['-6']):
        text = ''.join((x[3:] if opt else x) + '\n' for x in lines if x.startswith('-6') == bool(opt))
        r = subprocess.run(at(ns or 'box', ['ip'] + opt + ['-batch', '-']), text=True, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            raise SystemExit('ip: ' + r.stdout)


class inside:
    """`with inside('pbx0'):` - sockets made in the block live on that host. 'box' is where we are."""

    def __init__(self, host):
        self.host = host

    def __enter__(self):
        if self.host == 'box':
            return
        self.home = os.open('/proc/self/ns/net', os.O_RDONLY)
        fd = os.open('/run/netns/' + self.host, os.O_RDONLY)
        self._set(fd)
        os.close(fd)

    def __exit__(self, *exc):
        if self.host == 'box':
            return
        self._set(self.home)
        os.close(self.home)

    @staticmethod
    def _set(fd):
        if _libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'setns')


def at(host, argv):
    """Command line that runs argv on a host."""
    return argv if host == 'box' else ['nsenter', '--net=/run/netns/' + host] + argv


def listening(host, proto, address, port):
    """Is a socket bound there? Read from /proc of that network, no program started."""
    want = None
    fam = socket.AF_INET6 if ':' in address else socket.AF_INET
    raw = socket.inet_pton(fam, address)
    want = ''.join('%08X' % int.from_bytes(raw[i:i + 4], 'little') for i in range(0, len(raw), 4))
    any_ = '0' * len(want)
    name = '/proc/thread-self/net/%s%s' % (proto, '6' if fam == socket.AF_INET6 else '')
    with inside(host), open(name) as f:
        for l in f.readlines()[1:]:
            w = l.split()
            a, p = w[1].split(':')
            if a in (want, any_) and int(p, 16) == port and (proto == 'udp' or w[3] == '0A'):
                return True
    return False


# ------------------------------------------------------------------------------ programs

class Proc:
    """A program on a host; its output goes to a file."""

    def __init__(self, lab, host, argv, log, cwd=None, env=None, stdin=subprocess.DEVNULL):
        self.log = log
        self.argv = argv
        self.out = open(log, 'wb')
        self.p = subprocess.Popen(at(host, argv), stdin=stdin, stdout=self.out, cwd=cwd,
                                  stderr=subprocess.STDOUT, start_new_session=True, env=env)
        self.lab = lab
        lab.procs.append(self)

    @property
    def pid(self):
        return self.p.pid

    def running(self):
        return self.p.poll() is None

    def text(self):
        with open(self.log, errors='replace') as f:
            return f.read()

    def wait(self, seconds):
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, sig=signal.SIGTERM, seconds=10.0):
        """Ends it; returns its exit status, None when it had to be killed."""
        rc = self.p.poll()
        if rc is None:
            self.p.send_signal(sig)
            rc = self.wait(seconds)
            if rc is None:
                self.p.kill()
                self.p.wait()
        self.out.close()
        if self in self.lab.procs:
            self.lab.procs.remove(self)
        return rc


class Lab:
    """One controller and what is around it. work: a folder for everything that is written."""

    def __init__(self, work, bindir):
        self.work = work
        self.bindir = bindir
        self.procs = []
        self.lasting = []
        self.sockets = []
        self.box = None
        self.n = 0
        os.makedirs(work, exist_ok=True)

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, host, argv, name=None, **kw):
        self.n += 1
        return Proc(self, host, argv, self.path('%02d-%s.log' % (self.n, name or os.path.basename(argv[0]))), **kw)

    def close(self):
        for s in self.sockets:
            try:
                s.close()
            except OSError:
                pass
        self.sockets = []
        for p in list(self.procs):
            if p is not self.box:
                p.stop(seconds=3)

    def keep(self, p):
        """It outlives the cases, not the suite."""
        self.procs.remove(p)
        self.lasting.append(p)

    def end(self):
        for p in self.lasting:
            p.stop(seconds=5)

    def fresh(self, name):
        """A folder of that name, empty."""
        p = self.path(name)
        shutil.rmtree(p, ignore_errors=True)
        os.makedirs(p)
        return p
