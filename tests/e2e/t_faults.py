"""Faults of the machine and of its keeper: kill, reload, full disk, locked database, ports that are taken."""
import fcntl
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

import peers
from box import BODIES, NUMBERS, rows
from lab import BOX, LISTEN, Failed, addr, at, check, inside, wait
from raw import Call, party
from sip import Ua, ack_failure

CONFIG = {'lan': (16384, 16463), 'wan': (20480, 20559), 'extra': 'media { workers = 1  quarantine = 1ms }\nlimits { cdr-window = 100ms }\n'}
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


@case
def killed(box):
    """kill -9 in a call: after the restart BYE gets 481, the call has a record that says crashed, nothing is lost"""
    box.cli('number', 'add', '+4930777000..+4930777099', 'pbx')
    c = Call(box).up()
    before = len(rows(box.json('cdr', 'tail', '-n', 1000)))
    time.sleep(0.4)         # longer than the window of the journal
    box.proc.stop(signal.SIGKILL)
    box.start()
    c.da.request('BYE')
    m = c.a.expect(lambda m: m.status >= 200 and m.method == 'BYE')
    check(m.status == 481, m.start)
    r = box.cdrs(before + 1)[0]
    check('2122' in str(r) or 'CRASHED' in str(r) or 'unexpectedly' in str(r), str(r))
    check('4930777' in box.cli('number', 'list')[1], 'the number block that was acknowledged is gone')
    box.cli('number', 'del', '+4930777000..+4930777099')
    c = Call(box, ua=c.a, ub=c.b).up()
    c.bye()


@case
def killed_often(box):
    """ten kill -9 in the middle of writes: every acknowledged change is there, the database is sound"""
    done = []
    for i in range(10):
        p = subprocess.Popen(['sh', '-c', 'i=0; while [ $i -lt 50 ]; do "$0" --socket "$1" number add +4940%d000$i pbx || exit; '
                              'echo +4940%d000$i; i=$((i+1)); done' % (i, i), os.path.join(box.lab.bindir, 'postern'), box.ctl],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first = p.stdout.readline()     # the clock begins with the first change, however busy the machine is
        time.sleep(0.02 + 0.02 * i)
        box.proc.stop(signal.SIGKILL)
        out, _ = p.communicate(timeout=20)
        out = first + out
        done += [l for l in out.split('\n') if re.match(r'^\+4940\d000\d+$', l)]
        box.start()
    check(len(done) >= 10, 'only %d changes were made' % len(done))
    have = box.cli('number', 'export')[1]
    lost = [n for n in done if n not in have]
    check(not lost, 'acknowledged and gone: %s' % lost[:5])
    rc, out = box.cli('db', 'check')
    check('well' in out, out)
    for n in sorted(set(re.findall(r'\+4940\d000\d+', have))):
        box.cli('number', 'del', n, ok=None)


@case
def reload_in_calls(box):
    """reload while calls are set up and talk: none fails"""
    s = peers.Sipp(box.lab, 'short', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], calls=100,
                   rate=25, seconds=40)
    n = 0
    while s.uac.running() and n < 15:
        box.write(strangers='refuse' if n % 2 == 0 else 'drop')
        box.cli('reload')
        n += 1
        time.sleep(0.2)
    s.finish()
    box.write()
    box.cli('reload')
    check(n >= 5, 'only %d reloads' % n)


@case
def reload_refuses(box):
    """a stranger gets 403 after a reload to strangers = refuse, silence after the reload back"""
    x = Ua(box.lab, 'alien', 5060)
    ask = lambda: x.raw(x.request('OPTIONS', 'sip:x@203.0.113.1', '100', 'x'), ('203.0.113.1', LISTEN))
    ask()
    x.nothing(0.5)
    box.write(strangers='refuse')
    box.cli('reload')
    try:
        ask()
        m = x.expect(lambda m: m.status >= 200)
        check(m.status == 403, m.start)
    finally:
        box.write()
        box.cli('reload')
    ask()
    x.nothing(0.5)


