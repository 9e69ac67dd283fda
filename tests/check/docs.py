#!/usr/bin/env python3
"""The documents against the programs: every group of commands stands in README.md, every file that README.md
names exists, --help and --version work.

    docs.py BIN-DIR      where posternd and postern lie
"""
import os
import re
import subprocess
import sys
import common

bindir = sys.argv[1] if len(sys.argv) > 1 else os.path.join(common.ROOT, 'build/sanitize/bin')


def run(*cmd):
    try:
        r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20,
                           env=dict(os.environ, COLUMNS='100'))
        return r.returncode, r.stdout
    except (OSError, subprocess.TimeoutExpired) as e:
        return -1, str(e)


for prog in ('posternd', 'postern'):
    path = os.path.join(bindir, prog)
    rc, out = run(path, '--help')
    common.case('%s --help works' % prog,
                [] if rc == 0 and len(out.split('\n')) > 5 else ['exit %d: %s' % (rc, out[:200])])
    # the client says its version by a command like any other
    rc, out = run(path, '--version' if prog == 'posternd' else 'version')
    common.case('%s says its version' % prog,
                [] if rc in (0, 1, 3) and re.search(r'\d+\.\d+\.\d+', out) else ['exit %d: %s' % (rc, out[:200])])

rc, out = run(os.path.join(bindir, 'postern'), '--help')
groups = ['status', 'trunk', 'number', 'route', 'explain', 'call', 'why', 'cdr', 'log', 'config', 'reload', 'db',
          'error', 'completion']
common.case('postern --help names every group', ['%s is not in the help' % g for g in groups
            if not re.search(r'\b%s\b' % g, out)])
try:
    readme = common.read('README.md')
except FileNotFoundError:
    readme = ''
common.case('README.md names every group of commands',
            ['postern %s is not in README.md' % g for g in groups if not re.search(r'postern %s\b' % g, readme)])
gone = []
for m in re.finditer(r'`((?:sbc|media|db|conf|tests|\.ci)/[\w./-]*)`', readme):
    if not os.path.exists(os.path.join(common.ROOT, m.group(1))):
        gone.append('README.md:%d: no %s' % (common.line_of(readme, m.start()), m.group(1)))
common.case('README.md names files that exist', gone)
for g in groups:
    rc, out = run(os.path.join(bindir, 'postern'), g, '--help')
    common.case('postern %s --help works' % g, [] if rc == 0 and 'postern' in out and g in out
                else ['exit %d: %s' % (rc, out[:150])])
common.finish()
