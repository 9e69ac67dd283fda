/* base64.h - base64 (RFC 4648 4): without padding (3.2) as nonces and GRUUs carry it, and with it. */
#ifndef SBC_BASE_BASE64_H
#define SBC_BASE_BASE64_H

#include "sbc/base/buf.h"

void base64_put(struct buf *b, const uint8_t *p, size_t n);
void base64_put_padded(struct buf *b, const uint8_t *p, size_t n);
#define BASE64_PADDED(n) (((n) + 2) / 3 * 4) /* characters */
/* Without the padding, when it is right. base64_get() refuses what is left. */
struct str base64_unpad(struct str s);
/* false: another character, a length that cannot be, bits left over, or more than cap bytes. out may be s.p. */
bool base64_get(struct str s, uint8_t *out, size_t cap, size_t *ret_n);

#endif
