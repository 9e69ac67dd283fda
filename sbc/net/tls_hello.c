/* tls_hello.c - records and the ClientHello, as far as it must be known who pays for a handshake.
 *
 * A record is handed to OpenSSL when it is whole, so a peer that dribbles costs a buffer and no step. A hello that
 * brings a ticket of ours leads to a handshake of symmetric arithmetic only (RFC 5077), which costs less than handing it
 * to another thread; this here only guesses, and who guesses wrong is stopped before the dear part (tls_hs.c).
 * What TLS 1.3 resumes has a key exchange all the same.
 */
#include "sbc/net/tls_hello.h"

#define TYPE_FIRST 20 /* change_cipher_spec */
#define TYPE_LAST 23  /* application_data */
#define TYPE_HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXT_SESSION_TICKET 35
#define EXT_SUPPORTED_VERSIONS 43

static size_t u16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

size_t tls_whole_records(const unsigned char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t len;

		if (p[at] < TYPE_FIRST || p[at] > TYPE_LAST)
			return n;
		if (n - at < TLS_RECORD_HEAD)
			break;
		len = TLS_RECORD_HEAD + u16(p + at + 3);
		if (len > TLS_RECORD_MAX)
			return n;
		if (n - at < len)
			break;
		at += len;
	}
	return at;
}

struct in {
	const unsigned char *p, *end;
};

static bool skip(struct in *i, size_t n)
{
	if ((size_t)(i->end - i->p) < n)
		return false;
	i->p += n;
	return true;
}

/* a vector whose length takes so many bytes */
static bool vec(struct in *i, size_t len_bytes, struct in *ret)
{
	const unsigned char *len = i->p;
	size_t n;

	if (!skip(i, len_bytes))
		return false;
	n = len_bytes == 1 ? len[0] : u16(len);
	ret->p = i->p;
	if (!skip(i, n))
		return false;
	ret->end = i->p;
	return true;
}

bool tls_hello_has_ticket(const unsigned char *p, size_t n)
{
	struct in i = {p, p + n}, part, all;
	bool ticket = false;
	size_t len;

	if (n < TLS_RECORD_HEAD + 4 || p[0] != TYPE_HANDSHAKE || p[TLS_RECORD_HEAD] != CLIENT_HELLO)
		return false;
	len = (size_t)p[TLS_RECORD_HEAD + 1] << 16 | u16(p + TLS_RECORD_HEAD + 2);
	if (len + 4 > u16(p + 3) || len + TLS_RECORD_HEAD + 4 > n)
		return false; /* not in one record */
	i.p += TLS_RECORD_HEAD + 4;
	i.end = i.p + len;
	/* version, random; session id, cipher suites, compression methods; extensions */
	if (!skip(&i, 2 + 32) || !vec(&i, 1, &part) || !vec(&i, 2, &part) || !vec(&i, 1, &part) || !vec(&i, 2, &all))
		return false;
	while (all.p < all.end) {
		const unsigned char *type = all.p;

		if (!skip(&all, 2) || !vec(&all, 2, &part))
			return false;
		if (u16(type) == EXT_SUPPORTED_VERSIONS)
			return false;
		if (u16(type) == EXT_SESSION_TICKET)
			ticket = part.p < part.end;
	}
	return ticket;
}