@case
def reload_broken(box):
    """a configuration with errors is refused as a whole: every error with its line, calls go on"""
    c = Call(box).up()
    with open(box.conf, 'w') as f:
        f.write(box.text() + 'nonsense = 1\nrealm "x" { listn = { "udp 1.2.3.4:5060" } }\n')
    rc, out = box.cli('reload', ok=None)
    check(rc == 2, 'exit %d: %s' % (rc, out))
    check(out.count('error') >= 2 and re.search(r':\d+', out), out)
    rc, out = box.cli('config', 'check', box.conf, ok=None)
    check(rc == 2 and 'listen' in out, 'config check: exit %d: %s' % (rc, out))
    box.write()
    box.cli('reload')
    c.bye()


@case
def trunk_gone(box):
    """a trunk that is disabled takes no new call, its calls go on; enabled again it does"""
    c = Call(box).up()
    box.cli('trunk', 'disable', 'itsp')
    box.undoing.append(('trunk', 'enable', 'itsp'))
    d = Call(box, ua=c.a, ub=c.b)
    d.invite()
    m = c.a.expect(lambda m: m.status >= 200 and m.get('call-id') == d.callid)
    check(m.status in (403, 480, 404, 500, 503), m.start)
    ack_failure(c.a, d.inv, m, c.a.hop)
    c.bye()
    box.cli('trunk', 'enable', 'itsp')
    d = Call(box, ua=c.a, ub=c.b).up()
    d.bye()


def bans(box):
    return {b['address']: b for b in box.json('guard', 'list')['bans']}


# (before the cases in which the stranger's host is a trunk's for a while)
@case
def guard_ban(box):
    """a stranger who goes on is banned by the guard: listed, stored, there after kill -9, and over when its time is"""
    x = Ua(box.lab, 'alien', 5060)
    text = x.request('OPTIONS', 'sip:x@203.0.113.1', '100', 'x')

    def knock():
        for _ in range(60):
            x.raw(text, ('203.0.113.1', LISTEN))
        return bans(box).get(x.addr)
    b = wait('the ban', knock, 20)
    check(b['by'] == 'guard' and 3000000 < b['left_ms'] <= 3600000, str(b))
    db = os.path.join(box.state, 'postern.db')

    def stored():
        c = sqlite3.connect('file:%s?mode=ro' % db, uri=True)
        try:
            return c.execute('SELECT until_us, why FROM ban WHERE address = ?', (x.addr,)).fetchone()
        finally:
            c.close()
    row = wait('the ban in the database', stored)
    check(row[1] == 'guard', str(row))
    box.restart(signal.SIGKILL)
    after = bans(box).get(x.addr)
    check(after and after['left_ms'] <= b['left_ms'], 'after kill -9: %s' % after)
    # it works: asked in a realm that refuses strangers by name, it hears nothing
    box.write(strangers='refuse')
    box.cli('reload')
    try:
        x.raw(text, ('203.0.113.1', LISTEN))
        x.nothing(0.5)
        check(bans(box)[x.addr]['hits'] > 0, 'nothing was counted')
        # nearly over: it ends by itself, here and in the database
        box.proc.stop(seconds=15)
        c = sqlite3.connect(db, isolation_level=None)
        c.execute('UPDATE ban SET until_us = ? WHERE address = ?', (int((time.time() + 4) * 1e6), x.addr))
        c.close()
        box.start()
        check(x.addr in bans(box), 'the ban is gone before its time')

        def heard():
            x.raw(x.request('OPTIONS', 'sip:x@203.0.113.1', '100', 'x'), ('203.0.113.1', LISTEN))
            try:
                return x.expect(lambda m: m.status >= 200, 0.3)
            except Failed:
                return None
        m = wait('the ban to end', heard, 15)
        check(m.status == 403, m.start)
        check(x.addr not in bans(box), 'still listed')
        wait('the ban to leave the database', lambda: stored() is None)
    finally:
        box.write()
        if not box.alive():
            box.start()
        box.cli('reload')
        box.cli('guard', 'allow', x.addr, ok=None)


