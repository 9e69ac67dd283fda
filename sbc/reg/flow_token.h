/* flow_token.h - the name of a flow that somebody registered by, in a URI of ours (RFC 5626 5.2).
 *
 * It stands as user part in the Path of the 200 and comes back as the first Route of a request: for that registration, by
 * that flow. Who changes a bit of it is found out by its MAC; the flow itself stands in it too, so one that was handed out
 * before the registration moved to another flow names a flow that is no more. Nothing secret, and no right by itself.
 */
#ifndef SBC_REG_FLOW_TOKEN_H
#define SBC_REG_FLOW_TOKEN_H

#include "sbc/net/net.h"
#include "sbc/reg/gin.h"

/* "fl." and base64 of registration (8 bytes), flow (4) and MAC (16). */
#define FLOW_TOKEN_TEXT 41
/* 0, -EIO: no MAC, nothing is written */
MUST_USE int flow_token_put(const struct gin_secret *s, uint64_t registration, const struct net_path *flow, struct buf *b);
/* Does a user part claim to be one? */
bool flow_token_is(struct str user);
/* 0; -EPERM: not made by us, or changed. *ret_flow: for flow_token_flow(). */
MUST_USE int flow_token_open(const struct gin_secret *s, struct str user, uint64_t *ret_registration, uint32_t *ret_flow);
/* What stands in a token for a flow: address, transport, and the connection where there is one. */
uint32_t flow_token_flow(const struct net_path *flow);

#endif
