/* reginfo.h - application/reginfo+xml, written and read (RFC 3680 5). Pure.
 *
 * Written piece by piece into a buffer; texts are escaped here. Read through Expat into callbacks: nothing is believed
 * before the whole document was well-formed, so who acts on it waits for the 0.
 */
#ifndef SBC_REG_REGINFO_H
#define SBC_REG_REGINFO_H

#include "sbc/base/buf.h"

#define REGINFO_TYPE S("application/reginfo+xml")
#define REGINFO_TEXT_MAX 512 /* bytes of an AOR, a URI, an id that is read */

enum reginfo_state { REGINFO_INIT, REGINFO_ACTIVE, REGINFO_TERMINATED };
enum reginfo_event {
	REGINFO_REGISTERED,
	REGINFO_CREATED,
	REGINFO_REFRESHED,
	REGINFO_SHORTENED,
	REGINFO_EXPIRED,
	REGINFO_DEACTIVATED,
	REGINFO_PROBATION,
	REGINFO_UNREGISTERED,
	REGINFO_REJECTED,
	REGINFO_EVENTS
};
extern const char *const reginfo_state_names[3];
extern const char *const reginfo_event_names[REGINFO_EVENTS];

struct reginfo_contact {
	struct str id, uri;
	bool active;              /* else terminated */
	enum reginfo_event event;
	bool has_expires, has_retry;
	uint32_t expires_s, retry_s;
	/* written only */
	bool has_since;
	uint32_t since_s;         /* duration-registered */
	uint16_t q;               /* 0..1000; 1000 is not written */
	struct str call_id;       /* empty: not written, nor cseq */
	uint32_t cseq;
	struct str instance;      /* "<urn:uuid:…>", or empty */
	struct str params;        /* of the Contact, raw: "a=1;b" */
	struct str pub_gruu;      /* URI, or empty (RFC 5628) */
};

/* ---- writing; errors stay in the buffer ---- */
void reginfo_begin(struct buf *b, uint32_t version, bool full);
void reginfo_put_registration(struct buf *b, struct str aor, struct str id, enum reginfo_state state);
void reginfo_put_contact(struct buf *b, const struct reginfo_contact *c);
void reginfo_end_registration(struct buf *b);
void reginfo_end(struct buf *b);

/* ---- reading ---- */
struct reginfo_reader {
	/* texts live until return; any may be NULL */
	void (*begin)(void *ctx, uint32_t version, bool full);
	void (*registration)(void *ctx, struct str aor, struct str id, enum reginfo_state state);
	void (*contact)(void *ctx, struct str aor, const struct reginfo_contact *c);
};
/* 0; -EBADMSG: not well-formed, not a reginfo document, with a DOCTYPE, without what must be there, or with a text over
 * REGINFO_TEXT_MAX or with control characters; -ENOMEM. What other namespaces have in it is passed over (RFC 3680 5.1). */
MUST_USE int reginfo_read(struct str text, const struct reginfo_reader *r, void *ctx);

#endif