@case
def trunk_deleted(box):
    """a trunk with a call is deleted: refused by name; with --force both sides get BYE with the reason, and the record says so"""
    box.cli('trunk', 'add', 'short', 'role=itsp', 'realm=wan', 'target=203.0.113.66:5070', 'trusted=yes')
    box.cli('route', 'add', 'short', '--to', '+41*', '--via', 'short')
    box.set('pbx', 'trusted=yes', 'trusted=no')
    other = Call(box).up()
    c = Call(box, ua=other.a, ub=party(box, 'itsp', host='alien', port=5070))
    c.called = '+41445550001'
    c.up()
    rc, out = box.cli('trunk', 'del', 'short', '--with-numbers', ok=None)
    check(rc == 2 and 'E5013' in out and '1 call' in out and '--force' in out, 'exit %d: %s' % (rc, out))
    check(box.calls() == 2, 'a refused change ended a call')
    out = box.cli('trunk', 'del', 'short', '--with-numbers', '--force')[1]
    check('1 call was ended' in out, out)
    for me in (c.a, c.b):
        m = me.expect('BYE')
        check('PSN-E2126' in m.get('reason') and 'cause=41' in m.get('reason'), 'Reason: %s' % m.get('reason'))
        me.reply(m, 200, 'OK')
    r = box.cdrs(1, reason='PSN-E2126')[0]
    check(r['to_trunk'] == 'short', str(r))
    wait('the other call alone', lambda: box.calls() == 1)
    other.bye()


@case
def trunk_moved(box):
    """a trunk moves to another address in a call: the old address can still end its call, and nothing else"""
    c = Call(box).up()
    box.cli('trunk', 'set', 'itsp', 'target=203.0.113.66:5064')
    box.undoing.append(('trunk', 'set', 'itsp', 'target=203.0.113.20:5064'))
    c.b.raw(c.b.request('OPTIONS', 'sip:x@203.0.113.1', '100', 'x'), c.b.hop)
    c.b.nothing(0.4)
    c.bye(from_a=False)
    d = Call(box, ua=c.a, ub=party(box, 'itsp', host='alien')).up()
    d.bye()


@case
def locked(box):
    """another program holds the database: a change is refused by name, calls go on, records come later"""
    before = len(rows(box.json('cdr', 'tail', '-n', 1000)))
    db = sqlite3.connect(os.path.join(box.state, 'postern.db'), isolation_level=None)
    db.execute('BEGIN EXCLUSIVE')
    try:
        rc, out = box.cli('number', 'add', '+4930888000..+4930888099', 'pbx', ok=None, seconds=30)
        check(rc == 2, 'exit %d: %s' % (rc, out))
        check('lock' in out and 'E5003' in out, out)
        c = Call(box).up()
        c.bye()
    finally:
        db.execute('ROLLBACK')
        db.close()
    box.cdrs(before + 1, 10)
    box.cli('number', 'add', '+4930888000..+4930888099', 'pbx')
    box.cli('number', 'del', '+4930888000..+4930888099')


