"""Messages and packets of one call as a capture file, read by tshark."""
import subprocess

import srtp
from box import rows
from lab import check
from raw import Call, party
from t_srtp import CM80, call, say, secure

CASES = []


def case(fn):
    CASES.append(fn)
    return fn


def shark(path, *args, decode=()):
    """Lines of tshark: fields split at tabs."""
    r = subprocess.run(['tshark', '-n', '-r', path] + [x for d in decode for x in ('-d', d)] + list(args),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check(r.returncode == 0, 'tshark: ' + r.stderr)
    return [l.split('\t') for l in r.stdout.splitlines()]


def fields(path, filt, *names, **k):
    return shark(path, '-Y', filt, '-T', 'fields', *[x for n in names for x in ('-e', n)], **k)


def pcap(box, cid, name='call.pcap'):
    path = box.lab.path(name)
    box.cli('call', 'pcap', cid, '-o', path)
    return path


def both(c, n):
    for _ in range(n):
        c.rtp_a.send(c.ok_a.media())
        c.rtp_b.send(c.inv_b.media())
        check(c.rtp_a.recv(3) and c.rtp_b.recv(3), 'a packet did not arrive')


@case
def plain(box):
    """tshark reads the messages and, once it was asked for, the RTP of a call: as it came and as it left, in order of time, also after the call"""
    c = Call(box, media=True).up()
    for f in (c.rtp_a, c.rtp_b):
        f.send(c.ok_a.media() if f is c.rtp_a else c.inv_b.media())
    c.rtp_a.recv(1), c.rtp_b.recv(1)
    cid = rows(box.json('call', 'list'))[0]['id']
    before = pcap(box, cid)
    sip = fields(before, 'sip', 'sip.CSeq.method')
    check(len(sip) >= 8, 'messages: %s' % sip)
    check(not fields(before, 'udp && !sip', 'frame.number'), 'packets that nobody asked for')
    out = box.cli('call', 'capture', cid)[1]
    check('as on the wire' in out, out)
    both(c, 20)
    out = box.cli('call', 'capture', cid, '--off')[1]
    both(c, 5)
    c.bye()
    box.cdrs(1)
    after = pcap(box, cid)
    check(len(fields(after, 'sip', 'sip.CSeq.method')) > len(sip), 'the BYE is missing')
    times = [float(t[0]) for t in fields(after, 'udp', 'frame.time_epoch')]
    check(times == sorted(times), 'not in order of time')
    # tshark knows where RTP is from the descriptions in the messages
    streams = {}
    for src, sport, dst, dport, ssrc, seq, pt in fields(after, 'rtp', 'ip.src', 'udp.srcport', 'ip.dst', 'udp.dstport',
                                                       'rtp.ssrc', 'rtp.seq', 'rtp.p_type'):
        check(pt == '8', 'payload type ' + pt)
        streams.setdefault((src, int(sport), dst, int(dport), int(ssrc, 16)), []).append(int(seq))
    a, b = (c.rtp_a.addr, c.rtp_a.port), (c.rtp_b.addr, c.rtp_b.port)
    box_a, box_b = c.ok_a.media(), c.inv_b.media()
    want = [a + box_a + (0xa,), box_b + b + (0xa,), b + box_b + (0xb,), box_a + a + (0xb,)]
    check(sorted(streams) == sorted(want), 'streams: %s, not %s' % (sorted(streams), sorted(want)))
    for k, seq in streams.items():
        check(seq == list(range(seq[0], seq[0] + 20)), '%s: %s' % (k, seq))
    bad = fields(after, 'ip.checksum.status == 0 || udp.checksum.status == 0', 'frame.number')
    check(not bad, 'frames with a wrong sum: %s' % bad)
    text = open(box.proc.log, errors='replace').read()
    check('call_capture' in text and 'mode="as on the wire"' in text, 'the log does not say that somebody listened in')


@case
def encrypted(box):
    """of an encrypted call the capture has ciphertext; --decrypted shows what is inside, and never a key"""
    secure(box, 'pbx', CM80)
    t = call(box, [srtp.Key(CM80), None])
    cid = rows(box.json('call', 'list'))[0]['id']
    for how in ((), ('--decrypted',)):
        box.cli('call', 'capture', cid, *how)
        say(t, 0, 5)
        say(t, 1, 5)
    box.cli('call', 'capture', cid, '--off')
    path = pcap(box, cid, 'srtp.pcap')
    (ha, pa), (hb, pb) = t.c.ok_a.media(), t.c.inv_b.media()
    got = {}
    for port, way in ((pa, 'udp.dstport'), (pa, 'udp.srcport'), (pb, 'udp.dstport'), (pb, 'udp.srcport')):
        got[port, way] = [bytes.fromhex(x[0].replace(':', '')) for x in
                          fields(path, '%s == %d' % (way, port), 'udp.payload')]
    for k, packets in got.items():
        check(len(packets) == 10, '%s: %d packets' % (k, len(packets)))
    for way in ('udp.dstport', 'udp.srcport'):
        wire, clear = got[pa, way][:5], got[pa, way][5:]
        check(all(len(p) == 182 and len(set(p[12:172])) > 20 for p in wire), 'the encrypted side is not as on the wire')
        check(all(len(p) == 172 and len(set(p[12:])) == 1 for p in clear), 'it is not decrypted')
        check(all(len(p) == 172 and len(set(p[12:])) == 1 for p in got[pb, way]), 'the side in clear')
    raw = open(path, 'rb').read()
    for k in [k for k in t.keys + t.ours if k]:
        check(k.master not in raw and srtp.base64.b64encode(k.master) not in raw, 'a key is in it')
    t.c.bye()


@case
def calls_to_come(box):
    """the next call of a trunk is captured from its first packet, the one after it is not"""
    check('the next 1 call of itsp' in box.cli('call', 'capture', '--trunk', 'itsp')[1], 'words')
    a, b = party(box, 'pbx'), party(box, 'itsp')
    ids = []
    for i in range(2):
        c = Call(box, ua=a, ub=b, media=True)
        c.tag_b = 'N%d' % i
        c.up()
        ids.append(rows(box.json('call', 'list'))[0]['id'])
        c.rtp_a.send(c.ok_a.media())
        check(c.rtp_b.recv(3), 'the very first packet does not arrive')
        c.bye()
    box.cdrs(2)
    first = fields(pcap(box, ids[0]), 'rtp && udp.dstport', 'rtp.seq')
    check([x[0] for x in first] == ['100', '100'], 'the first call: %s' % first)
    check(not fields(pcap(box, ids[1]), 'rtp', 'rtp.seq'), 'the second call was captured')
    box.cli('call', 'capture', '--trunk', 'itsp', '--next', 3)
    check('no further call' in box.cli('call', 'capture', '--trunk', 'itsp', '--off')[1], 'off')
    rc, out = box.cli('call', 'capture', ok=None)
    check(rc == 2 and 'which call' in out, out)


@case
def refused(box):
    """a call that is over, or that is none, cannot be captured; what was not captured has messages alone"""
    c = Call(box, media=True).up()
    cid = rows(box.json('call', 'list'))[0]['id']
    both(c, 3)
    c.bye()
    box.cdrs(1)
    rc, out = box.cli('call', 'capture', cid, ok=None)
    check(rc == 2 and 'not in progress' in out, out)
    rc, out = box.cli('call', 'capture', '12ab', ok=None)
    check(rc == 2 and '12ab' in out, out)
    check(not fields(pcap(box, cid), 'rtp', 'frame.number'), 'packets of a call that was never captured')
