/* secure.c - what a trunk wants of the encryption of its media, given how its signalling goes.
 *
 * Keys stand in session descriptions: whoever can read those hears the call. So they go over TLS only, unless the trunk
 * says that its network is private enough (RFC 4568 8.3).
 */
#include "sbc/b2b/internal.h"

struct media_srtp_cfg b2b_srtp(const struct pol_trunk *t, enum net_proto proto)
{
	return (struct media_srtp_cfg){
	    .mode = t->media.srtp,
	    .private = t->media.srtp_clear || proto == NET_TLS || proto == NET_WSS,
	    .lifetime = t->media.srtp_lifetime,
	    .roc = t->media.srtp_roc,
	    .suites = t->media.srtp_suites,
	};
}
