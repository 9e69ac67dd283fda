/* floor_main.c - the yardstick: what it costs to move the fourteen messages of a call, and nothing else. links: m ssl crypto
 *
 * Takes datagrams of side A and sends them to side B unchanged, and back; answers INVITE with 100 as every
 * stateful element must. No dialog, no timers, no rewriting, no media: below this only the kernel is left, so
 * a controller's CPU per call is given as a multiple of it.
 *
 *     bench_floor LISTEN:PORT B-SIDE:PORT
 */
#include "sipio.h"

static struct io_set set;
static struct io *a_side, *b_side;
static struct sockaddr_storage caller, callee; /* the calling side is one socket */

static void on_msg(struct io *io, char *b, size_t n, const struct sockaddr_storage *from)
{
	struct scan m;

	if (io == a_side) {
		caller = *from;
		if (n > 6 && memcmp(b, "INVITE", 6) == 0 && scan_msg(&m, b, n)) {
			char *r = io_room(&set, a_side), *p = puts_(r, "SIP/2.0 100 Trying\r\n");
			p = put_piece(p, "Via: ", m.via[0]);
			p = put_piece(p, "From: ", m.from);
			p = put_piece(p, "To: ", m.to);
			p = put_piece(p, "Call-ID: ", m.call_id);
			p = put_piece(p, "CSeq: ", m.cseq);
			p = puts_(p, "Content-Length: 0\r\n\r\n");
			io_sent(&set, a_side, (size_t)(p - r), from);
		}
		memcpy(io_room(&set, b_side), b, n);
		io_sent(&set, b_side, n, &callee);
	} else if (n > 11 && memcmp(b + 8, "100", 3) != 0) {
		memcpy(io_room(&set, a_side), b, n);
		io_sent(&set, a_side, n, &caller);
	}
}

int main(int argc, char **argv)
{
	socklen_t n;
	char any[] = "127.0.0.1:0";

	if (argc != 3 || !parse_addr(argv[2], &callee, &n)) {
		fprintf(stderr, "usage: bench_floor LISTEN:PORT B-SIDE:PORT\n");
		return 2;
	}
	set.ep = epoll_create1(0);
	set.on_msg = on_msg;
	a_side = io_udp(&set, argv[1], 0);
	b_side = io_udp(&set, any, 1);
	for (;;) {
		io_poll(&set, 1000);
		io_flush_all(&set);
	}
}
