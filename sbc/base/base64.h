/* base64.h - base64 without padding (RFC 4648 4, 3.2), as nonces and GRUUs carry it. */
#ifndef SBC_BASE_BASE64_H
#define SBC_BASE_BASE64_H

#include "sbc/base/buf.h"

void base64_put(struct buf *b, const uint8_t *p, size_t n);
/* false: another character, a length that cannot be, bits left over, or more than cap bytes */
bool base64_get(struct str s, uint8_t *out, size_t cap, size_t *ret_n);

#endif