@case
def doctor(box):
    """postern doctor: what is wrong with the machine is found and named, the remedy it types is one, and then it is well"""
    def found(area):
        rc, out = box.cli('doctor', ok=None)
        out = re.sub(r'\n +', ' ', out)         # long ones go on in the next line
        lines = [l for l in out.split('\n') if re.match(r'^(WARN|ERROR) +%s ' % area, l)]
        check(bool(lines) <= (rc > 0), 'exit %d: %s' % (rc, out))
        return lines[0] if lines else None

    def remedy(line):
        subprocess.run(at('box', line.split('-> ')[1].split()), check=True, stdout=subprocess.DEVNULL)

    area = at('box', ['sysctl', '-n', 'net.ipv4.ip_local_port_range'])
    usual = subprocess.run(area, check=True, capture_output=True, text=True).stdout.split()
    check(found('files') is None, 'a file is open to others already')
    os.chmod(os.path.join(box.state, 'postern.db'), 0o644)
    line = found('files')
    check(line and line.startswith('ERROR') and '0644' in line, line)
    remedy(line)
    check(found('files') is None, 'the remedy is none')
    subprocess.run(at('box', ['sysctl', '-qw', 'net.ipv4.ip_local_port_range=16400 20490']), check=True)
    try:
        line = found('ports')
        check(line and 'realm lan' in line, line)
        while line:
            remedy(line)
            after = found('ports')
            check(after != line, 'the remedy is none: %s' % after)
            line = after
        rc, out = box.cli('doctor', '--all', ok=None)
        check(re.search(r'^ok +ports +media ports \d+-\d+ of realm wan are ours alone', out, re.M), out)
    finally:
        subprocess.run(at('box', ['sysctl', '-qw', 'net.ipv4.ip_local_port_range=' + ' '.join(usual)]), check=True)
        subprocess.run(at('box', ['sysctl', '-qw', 'net.ipv4.ip_local_reserved_ports=']), check=True)


