/* tls_hello.h - what is seen of TLS before OpenSSL sees it: whole records, and what a ClientHello asks for. Pure. */
#ifndef SBC_NET_TLS_HELLO_H
#define SBC_NET_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>

#define TLS_RECORD_HEAD 5
#define TLS_RECORD_MAX (TLS_RECORD_HEAD + 16384 + 2048) /* RFC 5246 6.2.3; RFC 8446 has less */

/* How many of the n bytes are whole records; all of them when what comes next cannot be a record. */
size_t tls_whole_records(const unsigned char *p, size_t n);
/* Does the flight begin with a whole ClientHello of TLS 1.2 or before that brings a session ticket (RFC 5077 3.2)? What is
 * not understood does not. */
bool tls_hello_has_ticket(const unsigned char *p, size_t n);

#endif
