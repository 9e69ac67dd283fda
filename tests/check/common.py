"""What the checks share: reading C without its comments and strings, printing one line per case.

A check prints `ok - NAME` or `not ok - NAME` for each case, after it the findings, one a line, as
file:line: text. Its exit status is 0 when nothing was found.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_failed = 0


def case(name, findings=()):
    """Prints the verdict on one case; findings is what is wrong (strings)."""
    global _failed
    findings = list(findings)
    if findings:
        _failed += 1
        print('not ok - %s (%d)' % (name, len(findings)))
        for f in findings:
            print('#   ' + f)
    else:
        print('ok - ' + name)


def finish():
    sys.exit(1 if _failed else 0)


def sources(*tops, ext=('.c', '.h', '.def', '.inc')):
    """Paths, relative to the repository, of the C files below the given folders, sorted."""
    out = []
    for top in tops:
        for d, dirs, files in os.walk(os.path.join(ROOT, top)):
            dirs.sort()
            for f in sorted(files):
                if f.endswith(ext):
                    out.append(os.path.relpath(os.path.join(d, f), ROOT))
    return out


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8', errors='replace') as f:
        return f.read()


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip(text, keep_strings=False):
    """C text with comments blanked out (and the inside of strings, unless they are kept); lines stay where
    they are."""
    def blank(m):
        t = m.group(0)
        if t[0] in '"\'':
            return t if keep_strings else t[0] + ' ' * (len(t) - 2) + t[-1]
        return re.sub(r'[^\n]', ' ', t)
    return _TOKEN.sub(blank, text)


def line_of(text, pos):
    return text.count('\n', 0, pos) + 1


def strings(text):
    """(line, content) of each string literal outside comments; literals that stand next to each other are
    joined as the compiler does."""
    out = []
    last_end = None
    for m in _TOKEN.finditer(text):
        t = m.group(0)
        if t[0] != '"':
            continue
        if last_end is not None and not text[last_end:m.start()].strip():
            out[-1] = (out[-1][0], out[-1][1] + t[1:-1])
        else:
            out.append((line_of(text, m.start()), t[1:-1]))
        last_end = m.end()
    return out
