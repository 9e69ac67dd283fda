/* prefs.h - which of several contacts a caller wants (RFC 3841): Accept-Contact and Reject-Contact against the feature
 * tags a contact was registered with (RFC 3840). Pure. */
#ifndef SBC_REG_PREFS_H
#define SBC_REG_PREFS_H

#include "sbc/sip/header.h"

/* How well a contact with these header parameters fits what m asks for: 0..1000, as Qa of RFC 3841 7.2.4 (1000: it asks
 * for nothing, or all of it fits); -1: it is not to be used. instance: of its +sip.instance, or empty. */
int prefs_score(const struct sip_msg *m, struct str params, struct str instance);

#endif
