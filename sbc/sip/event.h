/* event.h - what subscriptions are about and how they stand: Event and Subscription-State (RFC 6665 8.2). Pure; slices
 * into the message.
 */
#ifndef SBC_SIP_EVENT_H
#define SBC_SIP_EVENT_H

#include "sbc/sip/header.h"

struct sip_event {
	struct str package; /* with its templates: "presence.winfo" */
	struct str id;      /* empty: none */
};
/* -ENOENT: there is none; -EBADMSG: two of them, or not a token */
MUST_USE int sip_event(const struct sip_msg *m, struct sip_event *ret);
/* Same subscription: package and id, byte by byte; no other parameter counts (RFC 6665 8.2.1). */
bool sip_event_eq(const struct sip_event *a, const struct sip_event *b);
/* "package;id=x" */
void sip_put_event(struct buf *b, const struct sip_event *e);

enum sip_substate { SIP_SUB_ACTIVE, SIP_SUB_PENDING, SIP_SUB_TERMINATED, SIP_SUB_OTHER };
/* Why it is terminated (RFC 6665 4.1.3). */
enum sip_subwhy {
	SIP_SUBWHY_NONE,
	SIP_SUBWHY_DEACTIVATED, /* subscribe again, at once */
	SIP_SUBWHY_PROBATION,   /* subscribe again, after retry-after */
	SIP_SUBWHY_REJECTED,    /* do not */
	SIP_SUBWHY_TIMEOUT,     /* was not refreshed: subscribe again when wanted */
	SIP_SUBWHY_GIVEUP,      /* not authorised in time: after retry-after */
	SIP_SUBWHY_NORESOURCE,  /* what was watched is gone: do not */
	SIP_SUBWHY_INVARIANT,   /* it will not change any more: do not */
	SIP_SUBWHY_OTHER,
	SIP_SUBWHYS
};
extern const char *const sip_subwhy_names[SIP_SUBWHYS];

struct sip_substate_value {
	enum sip_substate state;
	enum sip_subwhy why;
	struct str state_text;  /* as it stands */
	bool has_expires, has_retry;
	uint32_t expires_s, retry_s; /* saturated */
};
/* -ENOENT; -EBADMSG: two of them, no token, or a number that is none */
MUST_USE int sip_substate(const struct sip_msg *m, struct sip_substate_value *ret);

#endif
