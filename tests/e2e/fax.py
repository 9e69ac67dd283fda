"""A fax machine on UDPTL (T.38): libspandsp, which real gateways are made of, through ctypes. Its clock is ours: both ends of a
call may run faster than life, as long as they do it together."""
import ctypes
import select
import struct

from lab import Failed

TX = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int, ctypes.c_int)
END = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
STEP = 160                      # samples of 8 kHz: 20 ms


def lib():
    l = ctypes.CDLL('libspandsp.so.2')
    for f in ('t38_terminal_init', 't38_terminal_get_t30_state', 't38_terminal_get_t38_core_state'):
        getattr(l, f).restype = ctypes.c_void_p
    l.t38_terminal_init.argtypes = [ctypes.c_void_p, ctypes.c_int, TX, ctypes.c_void_p]
    for f in ('t38_terminal_get_t30_state', 't38_terminal_get_t38_core_state', 't38_terminal_free'):
        getattr(l, f).argtypes = [ctypes.c_void_p]
    l.t38_terminal_send_timeout.argtypes = [ctypes.c_void_p, ctypes.c_int]
    l.t38_core_rx_ifp_packet.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint16]
    l.t30_set_tx_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    l.t30_set_rx_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    l.t30_set_phase_e_handler.argtypes = [ctypes.c_void_p, END, ctypes.c_void_p]
    return l


def bits(text):
    text += '0' * (-len(text) % 8)
    return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


def tiff(path, pages, lines=300):
    """Pages of 1728 dots, a black line after nine white ones (T.4, one-dimensional)."""
    eol, white, black = '000000000001', '010011011' + '00110101', '00110101' + '0000001100101' + '0000110111'
    page = bits(''.join(eol + (black if i % 10 == 9 else white) for i in range(lines)) + eol * 6)
    out, at = b'', 8
    dirs = []
    for _ in range(pages):
        dirs.append(at)
        rows = [(256, 4, 1728), (257, 4, lines), (258, 3, 1), (259, 3, 3), (262, 3, 0), (266, 3, 1), (273, 4, None), (277, 3, 1),
                (278, 4, lines), (279, 4, len(page)), (282, 5, None), (283, 5, None), (292, 4, 0), (296, 3, 2)]
        end = at + 2 + 12 * len(rows) + 4
        data = {273: end + 16, 282: end, 283: end + 8}
        ifd = struct.pack('<H', len(rows))
        for tag, kind, value in rows:
            ifd += struct.pack('<HHII', tag, kind, 1, data.get(tag, value))
        body = struct.pack('<IIII', 204, 1, 98, 1) + page + b'\0' * (len(page) % 2)
        nxt = end + len(body)
        out += ifd + struct.pack('<I', nxt if len(dirs) < pages else 0) + body
        at = nxt
    with open(path, 'wb') as f:
        f.write(b'II*\0' + struct.pack('<I', 8) + out)


def count(path):
    """(pages, lines of all) of a TIFF that libtiff wrote"""
    d = open(path, 'rb').read()
    at, pages, lines = struct.unpack_from('<I', d, 4)[0], 0, 0
    while at:
        n = struct.unpack_from('<H', d, at)[0]
        for i in range(n):
            tag, kind, _, value = struct.unpack_from('<HHII', d, at + 2 + 12 * i)
            if tag == 257:
                lines += value & 0xffff if kind == 3 else value
        pages += 1
        at = struct.unpack_from('<I', d, at + 2 + 12 * n)[0]
    return pages, lines


class Machine:
    def __init__(self, socket, to, path, calling):
        """socket: a bound UDP socket; to: where UDPTL goes. calling: sends the pages of path; else it receives into it."""
        self.l, self.s, self.to = lib(), socket, to
        self.seq, self.before, self.got = 0, [], -1
        self.result = None
        self.packets = 0
        self.tx, self.end = TX(self.send), END(self.ended)
        self.t = self.l.t38_terminal_init(None, 1 if calling else 0, self.tx, None)
        t30 = self.l.t38_terminal_get_t30_state(self.t)
        self.core = self.l.t38_terminal_get_t38_core_state(self.t)
        if calling:
            self.l.t30_set_tx_file(t30, path.encode(), -1, -1)
        else:
            self.l.t30_set_rx_file(t30, path.encode(), -1)
        self.l.t30_set_phase_e_handler(t30, self.end, None)

    def send(self, core, user, p, n, times):
        ifp = bytes(p[:n])
        # two packets of before, in case that one is lost (T.38 9.1.4)
        d = struct.pack('!HB', self.seq & 0xffff, len(ifp)) + ifp + b'\0' + bytes([len(self.before)])
        for b in self.before:
            d += bytes([len(b)]) + b
        self.before = ([ifp] + self.before)[:2]
        self.seq += 1
        for _ in range(times):
            self.s.sendto(d, self.to)
        return 0

    def ended(self, t30, user, code):
        self.result = code

    def step(self):
        """20 ms of its time"""
        while select.select([self.s], [], [], 0)[0]:
            d, _ = self.s.recvfrom(2048)
            seq, n = struct.unpack_from('!HB', d)
            self.packets += 1
            if seq > self.got:
                self.got = seq
                self.l.t38_core_rx_ifp_packet(self.core, d[3:3 + n], n, seq)
        self.l.t38_terminal_send_timeout(self.t, STEP)

    def free(self):
        self.l.t38_terminal_free(self.t)


def send(a, b, seconds=180, pace=0.003):
    """Runs both until they are through; seconds: of their time"""
    for _ in range(seconds * 50):
        a.step()
        b.step()
        if a.result is not None and b.result is not None:
            break
        select.select([a.s, b.s], [], [], pace)
    if a.result != 0 or b.result != 0:
        raise Failed('the fax did not get through: sender %s, receiver %s (T30_ERR_), packets %d and %d'
                     % (a.result, b.result, a.packets, b.packets))
