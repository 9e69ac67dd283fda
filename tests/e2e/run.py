#!/usr/bin/env python3
"""Runs the end-to-end tests.

    run.py [--bin DIR] [--work DIR] [--jobs N] [--list] [--peers] [NAME...]

NAME is a suite (t_calls), a case, or a part of one. Without names everything runs, suites side by side, each in
a network of its own with a controller of its own. Prints `ok - suite: case` or `not ok - suite: case` with what was
wrong. --peers runs the SIPp pairs and the baresip pair back to back, without a controller: whether the tests' own
pieces are sound.

A suite is a module t_*.py with CASES, a list of functions taking a Box, whose first line of doc is the name of the case.
"""
import argparse
import importlib
import os
import re
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402

# a file t_NAME.py is a suite; these take longest and begin first, so that the end of the run is not one of them alone
LONG = ['t_regfaults', 't_pool', 't_timers', 't_calls', 't_raw', 't_media', 't_faults', 't_audio', 't_tls', 't_tlscalls', 't_failover', 't_outbound']
SUITES = sorted((f[:-3] for f in os.listdir(os.path.dirname(os.path.abspath(__file__))) if re.match(r't_\w+\.py$', f)),
                key=lambda s: (LONG.index(s) if s in LONG else len(LONG), s))


def title(fn):
    return ' '.join((fn.__doc__ or fn.__name__).strip().split('\n\n')[0].split())


def wanted(suite, fn, names):
    return not names or any(n in (suite, fn.__name__) or n in title(fn) for n in names)


def run_suite(name, opt):
    """In the inner namespaces: one suite, one controller."""
    import box
    lab.build()
    module = importlib.import_module(name)
    cases = [c for c in module.CASES if wanted(name, c, opt.names)]
    if not cases:
        return 0
    bad = 0
    the_lab = lab.Lab(os.path.join(opt.work, name), opt.bin)
    b = box.Box(the_lab, getattr(module, 'CONFIG', {}))
    try:
        if hasattr(module, 'prepare'):
            module.prepare(b)
        b.start()
        b.provision()
    except Exception as e:
        for c in cases:
            print('not ok - %s: %s' % (name, title(c)))
        print('#   the controller did not start: %s' % e)
        print_indented(b.log_tail())
        return len(cases)
    for c in cases:
        t = time.monotonic()
        error = None
        try:
            b.before_case()
            c(b)
            the_lab.close()
            b.after_case()
        except lab.Failed as e:
            error = str(e)
        except Exception:
            error = traceback.format_exc()
        the_lab.close()
        b.undo()
        with open(os.path.join(opt.work, name + '.times'), 'a') as f:
            f.write('%.1f %s: %s\n' % (time.monotonic() - t, name, title(c)))
        if error is None:
            print('ok - %s: %s' % (name, title(c)))
        else:
            bad += 1
            print('not ok - %s: %s (%.1f s)' % (name, title(c), time.monotonic() - t))
            print_indented(error)
            print_indented(b.log_tail())
        sys.stdout.flush()
        if not b.alive():
            if error is None or 'ended' not in error:
                print('#   the controller is gone')
            b.restart()
    if os.environ.get('POSTERN_E2E_TIMES'):
        print('# %s done' % name)
    bad += b.finish(name)
    the_lab.end()
    return bad


def print_indented(text):
    for l in text.strip().split('\n')[-25:]:
        print('#   ' + l[:240])


def run_peers(opt):
    import peers
    lab.build()
    # the pairs talk directly here: let the router route
    for p in ('/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'):
        with open(p, 'w') as f:
            f.write('1')
    the_lab = lab.Lab(os.path.join(opt.work, 'peers'), opt.bin)
    scns = sorted(f[:-4] for f in os.listdir(os.path.join(lab.HERE, 'scn')) if f.endswith('.scn'))
    import box
    bad = 0
    for s in scns:
        with open(os.path.join(lab.HERE, 'scn', s + '.scn')) as f:
            text = f.read()
        if 'uas\n' not in text or 'back to back: no' in text or (opt.names and s not in opt.names):
            continue
        for transport, family in (('t1', 4),) if s == 'big' else (('u1', 4), ('t1', 4), ('u1', 6)):
            t = time.monotonic()
            try:
                peers.Sipp(the_lab, s, via=None, transport=transport, family=family, echo=s == 'echo',
                           bodies=box.BODIES).finish()
                print('ok - %s %s IPv%d (%.1f s)' % (s, transport, family, time.monotonic() - t), flush=True)
            except lab.Failed as e:
                bad += 1
                print('not ok - %s %s IPv%d' % (s, transport, family))
                print_indented(str(e))
            the_lab.close()
    if not opt.names or 'baresip' in opt.names:
        import t_audio
        try:
            t_audio.two_phones(the_lab, 'pbx0', 'itsp0', 'sip:%s@203.0.113.20:5064' % peers.CALLED)
            print('ok - baresip to baresip, tones both ways')
        except lab.Failed as e:
            bad += 1
            print('not ok - baresip to baresip')
            print_indented(str(e))
        the_lab.close()
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--bin', default=os.path.join(lab.ROOT, 'build/sanitize/bin'))
    p.add_argument('--work', default=os.path.join(lab.ROOT, 'build/test-logs/e2e'))
    p.add_argument('--jobs', type=int, default=3)
    p.add_argument('--list', action='store_true')
    p.add_argument('--peers', action='store_true')
    p.add_argument('--suite', help=argparse.SUPPRESS)
    p.add_argument('names', nargs='*')
    opt = p.parse_args()
    opt.work, opt.bin = os.path.abspath(opt.work), os.path.abspath(opt.bin)
    os.makedirs(opt.work, exist_ok=True)
    if opt.peers or opt.suite:
        lab.enter([sys.executable] + sys.argv)
        return 1 if (run_peers(opt) if opt.peers else run_suite(opt.suite, opt)) else 0
    todo = []
    for s in SUITES:
        module = importlib.import_module(s)
        cases = [c for c in module.CASES if wanted(s, c, opt.names)]
        if opt.list:
            for c in cases:
                print('%s %s: %s' % (s, c.__name__, title(c)))
        elif cases:
            todo.append(s)
    if opt.list:
        return 0
    if not todo:
        print('not ok - no test is called %s' % ' '.join(opt.names))
        return 1
    running, failed, table = {}, 0, []
    while todo or running:
        while todo and len(running) < opt.jobs:
            s = todo.pop(0)
            out = open(os.path.join(opt.work, s + '.out'), 'w+')
            running[s] = (subprocess.Popen([sys.executable, os.path.abspath(__file__), '--suite', s, '--bin', opt.bin, '--work', opt.work]
                                           + opt.names, stdout=out, stderr=subprocess.STDOUT), out)
        for s, (proc, out) in list(running.items()):
            rc = proc.poll()
            if rc is None:
                continue
            out.seek(0)
            text = out.read()
            sys.stdout.write(text)
            table += [l for l in text.split('\n') if l.startswith('# recovered in ')]
            out.close()
            if rc and 'not ok' not in text:
                print('not ok - %s: the suite ended with %d' % (s, rc))
            sys.stdout.flush()
            failed += rc != 0
            del running[s]
        time.sleep(0.1)
    if table:
        print('# faults, and how long each was felt:')
        for l in table:
            print('#   ' + l[len('# recovered in '):])
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
