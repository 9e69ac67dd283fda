#!/usr/bin/env python3
"""tests/coverage.md against the tests: each line `ROW | path | case` names a file below tests/ in which the
case stands; `ROW | missing: why` is an honest gap. Prints the counts per family.

    coverage.py [FAMILY...]      prints the rows of these families too
"""
import os
import re
import sys
import common

ROW = re.compile(r'^\|?\s*([A-Z][A-Z0-9]*-\d+[a-z]?)\s*\|\s*(.*?)\s*\|?\s*$')
wrong = []
covered, missing = {}, {}
try:
    lines = common.read('tests/coverage.md').split('\n')
except FileNotFoundError:
    lines = []
    wrong.append('tests/coverage.md does not exist')
cache = {}
for n, line in enumerate(lines, 1):
    m = ROW.match(line)
    if not m:
        if re.match(r'^\|?\s*[A-Z]+-\d+', line):
            wrong.append('tests/coverage.md:%d: cannot be read: %s' % (n, line[:60]))
        continue
    row, rest = m.groups()
    if rest.lower().startswith('missing:'):
        if len(rest) < 12:
            wrong.append('tests/coverage.md:%d: %s: say what is missing' % (n, row))
        missing[row] = rest
        continue
    parts = [p.strip().strip('`') for p in rest.split('|')]
    if len(parts) != 2:
        wrong.append('tests/coverage.md:%d: want ROW | path | case' % n)
        continue
    path, name = parts
    if not path.startswith('tests/') or not os.path.isfile(os.path.join(common.ROOT, path)):
        wrong.append('tests/coverage.md:%d: %s: no file %s' % (n, row, path))
        continue
    if path not in cache:
        cache[path] = common.read(path)
    if not name or name not in cache[path]:
        wrong.append('tests/coverage.md:%d: %s: "%s" does not stand in %s' % (n, row, name, path))
        continue
    covered.setdefault(row, []).append((path, name))
common.case('coverage.md names tests that exist', wrong)
both = sorted(set(covered) & set(missing))
common.case('no row is both covered and missing', ['%s: %s' % (r, missing[r]) for r in both])
families = {}
for row in set(covered) | set(missing):
    f = families.setdefault(row.split('-')[0], [0, 0])
    f[0 if row in covered else 1] += 1
for f in sorted(families):
    print('#   %-5s %3d covered %3d missing' % (f, families[f][0], families[f][1]))
for row in sorted(set(covered) | set(missing)):
    if row.split('-')[0] in sys.argv[1:]:
        print('#   %s %s' % (row, covered.get(row) or missing[row]))
common.finish()
