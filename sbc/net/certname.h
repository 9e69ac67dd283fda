/* certname.h - whom a certificate speaks for (RFC 5922 7.1, 7.2; RFC 5924 4). Pure: certificates in, names out.
 *
 * The identities of a certificate, in this order, and none of a later kind when there is one of an earlier kind:
 * the hosts of its sip: URIs without a user part, its dNSNames (only when it has no sip: URI of any sort), its last
 * common name (only when it has no subjectAltName at all). sips: and all other URIs speak for nobody.
 */
#ifndef SBC_NET_CERTNAME_H
#define SBC_NET_CERTNAME_H

#include <openssl/x509.h>

#include "sbc/base/addr.h"

#define CERTNAME_MAX 64 /* identities kept of one certificate */

struct certname {
	struct str *names; /* own (one block with their bytes); lower case, without port and final dot */
	unsigned n;
	bool cut;          /* there were more than CERTNAME_MAX */
};

/* 0, -EBADMSG (a name holds a NUL, or the extension cannot be read: the certificate is to be refused), -ENOMEM.
 * A certificate that names nobody is no error: n is 0. */
MUST_USE int certname_read(const X509 *x, struct certname *ret);
void certname_free(struct certname *c);

/* Is want one of the names? Whole names, case-blind; a wildcard equals only itself, unless relaxed: then it stands
 * for exactly one label on the left (RFC 6125 6.4.3). */
bool certname_match(const struct str *names, unsigned n, struct str want, bool relaxed);
/* Does it carry this address as iPAddress? */
bool certname_has_ip(const X509 *x, const struct addr *a);
/* RFC 5924 4.1 and local policy: no extended key usage, or id-kp-sipDomain, any, server or client authentication in
 * it. Of the certificate itself (leaf), not of its issuers, also: a key usage, when there is one, that lets the key
 * be used for a handshake. */
bool certname_for_sip(const X509 *x, bool leaf);
/* "a.example, b.example (3 more)", "nobody", or "192.0.2.1" when it has but addresses; what an error says */
void certname_say(struct buf *b, const X509 *x);

#endif
