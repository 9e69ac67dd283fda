/* flow_token.h - names that only this box can have made: of flows (RFC 5626 5.2), and of itself (RFC 5626 4.1).
 *
 * A flow token stands as user part in a URI that we hand out and get back later. It says which registration is meant
 * and by which flow it came; who changes a bit of it is found out by its MAC. It is nothing secret and gives no right
 * by itself. Pure but for the MAC.
 */
#ifndef SBC_REG_FLOW_TOKEN_H
#define SBC_REG_FLOW_TOKEN_H

#include "sbc/base/buf.h"
#include "sbc/net/net.h"

/* The box's own secret, kept in its database: what was named before a restart is known after it. */
struct reg_secret {
	uint8_t key[32];
};

/* Written as 64 hexadecimal digits. false: it is not that; untouched then */
bool reg_secret_read(struct reg_secret *s, struct str hex);

/* "fl." and 38 characters of base64 that need no escaping in a URI: registration, flow, MAC. */
#define FLOW_TOKEN_TEXT 41
/* Text into b. 0, -EIO: no MAC, nothing is written */
MUST_USE int flow_token_put(const struct reg_secret *s, uint64_t registration, const struct net_path *flow, struct buf *b);
/* Does a user part claim to be one? */
bool flow_token_is(struct str user);
/* 0; -EPERM: not made by us, or changed. *ret_flow: for flow_token_flow(). */
MUST_USE int flow_token_open(const struct reg_secret *s, struct str user, uint64_t *ret_registration, uint32_t *ret_flow);
/* What stands in a token for a flow: address, transport, and the connection where there is one. */
uint32_t flow_token_flow(const struct net_path *flow);

/* "urn:uuid:..." (RFC 4122, version 8) of one trunk of this box: the same after a restart, another one on another box
 * (GINP-09). 0 or -EIO */
#define INSTANCE_TEXT 45
MUST_USE int instance_put(const struct reg_secret *s, uint32_t trunk_id, struct buf *b);

#endif
