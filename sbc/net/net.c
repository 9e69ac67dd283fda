/* net.c - names of protocols, reasons of errors. */
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
	case NET_ERR_TLS_HANDSHAKE:
		return REASON_TLS_HANDSHAKE;
	case NET_ERR_TLS_UNTRUSTED:
		return REASON_TLS_UNTRUSTED;
	case NET_ERR_TLS_EXPIRED:
		return REASON_TLS_EXPIRED;
	case NET_ERR_TLS_NAME:
		return REASON_TLS_NAME_MISMATCH;
	case NET_ERR_TLS_NO_CERT:
		return REASON_TLS_NO_CERT;
	case NET_ERR_TLS_REVOKED:
		return REASON_TLS_REVOKED;
	case NET_ERR_TLS_PURPOSE:
		return REASON_TLS_PURPOSE;
	case NET_ERR_TLS_NO_STAPLE:
		return REASON_TLS_NO_STAPLE;
	default:
		return REASON_TRANSPORT;
	}
}
