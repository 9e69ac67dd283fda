/* instance.h - what this box is called where it registers (RFC 5626 4.1). */
#ifndef SBC_REG_INSTANCE_H
#define SBC_REG_INSTANCE_H

#include "sbc/base/buf.h"

/* The box's own secret, kept in its database: what was named before a restart is known after it. */
struct reg_secret {
	uint8_t key[32];
};

/* "urn:uuid:..." (RFC 9562, version 8) of one trunk of this box: the same after a restart, another one on another box,
 * and no two of them are seen to be of one box (GINP-09). 0 or -EIO */
#define INSTANCE_TEXT 45
MUST_USE int instance_put(const struct reg_secret *s, uint32_t trunk_id, struct buf *b);

#endif