@case
def disk_full(box):
    """the disk is full: a change is refused by name, calls go on, records are written when there is room"""
    small = box.lab.fresh('small')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'postern-small', small], check=True)
    home, ctl = box.state, box.ctl
    try:
        box.proc.stop(seconds=15)
        box.state, box.ctl = small, os.path.join(small, 'ctl')
        box.write()
        box.start()
        box.provision()
        before = len(rows(box.json('cdr', 'tail', '-n', 1000)))
        fd = os.open(os.path.join(small, 'ballast'), os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(fd, b'\0' * 4096)
        except OSError:
            os.close(fd)
        out, rc = '', 0
        for i in range(60):     # the journal of the database may still have room for a while
            rc, out = box.cli('number', 'add', '+4930%03d000..+4930%03d099' % (i, i), 'pbx', ok=None, seconds=30)
            if rc:
                break
        check(rc == 2 and 'E5002' in out and 'full' in out, 'exit %d: %s' % (rc, out))
        c = Call(box).up()
        c.bye()
        check(box.alive(), 'posternd ended')
        os.unlink(os.path.join(small, 'ballast'))
        box.cdrs(before + 1, 15)
        box.cli('number', 'add', '+4930999000..+4930999099', 'pbx')
    finally:
        if box.alive():
            box.proc.stop(seconds=15)
        box.state, box.ctl = home, ctl
        subprocess.run(['umount', small], check=False)
        box.write()
        box.start()


def start_fails(box, want, **k):
    """Starts a second daemon with a changed configuration; it must say why and end with 2."""
    conf = box.lab.path('second.conf')
    state = box.lab.fresh('second')
    keep = box.state, box.ctl
    box.state, box.ctl = state, os.path.join(state, 'ctl')
    text = box.text(**k)
    box.state, box.ctl = keep
    if callable(want):
        text, want = want(text)
    with open(conf, 'w') as f:
        f.write(text)
    p = box.lab.run('box', [os.path.join(box.lab.bindir, 'posternd'), '-c', conf], 'second')
    rc = p.wait(15)
    out = p.text()
    p.stop()
    check(rc == 2, 'exit %s: %s' % (rc, out[-500:]))
    for w in want:
        check(w in out, '"%s" is not in: %s' % (w, out[-700:]))


@case
def address_in_use(box):
    """an address that is taken: the daemon says which, by whom it can be found, and ends with 2"""
    start_fails(box, ['E6003', '198.51.100.1', 'ss -'])


@case
def address_missing(box):
    """an address this machine does not have: named, exit 2"""
    start_fails(box, lambda t: (t.replace('198.51.100.1:', '198.51.100.99:').replace('203.0.113.1:', '203.0.113.99:')
                                .replace('2001:db8:a::1]', '2001:db8:a::99]').replace('2001:db8:b::1]', '2001:db8:b::99]'),
                                ['E6004', '198.51.100.99']))


@case
def database_damaged(box):
    """a damaged database: named, with the remedy, exit 2; the file is not touched"""
    state = box.lab.fresh('damaged')
    path = os.path.join(state, 'postern.db')
    with open(path, 'wb') as f:
        f.write(b'SQLite format 3\0' + b'\x55' * 8176)
    start_fails(box, lambda t: (re.sub(r'state-dir = "[^"]*"', 'state-dir = "%s"' % state, t)
                                .replace('198.51.100.1:5060', '198.51.100.1:5098').replace('203.0.113.1:5060', '203.0.113.1:5098')
                                .replace(']:5060', ']:5098'), ['E5004']))
    check(open(path, 'rb').read()[16:] == b'\x55' * 8176, 'the damaged file was written to')


@case
def shutdown_with_calls(box):
    """TERM while calls are up: both sides get BYE, the records are written, exit 0"""
    c = Call(box).up()
    box.proc.p.send_signal(signal.SIGTERM)
    for me in (c.a, c.b):
        me.reply(me.expect('BYE'), 200, 'OK')
    rc = box.proc.wait(15)
    check(rc == 0, 'exit %s' % rc)
    box.proc.stop()
    box.start()
    check('2121' in str(box.cdrs(1)[0]) or 'SHUTDOWN' in str(box.cdrs(1)[0]) or 'shutting' in str(box.cdrs(1)[0]),
          str(box.cdrs(1)[0]))


@case
def descriptors(box):
    """descriptors follow the ports, not the calls: 600 calls leave no more than the pool of ports holds"""
    peers.Sipp(box.lab, 'short', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], calls=50,
               rate=50, seconds=40).finish()
    wait('calls to end', lambda: box.calls() == 0)
    base = box.count_fds()
    for _ in range(3):
        peers.Sipp(box.lab, 'short', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], calls=200,
                   rate=100, seconds=40).finish()
    wait('calls to end', lambda: box.calls() == 0)
    # forty pairs a realm, two sockets each; the rest is what it had before the first call
    check(box.count_fds() <= 60 + 2 * 40 * 2, 'descriptors went from %d to %d' % (base, box.count_fds()))


@case
def on_trial(box):
    """a change on trial that cuts calls off: kill -9, and after the restart it is taken back when its time is over"""
    call = lambda: box.cli('explain', 'out', 'pbx', NUMBERS['pbx'], NUMBERS['itsp'], ok=None)[0]
    check(call() == 0, 'no way out before')
    out = box.cli('apply', '-', '--confirm', '10s', '--yes', stdin='{"postern": 1, "trunks": {}, "routes": []}', ok=None)[1]
    check('on trial: taken back in' in out, out)
    check(call() != 0, 'the trunks are still there')
    box.restart(signal.SIGKILL)
    rc, out = box.cli('status', ok=None)
    check('taken back in' in out, out)
    wait('it to be taken back', lambda: call() == 0, 20)
    check('not confirmed in time' in box.cli('db', 'history')[1], 'no revision says so')
    peers.Sipp(box.lab, 'short', 'pbx0', 'itsp0', 'lan', called=NUMBERS['itsp'], calling=NUMBERS['pbx'], bodies=BODIES).finish()
    # kept, it stays
    box.cli('trunk', 'disable', 'duo', '--confirm', '10s')
    box.cli('db', 'confirm')
    check('taken back' not in box.cli('status', ok=None)[1], 'still on trial')
    box.cli('trunk', 'enable', 'duo')
