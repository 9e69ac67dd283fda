/* ice.h - the side of a lite agent: checks are answered, and who passed one is known (RFC 8445 2.5, 7.3; RFC 8839).
 *
 * An ice is made by the signalling thread for one stream of one side, with the names and the password that were told and heard.
 * One worker gives it the checks that come; whoever sends to the far end asks it where to. Addresses are written once and
 * never changed, so readers need no lock.
 */
#ifndef MEDIA_ICE_H
#define MEDIA_ICE_H

#include <stdatomic.h>

#include "media/sdp.h"
#include "sbc/base/stun.h"

#define ICE_UFRAG_MAX 32 /* of a far end, characters (RFC 8839 5.4 allows 256; nobody has more than 32) */
#define ICE_UFRAG 8      /* of ours */
#define ICE_PWD 24
#define ICE_SOURCES 12   /* of one component, in the life of one password */
#define ICE_CHECK_MAX 600 /* bytes of a check that is read */
#define ICE_SILENT_US 30000000 /* a far end that says nothing for so long is not sent anything (RFC 7675 5.1) */

/* Plain values; two that are equal byte by byte are the same session of ICE. */
struct ice_keys {
	char ours[ICE_UFRAG + 1]; /* "": no ICE */
	char pwd[ICE_PWD + 1];
	char theirs[ICE_UFRAG_MAX + 1];
};

struct ice;

/* before: the one it takes the place of at a restart: its far end is heard and sent to until the new one has one (8839 4.4.1);
 * NULL: none. NULL: no memory. */
struct ice *ice_new(const struct ice_keys *keys, const struct ice *before);
void ice_free(struct ice *i);
const struct ice_keys *ice_keys(const struct ice *i);

enum ice_result {
	ICE_ANSWERED,  /* out is to be sent back */
	ICE_NOMINATED, /* the same, and from now on the far end is there */
	ICE_IGNORED,   /* nothing to answer: an indication, an answer to nobody's question */
	ICE_REFUSED,   /* no check for us: other names, another password, no fingerprint. Nothing is answered (ICE-10) */
};
/* One datagram that looks like STUN. Worker. */
enum ice_result ice_check(struct ice *i, unsigned component, const uint8_t *d, size_t n, const struct addr *from, int64_t now_us,
    char out[STUN_OUT_MAX], size_t *ret_out);
/* May media come from there? It passed a check; remembers that it was heard. Worker. */
bool ice_heard(struct ice *i, unsigned component, const struct addr *from, int64_t now_us);
/* Where the far end is; NULL: nowhere yet, or it has been silent for too long. Any thread. */
const struct addr *ice_where(const struct ice *i, unsigned component, int64_t now_us);

#endif
