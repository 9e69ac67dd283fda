/* net.c - names of protocols and errors. */
#include "sbc/net/net.h"

struct str net_proto_name(enum net_proto p)
{
	static const struct str names[NET_PROTOS] = {
	    [NET_UDP] = {"UDP", 3},
	    [NET_TCP] = {"TCP", 3},
	    [NET_TLS] = {"TLS", 3},
	    [NET_WS] = {"WS", 2},
	    [NET_WSS] = {"WSS", 3},
	};

	return (unsigned)p < NET_PROTOS ? names[p] : STR_NONE;
}

enum reason net_error_reason(int err)
{
	switch (err < 0 ? -err : err) {
	case NET_ERR_KEEPALIVE:
		return REASON_KEEPALIVE_LOST;
	default:
		return REASON_TRANSPORT;
	}
}
