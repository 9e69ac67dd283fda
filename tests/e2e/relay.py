"""A router on the way of a TCP connection, to be cut: relay.py ADDRESS PORT TO-ADDRESS TO-PORT

Takes connections at ADDRESS:PORT and carries their bytes to and from TO-ADDRESS:TO-PORT. Prints `up PORT`, the port of its
own connection to there, and the request lines it carries back from it. Ends by SIGTERM, and so do both sides, at once."""
import re
import select
import socket
import sys


def main(address, port, to, to_port):
    s = socket.create_server((address, int(port)))
    other = {}      # socket: its counterpart
    ours = set()    # those to the far end
    while True:
        for r in select.select([s] + list(other), [], [])[0]:
            if r is s:
                a = s.accept()[0]
                b = socket.create_connection((to, int(to_port)))
                other[a], other[b] = b, a
                ours.add(b)
                print('up %d' % b.getsockname()[1], flush=True)
                continue
            if r not in other:
                continue
            try:
                d = r.recv(65536)
                other[r].sendall(d)
            except OSError:
                d = b''
            if not d:
                for x in (r, other[r]):
                    del other[x]
                    x.close()
            elif r in ours:
                for line in re.findall(rb'(?m)^([A-Z]+) sip:\S+ SIP/2.0', d):
                    print('down %s' % line.decode(), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
