/* tls.h - certificates of ours, roots we trust, and the contexts made of them (OpenSSL 3).
 *
 * A store is loaded as a whole off the loop's thread and swapped: a new handshake takes the new one, connections that
 * are up keep what they began with (TLS-14). A pair that does not fit, has expired or cannot be read is refused with
 * what is wrong, and the old store stays. Keys are read by OpenSSL and never printed or handed out.
 */
#ifndef SBC_NET_TLS_H
#define SBC_NET_TLS_H

#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/net/net.h"

struct tls_store;

struct tls_cert_cfg {
	struct str name;      /* of the configuration: cert "edge1" */
	const char *chain;    /* PEM: leaf first, then intermediates */
	const char *key;      /* PEM; mode 0400 or 0600, else refused */
};
struct tls_cfg {
	const struct tls_cert_cfg *certs;
	unsigned n_certs;
	const char *const *trust; /* PEM files, or folders of them; what is in there is trusted, root or not */
	unsigned n_trust;
	bool system_trust;        /* they are the system's: who keeps those need not be told when one of them expires */
	const char *const *crl;   /* PEM files; none: no revocation check. An issuer that none of them speaks for is
	                           * not checked */
	unsigned n_crl;
	bool ocsp_stapling;       /* ask for it, and refuse what a staple says is revoked */
	uint16_t warn_days;       /* before expiry */
};
struct tls_error {
	enum reason reason; /* TLS_CERT_UNREADABLE, TLS_KEY_MISMATCH, TLS_EXPIRED, TLS_KEY_PERMISSIONS, ... */
	char text[280];     /* "cert edge1: /etc/postern/tls/edge1.key does not belong to the certificate in ..." */
	char hint[160];
};

/* Once, before there are threads: keys live in memory that is neither swapped nor dumped (OpenSSL's secure heap). False:
 * the system did not allow it, and they live in ordinary memory. */
bool tls_process_init(void);
/* At the end of what a thread of a pool did with this: gives back what OpenSSL keeps for it. */
void tls_thread_done(void);
/* Any thread: reads files. NULL with *ret_err. Counted: tls_store_ref/unref (any thread). */
struct tls_store *tls_store_load(const struct tls_cfg *cfg, struct tls_error *ret_err);
struct tls_store *tls_store_ref(struct tls_store *s);
void tls_store_unref(struct tls_store *s);

/* ---- looking at it ---- */
struct tls_cert_view {
	struct str name, subject, issuer, serial /* hex */, key_type /* "EC P-256", "RSA 2048" */;
	const struct str *domains; /* SIP identities, RFC 5922 7.1 */
	unsigned n_domains;
	int64_t not_before_us, not_after_us; /* wall */
	const char *chain;
};
unsigned tls_store_cert_count(const struct tls_store *s);
void tls_store_cert(const struct tls_store *s, unsigned i, struct tls_cert_view *ret);
unsigned tls_store_root_count(const struct tls_store *s);
/* roots that expire within warn_days of wall_us (none of the system's; 0: all of all); i from 0, false at the end */
bool tls_store_root(const struct tls_store *s, int64_t wall_us, unsigned i, struct tls_cert_view *ret);

#endif
