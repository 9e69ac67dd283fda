/* big.h - arrays that become large: zeroed, grown in place.
 *
 * Up to BIG_BYTES they are malloc's. Beyond, they are mappings of their own, grown by moving page tables: nothing is
 * copied and nothing stops for it. In small pages: huge ones made the loop wait 7 to 9 ms where one began.
 */
#ifndef SBC_BASE_BIG_H
#define SBC_BASE_BIG_H

#include "sbc/base/str.h"

#define BIG_BYTES ((size_t)1 << 20)

/* NULL: no memory. The owner remembers the size. */
void *big_alloc(size_t bytes);
/* Was bytes long and becomes more: what is new is zero. NULL: no memory, p stays as it was. */
void *big_grow(void *p, size_t bytes, size_t more);
void big_free(void *p, size_t bytes);

#endif
