/* crypt_types.h - ciphers and authentication of our own for libsrtp. */
#ifndef MEDIA_CRYPT_TYPES_H
#define MEDIA_CRYPT_TYPES_H

#include <stdbool.h>

/* Puts ours in the place of libsrtp's, for all contexts made from now on. After srtp_init(). false: one did not pass its
 * tests, or there was no memory. */
bool crypt_types_install(void);

#endif
