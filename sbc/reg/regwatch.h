/* regwatch.h - we watch what we registered at providers: the only standard way to see that a registrar lost it.
 *
 * RFC 3680 as subscriber, RFC 6140 7.2.1. A trunk with role=itsp that registers, and reg-event=on (or auto, and the
 * registrar says Allow-Events: reg), is subscribed to once it is registered. What comes is compared with the contact we
 * registered: when it is not there any more, the trunk registers again at once, with the reason in its history; when that
 * repeats, later and later. A provider that has no registration events is not asked again before the next registration.
 */
#ifndef SBC_REG_REGWATCH_H
#define SBC_REG_REGWATCH_H

#include "sbc/dialog/subscription.h"
#include "sbc/policy/policy.h"
#include "sbc/reg/client.h"
#include "sbc/target/target.h"

struct reg_watches;

/* NULL: out of memory. user_agent, clients, subs live as long as it. user as of the clients: for the history. */
struct reg_watches *reg_watches_new(const struct env *env, struct subs *subs, struct reg_clients *clients,
    struct str user_agent, const struct reg_client_user *user, void *ctx);
void reg_watches_free(struct reg_watches *ws); /* before subs */
void reg_watches_start(struct reg_watches *ws, struct targets *targets);
/* Takes a reference. */
void reg_watches_set_policy(struct reg_watches *ws, struct policy *p);
/* What reg_client_user.on_event() was told: registered (NONE), or not any more. */
void reg_watches_note(struct reg_watches *ws, uint32_t trunk_id, enum reason why);

enum reg_watch_state {
	REG_WATCH_OFF,      /* by the operator, or the trunk is not registered */
	REG_WATCH_NOT_SAID, /* auto: the registrar does not say that it has events */
	REG_WATCH_WAITING,  /* for its time to subscribe */
	REG_WATCH_ASKING,
	REG_WATCH_PENDING,  /* it does not let us yet */
	REG_WATCH_SEES,     /* it says that we are registered */
	REG_WATCH_MISSES,   /* it says that we are not */
	REG_WATCH_BLIND,    /* it names contacts, and none of them can be told to be ours */
	REG_WATCH_REFUSED,  /* until the next registration */
	REG_WATCH_STATES
};
extern const char *const reg_watch_state_names[REG_WATCH_STATES];

struct reg_watch_view {
	enum reg_watch_state state;
	uint16_t status;       /* REFUSED: by that; 0: not by an answer */
	int64_t heard_wall_us; /* of the newest NOTIFY, 0: none */
	uint32_t notifies, losses; /* losses: registrations made anew for what it said */
	unsigned confirmed;    /* addresses of record that it has our contact for */
};
/* false: that trunk does not register */
bool reg_watch_view(const struct reg_watches *ws, uint32_t trunk_id, struct reg_watch_view *ret);
/* Did the provider confirm that number (canonical)? Sense only while SEES. */
bool reg_watch_confirms(const struct reg_watches *ws, uint32_t trunk_id, struct str number);
/* Numbers it confirmed, in no order: NULL first. Borrow: until the next turn. false: at the end. */
bool reg_watch_number(const struct reg_watches *ws, uint32_t trunk_id, const void **at, struct str *ret);

#endif
