#!/usr/bin/env python3
"""Prints names.inc: the header names and a perfect hash over them.

A header name is found by one multiplication over its length and three of its letters, and one comparison.
To add a header: put it into enum sip_hdr_id (msg.h) and here at the same place, then run
    python3 sbc/sip/names.py > sbc/sip/names.inc
tests/unit/sbc/sip/msg.c holds the table against the enum.
"""
import random

NAMES = [  # (long form, compact form) in the order of enum sip_hdr_id
    ("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", "i"), ("CSeq", ""), ("Max-Forwards", ""),
    ("Contact", "m"), ("Content-Length", "l"), ("Content-Type", "c"), ("Content-Disposition", ""),
    ("Content-Encoding", "e"), ("Route", ""), ("Record-Route", ""), ("Require", ""), ("Proxy-Require", ""),
    ("Supported", "k"), ("Unsupported", ""), ("Allow", ""), ("Allow-Events", "u"), ("Accept", ""),
    ("Accept-Encoding", ""), ("Accept-Language", ""), ("Expires", ""), ("Min-Expires", ""),
    ("Max-Breadth", ""), ("Timestamp", ""), ("Retry-After", ""), ("Warning", ""), ("Reason", ""),
    ("User-Agent", ""), ("Server", ""), ("Date", ""), ("Authorization", ""), ("Proxy-Authorization", ""),
    ("WWW-Authenticate", ""), ("Proxy-Authenticate", ""), ("P-Asserted-Identity", ""),
    ("P-Preferred-Identity", ""), ("Privacy", ""), ("Diversion", ""), ("History-Info", ""), ("Refer-To", "r"),
    ("Referred-By", "b"), ("Replaces", ""), ("Session-Expires", "x"), ("Min-SE", ""), ("RSeq", ""),
    ("RAck", ""), ("Event", "o"), ("Subscription-State", ""), ("Path", ""), ("Service-Route", ""),
    ("Info-Package", ""), ("Recv-Info", ""), ("Identity", "y"), ("Session-ID", ""), ("Subject", "s"),
    ("Organization", ""), ("Priority", ""), ("Alert-Info", ""), ("Call-Info", ""), ("User-to-User", ""),
    ("Geolocation", ""), ("Resource-Priority", ""), ("MIME-Version", ""), ("P-Early-Media", ""),
]
SIZE = 256


def slot(name, m):
    n = name.lower().encode()
    return (((len(n) * m[0] + n[0] * m[1] + n[-1] * m[2] + n[len(n) // 2] * m[3]) & 0xffffffff) >> 8) % SIZE


def main():
    keys = [(form, i) for i, pair in enumerate(NAMES) for form in pair if form]
    rnd = random.Random(1)
    while True:
        m = [rnd.randrange(1, 1 << 16) for _ in range(4)]
        if len({slot(k, m) for k, _ in keys}) == len(keys):
            break
    print("/* Made by names.py; do not edit. */")
    print("#define NAME_HASH(n, first, last, mid) \\")
    print("\t((((n) * %du + (first) * %du + (last) * %du + (mid) * %du) >> 8) & %du)" % (*m, SIZE - 1))
    print("\n/* long forms by enum sip_hdr_id */")
    print("static const struct str hdr_names[] = {")
    for name, _ in NAMES:
        print('\t{"%s", %d},' % (name, len(name)))
    print("};\n")
    print("/* slot -> id + 1, 0: none */")
    print("static const uint8_t name_slots[%d] = {" % SIZE)
    table = [0] * SIZE
    for k, i in keys:
        table[slot(k, m)] = i + 1
    for r in range(0, SIZE, 16):
        print("\t" + " ".join("%d," % v for v in table[r:r + 16]))
    print("};\n")
    print("/* compact form by enum sip_hdr_id, 0: none */")
    print("static const char hdr_compact[] = {")
    for r in range(0, len(NAMES), 12):
        print("\t" + " ".join("'%s'," % c if c else "0," for _, c in NAMES[r:r + 12]))
    print("};")


main()
