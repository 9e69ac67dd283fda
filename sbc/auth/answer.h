/* answer.h - answering a peer that asks who we are (RFC 3261 22.2, 22.3; RFC 7616, RFC 8760).
 *
 * A session remembers, per realm, the last challenge it could answer, so that the next request carries credentials at
 * once (nonce count going up) and a server that is content with that saves a round trip. It lives as long as what it
 * belongs to: a registration, a dialog.
 *
 * Only realms the trunk is configured for get an answer (AUT-04); Basic never (AUT-05). The topmost challenge of a
 * realm that can be answered is taken (AUT-03). Integrity of bodies (AUT-14) is as strong as the credential asks for. A server that rejects the answer to the very nonce it gave has said
 * that the password is wrong: that is the end (RGC-05), not a reason to try again.
 */
#ifndef SBC_AUTH_ANSWER_H
#define SBC_AUTH_ANSWER_H

#include "sbc/auth/digest.h"
#include "sbc/base/reason.h"
#include "sbc/base/rng.h"
#include "sbc/sip/msg.h"

#define AUTH_REALMS_MAX 4 /* realms that may ask in one session */
#define AUTH_NONCE_MAX 512
#define AUTH_OPAQUE_MAX 256
#define AUTH_REALM_MAX 128

/* What we know to answer with; lives as long as it is used. */
struct auth_credential {
	struct str realm;    /* as the peer will name it; empty: any realm this peer asks for */
	struct str username;
	struct str password; /* empty: only the hashes below */
	struct digest_hex ha1[DIGEST_ALGS]; /* n 0: none; they hold for `realm` alone */
	enum auth_int integrity; /* OFF: auth-int only where nothing else is offered; PREFER: where it is offered; REQUIRE:
	                            a challenge without it is not answered */
};

struct auth_answered {
	bool proxy;
	bool used;           /* the nonce has been answered by a request of ours */
	enum digest_alg alg;
	enum digest_qop qop;
	uint32_t nc;
	uint16_t realm_n, nonce_n, opaque_n;
	char realm[AUTH_REALM_MAX], nonce[AUTH_NONCE_MAX], opaque[AUTH_OPAQUE_MAX];
	const struct auth_credential *credential; /* borrow */
};

struct auth_session {
	unsigned n;
	struct auth_answered realm[AUTH_REALMS_MAX];
};

/* Takes the challenges of a 401 or 407. REASON_NONE: the request may be sent again (AUT-09: same Call-ID and From
 * tag, CSeq + 1) with auth_put(). AUTH_REJECTED: what we answered was wrong, stop. AUTH_REALM: it asks for a realm
 * we have nothing for. AUTH_SCHEME: nothing in it can be answered (Basic, unknown algorithms). MALFORMED. */
enum reason auth_take(struct auth_session *s, const struct sip_msg *response, const struct auth_credential *creds,
    unsigned n_creds);

/* The same for one request that may be challenged more than once. asked: 401s and 407s to it so far, of which a proxy's
 * and that of who stands behind it are two; each may come once more when it says that the nonce was too old, else the
 * password is wrong and not tried again (RGC-05): AUTH_REJECTED. The caller sets asked to 0 for a new request. */
enum reason auth_again(struct auth_session *s, uint8_t asked[2], const struct sip_msg *response,
    const struct auth_credential *creds, unsigned n_creds);

/* Authorization and Proxy-Authorization lines for a request, for each realm that has asked; nothing when none has.
 * Each call counts: call it once per request sent with a new CSeq. 0, or -EIO. */
MUST_USE int auth_put(struct auth_session *s, struct rng *rng, struct str method, struct str uri, struct str body,
    struct buf *headers);

/* Authentication-Info with nextnonce (RFC 7616 3.5): the next request uses it. */
void auth_info(struct auth_session *s, const struct sip_msg *response);

#endif
