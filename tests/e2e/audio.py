"""Tones: made, and found again in a recording. Standard library only."""
import array
import math
import struct
import sys
import wave


def tone(path, hz, seconds, rate=8000, level=9000):
    n = int(seconds * rate)
    with wave.open(path, 'wb') as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(array.array('h', (int(level * math.sin(2 * math.pi * hz * i / rate))
                                        for i in range(n))).tobytes())


def read(path):
    """(rate, samples) of the first channel of a 16-bit WAV; a header without sizes (recorder was killed) too."""
    with open(path, 'rb') as f:
        raw = f.read()
    if raw[:4] != b'RIFF':
        raise ValueError('%s is no WAV file' % path)
    p, channels, rate = 12, 1, 8000
    while p + 8 <= len(raw):
        n = struct.unpack('<I', raw[p + 4:p + 8])[0]
        if raw[p:p + 4] == b'fmt ':
            channels, rate = struct.unpack('<HI', raw[p + 10:p + 16])
        elif raw[p:p + 4] == b'data':
            data = raw[p + 8:p + 8 + n] if 0 < n < 0x7fffff00 else raw[p + 8:]
            s = array.array('h')
            s.frombytes(data[:len(data) // 2 * 2])
            return rate, s[::channels]
        p += 8 + n + (n & 1)
    return rate, array.array('h')


def share(frame, rate, hz):
    """How much of a frame's energy lies at hz, 0..1 (Goertzel)."""
    k = 2 * math.cos(2 * math.pi * hz / rate)
    a = b = 0.0
    energy = 0.0
    for x in frame:
        a, b = x + k * a - b, a
        energy += x * x
    if energy < len(frame) * 100 * 100:
        return 0.0
    return 2 * (a * a + b * b - k * a * b) / (len(frame) * energy)


def seconds_of(path, hz, other=None):
    """Seconds of the recording in which hz holds more than 80 % of the energy; with other: (those, seconds in
    which the other tone has more than 20 %)."""
    rate, s = read(path)
    n = rate // 20
    here = there = 0
    for i in range(0, len(s) - n, n):
        f = s[i:i + n]
        here += share(f, rate, hz) > 0.8
        if other:
            there += share(f, rate, other) > 0.2
    return (here / 20, there / 20) if other else here / 20


def _alaw(x):
    s = 0 if x < 0 else 128
    x = min(abs(x if x >= 0 else ~x), 32767)
    e = max(0, x.bit_length() - 8)
    return (s | (e << 4) | ((x >> (e + 3 if e else 4)) & 15)) ^ 0x55


def alaw(samples):
    return bytes(map(_alaw, samples))


def unalaw(data):
    out = array.array('h')
    for b in data:
        b ^= 0x55
        t, g = (b & 15) << 4, (b & 0x70) >> 4
        t = t + 8 if g == 0 else (t + 0x108) << (g - 1)
        out.append(t if b & 128 else -t)
    return out


def pcap(path, hz, seconds, pt=8):
    """RTP packets of a tone (A-law, 20 ms) as a capture that SIPp plays."""
    n = int(seconds * 50)
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i in range(n):
            payload = alaw(int(9000 * math.sin(2 * math.pi * hz * (i * 160 + j) / 8000)) for j in range(160))
            rtp = struct.pack('!BBHII', 0x80, pt | (128 if i == 0 else 0), i + 1, i * 160, 0x5151) + payload
            udp = struct.pack('!HHHH', 6000, 6000, 8 + len(rtp), 0) + rtp
            ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), i, 0, 64, 17, 0, b'\x7f\0\0\1', b'\x7f\0\0\1') + udp
            eth = b'\0' * 12 + b'\x08\0' + ip
            f.write(struct.pack('<IIII', 1 + i // 50, i % 50 * 20000, len(eth), len(eth)) + eth)


if __name__ == '__main__':
    # audio.py tone FILE HZ SECONDS | audio.py heard FILE HZ NOT-HZ MIN-SECONDS
    if sys.argv[1] == 'tone':
        tone(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
    elif sys.argv[1] == 'heard':
        a, b = seconds_of(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
        print('%.1f s of %s Hz, %.1f s of %s Hz' % (a, sys.argv[3], b, sys.argv[4]))
        sys.exit(0 if a >= float(sys.argv[5]) and b == 0 else 1)
    else:
        sys.exit(2)
