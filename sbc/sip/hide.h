/* hide.h - what may not be shown to people who read traces (AUT-15, RFC 7616 5.13). */
#ifndef SBC_SIP_HIDE_H
#define SBC_SIP_HIDE_H

#include "sbc/base/str.h"

/* Puts '*' over what proves a password in the head of a message of n bytes at p, which may be cut anywhere, and over the digit
 * of a body application/dtmf or -relay, which may be part of one (a PIN): the
 * response of Digest credentials and rspauth of the answer, and all of credentials in another scheme. From them a
 * password can be guessed at leisure. Nothing changes its place; user, realm, nonce and count stay readable. */
void sip_hide_credentials(char *p, size_t n);

#endif
