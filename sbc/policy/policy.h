/* policy.h - the operator's will as one immutable snapshot.
 *
 * Compiled from the configuration file (realms) and the database rows (trunks, numbers, routes), reference
 * counted, swapped in one pointer store. A call keeps the snapshot it began with. Everything the call path asks
 * is answered from here: who is this source, whose number is that, where does the call go, may this header pass.
 * Nothing here changes after policy_compile(); run-time state (calls in progress, health) lives elsewhere, keyed
 * by trunk id.
 */
#ifndef SBC_POLICY_POLICY_H
#define SBC_POLICY_POLICY_H

#include "media/media.h"
#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/net/locate.h"
#include "sbc/net/net.h"
#include "sbc/sip/msg.h"

struct policy;

enum pol_role { POL_PBX, POL_ITSP };
enum pol_admin { POL_ENABLED, POL_DISABLED, POL_DRAINING };
enum pol_numfmt { POL_NUM_E164 /* +49… */, POL_NUM_DIGITS /* 49… */, POL_NUM_NATIONAL /* 0… */, POL_NUM_PASS };
enum pol_redirect { POL_REDIRECT_FOLLOW, POL_REDIRECT_RELAY };
enum pol_stranger { POL_STRANGER_DROP, POL_STRANGER_REFUSE /* 403 */ };

enum pol_transport { POL_TRANSPORT_AUTO, POL_TRANSPORT_UDP, POL_TRANSPORT_TCP, POL_TRANSPORT_TLS };
enum pol_identify { POL_BY_ADDRESS, POL_BY_TLS_NAME, POL_BY_BOTH, POL_BY_CREDENTIALS };
enum pol_outside { POL_OUTSIDE_AUTO /* to a PBX that registers */, POL_OUTSIDE_ON, POL_OUTSIDE_OFF };
/* Which of a PBX's requests carry credentials, or get 401: each word means the ones before as well. */
enum pol_challenge {
	POL_CHALLENGE_OFF,
	POL_CHALLENGE_NEW,     /* what begins something: INVITE, MESSAGE, SUBSCRIBE, ... outside of a call */
	POL_CHALLENGE_OPTIONS, /* OPTIONS too */
	POL_CHALLENGE_ALL,     /* and those inside calls: re-INVITE, BYE, ... */
};
enum pol_did { POL_DID_AUTO, POL_DID_RURI, POL_DID_TO, POL_DID_CALLED_PARTY, POL_DID_DIVERSION };
enum pol_large { POL_LARGE_TCP, POL_LARGE_FRAGMENT, POL_LARGE_REFUSE };

/* One place calls of a trunk are sent to, as configured; which servers stand behind a name is the locator's. */
struct pol_target {
	struct str host;        /* name or IP as configured */
	struct addr addr;       /* numeric hosts, with the port in force; none: a name */
	uint16_t port;          /* numeric hosts: in force; names: as configured, 0 when it says none (NAPTR, SRV) */
	uint8_t proto;          /* enum net_proto; LOCATE_ANY: names only, NAPTR and SRV choose */
	uint16_t priority;      /* lower first */
	uint16_t weight;        /* share among equals */
	bool registered;        /* where it has registered from; nothing else means anything then */
};

/* Numbers with an answer, or somebody who stands in, of their own while the trunk is not registered. */
struct pol_down {
	char first[17], last[17]; /* "+49301234500" .. "+49301234599" */
	uint16_t code;            /* 0: that of the trunk */
	const struct pol_trunk *to; /* NULL: nobody */
};

/* Class of service of media, as the words of trunk_keys.c stand. */
enum pol_dscp {
	POL_DSCP_REALM,
#define POL_DSCP_CODES 0, 8, 16, 24, 32, 40, 48, 56, 10, 12, 14, 18, 20, 22, 26, 28, 30, 34, 36, 38, 46
	POL_DSCPS = 22
};
/* 1 + DSCP; 0: that of the realm */
uint8_t policy_dscp(enum pol_dscp d);

struct pol_trunk {
	uint32_t id;            /* database key, stable */
	struct str name;
	enum pol_role role;
	enum pol_admin admin;
	uint8_t realm;
	const struct pol_target *targets; /* by priority */
	unsigned n_targets;
	const struct pol_target *registered; /* tried before them: where it registered from; NULL: it does not */
	struct str domain;      /* host of From, To, R-URI towards it; empty: the target's host (R-URI, To) and our
	                           advertised address (From) */
	uint32_t max_calls, max_cps; /* 0: no limit */
	uint32_t max_subscriptions;  /* 0: no limit */
	const struct str *events;    /* packages that are carried from it and to it */
	unsigned n_events;
	uint32_t first_number;       /* of policy_numbers_next(), 1 + index; 0: it has none */
	uint64_t n_numbers;          /* numbers in all its ranges */
	/* signalling */
	struct {
		uint16_t t1_ms, t2_ms, t4_ms; /* 0: default */
		uint32_t ring_timeout_s; /* 180 */
		uint32_t max_duration_s; /* 0: none */
		bool nat;                /* answer to the source port even without rport (LOOP-06) */
		bool udp_only;           /* LOOP-09 */
		uint16_t mtu_limit;      /* 0: 1300 */
		bool trusted;            /* identity headers and our reason codes may go there */
		bool user_agent;         /* send User-Agent / Server */
		bool reset_max_forwards; /* LOOP-02, off */
		bool contact_user;       /* our Contact carries the number, not only the host */
		enum pol_redirect redirect;
		const uint16_t *failover_codes; /* besides transport error, timeout and 503; 0-terminated */
		bool scheme_sips;        /* sips: in request URI, From, To and Contact towards it; only over TLS */
		bool transport_param;    /* ;transport=tls in Contact (SIPS-03) */
		bool keep;               /* offer ;keep in Via (RFC 6223) */
		bool learn_address;      /* what its answers say in received/rport is our address towards it */
		uint32_t try_ms;         /* INVITE without any answer, and another place is left: that one */
		uint32_t setup_budget_s; /* all tries together until a provisional answer above 100 */
		uint32_t quarantine_s;   /* how long a dead address rests */
		uint32_t keepalive_s;    /* pings from us on connections, 0: none */
		uint32_t large;          /* enum pol_large: what a request over mtu_limit does */
	} sip;
	struct {
		enum pol_numfmt format;  /* of R-URI, From, To towards it */
		struct str country;      /* "49": for national and local numbers from it */
		struct str national_prefix, international_prefix; /* "0", "00" */
	} num;
	struct {
		struct str codecs;
		enum media_latch latch;
		uint32_t timeout_s;      /* 0: off; default 60 */
		enum media_fax fax;
		enum pol_dscp dscp;
		enum media_srtp srtp;
		enum crypt_roc srtp_roc;
		struct str srtp_suites;  /* names in order; empty: all */
		bool srtp_clear;         /* keys may cross signalling that is not encrypted */
		bool srtp_lifetime;
		bool ice;
		enum media_dtmf dtmf;
	} media;
	const struct pol_hdr_rule *hdr_rules; /* own rules before the table */
	unsigned n_hdr_rules;
	struct {
		const struct str *names; /* its certificate may carry, besides domain and hosts of targets; lower case */
		unsigned n_names;
		uint32_t verify;     /* enum net_verify */
		struct str cert;     /* of ours, shown to it; empty: the realm's */
		bool legacy;         /* ciphers of TLS-02 */
	} tls;
	struct {
		uint32_t interval_s; /* OPTIONS, 0: none */
		uint16_t down, up;   /* probes in a row that change the state */
	} probe;
	/* How its requests are recognised. */
	struct {
		uint16_t port;       /* 0: any */
		uint32_t transport;  /* enum pol_source_transport */
		uint32_t identify;   /* enum pol_identify: address set, certificate, both at once, password */
		uint32_t grace_s;    /* an address that left the set of its name is its still for so long */
	} source;
	uint32_t transport;      /* enum pol_transport: of targets that do not say */
	uint32_t outside;        /* enum pol_outside: requests outside of calls for it */
	uint32_t did_source;     /* enum pol_did: where calls of an ITSP say the number that is called */
	bool hairpin;            /* calls between its own numbers come back to it, without the routes */
	uint16_t down_code;      /* to the caller when it is not registered, and nobody stands in for it */
	const struct str *down_words; /* down-numbers as configured */
	unsigned n_down_words;
	const struct pol_down *downs; /* the same read, as many */
	struct str alternative_name, link_name; /* as configured */
	const struct pol_trunk *alternative; /* who gets its calls when it cannot; NULL: nobody */
	const struct pol_trunk *link; /* ITSP: registered there only while that PBX is registered; NULL: always */
	/* Registration: a PBX registers with us, we register with an ITSP. */
	struct {
		uint32_t auth;       /* enum pol_auth */
		struct str user;     /* of the trunk's own address of record; empty: that of the credential */
		struct str auth_user, realm, ha1[3]; /* credential; H(A1) as hex: MD5, SHA-256, SHA-512-256; empty: none */
		uint32_t expires_s;  /* asked for, or given when nothing is asked for */
		uint32_t min_s, max_s; /* of a PBX: 423 below, shortened above */
		uint16_t max_contacts; /* bindings of one address of record */
		bool replace;        /* the oldest makes room; else 403 */
		bool gin_strict;     /* bnc needs Require: gin (421) */
		bool no_qop;         /* digest of RFC 2069 is taken */
		struct str contact_host; /* an ITSP's: of the bulk Contact, our address stands in Path then; empty: our address */
		bool needed;         /* an ITSP's: no calls to it while we are not registered there */
		bool sticky;         /* an ITSP's: nothing goes to a server that does not hold our registration */
		uint32_t event;      /* enum pol_reg_event: a PBX's: given to those who may watch; an ITSP's: asked for */
		const struct str *watchers; /* trunks that may watch its registrations; they exist */
		unsigned n_watchers;
		const struct str *numbers; /* NUMBERS: trunks whose numbers are registered; they exist */
		unsigned n_numbers;
		uint32_t answer;     /* enum pol_reg_answer: of one number's registration */
		uint32_t outbound;   /* an ITSP's: enum pol_outbound */
		bool gruu;           /* an ITSP's, GIN: phones behind us have GRUUs of its */
		struct str gruu_key; /* its public key for temporary ones, base64 of DER; empty: there are none */
		uint16_t flows;      /* an ITSP's with outbound: registrations by different servers at a time */
		uint32_t flow_retry_s; /* base of the wait for a lost one while another works (RFC 5626 4.5) */
		uint32_t digest;     /* strongest algorithm it is asked for, by enum digest_alg; the weaker ones too */
		uint32_t challenge;  /* enum pol_challenge; with identify=credentials at least NEW */
		bool proxy;          /* asked with 407 instead of 401 */
		uint32_t integrity;  /* enum auth_int (sbc/auth) */
	} reg;
};

/* NUMBERS: an ITSP's: each number of some PBXs by a registration of its own */
enum pol_auth { POL_AUTH_STATIC, POL_AUTH_REGISTER, POL_AUTH_GIN, POL_AUTH_NUMBERS };
/* RFC 5626 when we register: not asked for; a registrar without it is registered at as without; such one is not used. */
enum pol_outbound { POL_OUTBOUND_OFF, POL_OUTBOUND_ON, POL_OUTBOUND_REQUIRED };

enum pol_reg_event { POL_REG_EVENT_OFF, POL_REG_EVENT_AUTO, POL_REG_EVENT_ON };
enum pol_reg_answer { POL_REG_ANSWER_PBX, POL_REG_ANSWER_OWN };
enum pol_source_transport { POL_SOURCE_ANY, POL_SOURCE_UDP, POL_SOURCE_TCP, POL_SOURCE_TLS };

enum pol_hdr_action { POL_HDR_DROP, POL_HDR_PASS };
struct pol_hdr_rule {
	struct str name;
	enum pol_hdr_action action;
};

/* A realm as policy needs it. */
struct pol_realm {
	struct str name;
	enum pol_stranger strangers;
	bool not_public;        /* public = no: private addresses of ours may be shown to anybody in it */
	const struct str *domains; /* hosts of a request URI that are ours, besides the listeners' addresses */
	unsigned n_domains;
};

struct pol_number {
	struct str first, last; /* "+49301234500" .. "+49301234599", same length */
	uint32_t trunk_id;      /* who the number belongs to (the PBX) */
};

/* One place to try. */
struct pol_hop {
	const struct pol_trunk *trunk;
	const struct pol_target *target;
};

struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* NULL is fine */
uint64_t policy_revision(const struct policy *p);

const struct pol_trunk *policy_trunk(const struct policy *p, uint32_t id);
const struct pol_trunk *policy_trunk_named(const struct policy *p, struct str name);
unsigned policy_trunk_count(const struct policy *p);
const struct pol_trunk *policy_trunk_at(const struct policy *p, unsigned i); /* by name */
const struct pol_realm *policy_realm(const struct policy *p, unsigned realm);
unsigned policy_realm_count(const struct policy *p);

/* Which trunk does this source belong to (ACC-01)? By realm; then by what its certificate names (trunks with
 * identify=tls-name, TLS-11); else by source address set (targets' addresses, configured nets and resolved names),
 * then transport and source port where the trunk restricts them: the most specific entry wins, and when its trunk has
 * identify=both the certificate has to name it too. Trunks with identify=credentials are nobody's here. Disabled trunks are found as well (the caller refuses).
 * who: of net_identity(), NULL: no TLS. A certificate with names of several trunks is the one's whose name stands
 * first. O(1) for exact addresses and names. NULL: a stranger. */
const struct pol_trunk *policy_identify(
    const struct policy *p, const struct net_path *from, const struct net_identity *who);
/* Why policy_identify() gave nobody: NO_TRUNK, TLS_NO_CERT, TLS_NAME_MISMATCH (where a certificate is asked for). */
enum reason policy_stranger(const struct policy *p, const struct net_path *from, const struct net_identity *who);
/* Some trunk sends from there, whatever else it has to prove. */
bool policy_address_known(const struct policy *p, const struct net_path *from);
/* Is that one of the trunk's own places, whoever else has it too (two trunks that register at one provider)? What its
 * certificate would have to prove is not looked at. Walks all sources. */
bool policy_may_come_from(const struct policy *p, const struct pol_trunk *t, const struct net_path *from);
/* Cheap form for net's admit(): false when a stranger in a realm that drops strangers. TLS from anywhere is let in
 * where a trunk is recognised by its certificate alone: who it is shows only after the handshake. */
bool policy_admit(const struct policy *p, const struct net_path *from);

/* The trunk that registers in that realm as user: its address of record, or the user name of its credential. NULL:
 * none. Compared as bytes (RFC 3261 19.1.4). */
const struct pol_trunk *policy_registrant(const struct policy *p, unsigned realm, struct str user);
/* Does any trunk of the realm register with us? Strangers may then send REGISTER. */
bool policy_has_registrants(const struct policy *p, unsigned realm);
/* The trunk that is recognised by its credentials (identify=credentials) and has that user name, or address of record;
 * NULL: none. */
const struct pol_trunk *policy_account(const struct policy *p, unsigned realm, struct str user);
/* Is any trunk of the realm recognised so? Whoever sends requests from anywhere may then turn out to be it. */
bool policy_has_accounts(const struct policy *p, unsigned realm);

/* Brings a number as dialled by trunk t to canonical form: +country…; a short or unknown form stays as it is. */
void policy_number_in(const struct pol_trunk *t, struct str number, struct buf *ret);
/* and as the trunk wants to see it */
void policy_number_out(const struct pol_trunk *t, struct str number, struct buf *ret);
/* Longest match among the ranges; NULL: nobody's. */
const struct pol_number *policy_number(const struct policy *p, struct str number);
/* The trunk of that match, 0: nobody's. Reads less memory, where the range itself is not asked for. */
uint32_t policy_number_owner(const struct policy *p, struct str number);

/* What was said of that number (canonical) of the trunk's for when it is not registered; NULL: nothing. */
const struct pol_down *policy_down(const struct pol_trunk *owner, struct str number);
/* The answer to calls for it then. */
uint16_t policy_down_code(const struct pol_trunk *owner, struct str number);
/* The ranges of a trunk, in order: NULL first, NULL at the end. t is of the same snapshot. */
const struct pol_number *policy_numbers_next(
    const struct policy *p, const struct pol_trunk *t, const struct pol_number *after);
/* Are subscriptions to that package carried from t and to it? */
bool policy_event_carried(const struct pol_trunk *t, struct str package);
/* Are the numbers of that trunk registered one by one at the ITSP t? */
bool policy_registers_for(const struct pol_trunk *t, const struct pol_trunk *owner);
/* May that trunk watch the registrations of owner? */
bool policy_may_watch(const struct pol_trunk *owner, const struct pol_trunk *watcher);

#define POL_HOPS_MAX 16
struct pol_route_result {
	struct pol_hop hops[POL_HOPS_MAX]; /* in the order to try */
	unsigned n_hops;
	struct str route;                  /* name of the rule; "number" when the called number's owner decided */
	enum reason reason;                /* when n_hops is 0: NO_ROUTE, NUMBER_UNKNOWN, CLASS_DENIED, TRUNK_DISABLED,
	                                      TRUNK_DRAINING */
	bool deny;
};
/* Where does a call from trunk `from` to `called` go? First the number table when a trunk other than `from` owns
 * the called number, then the routes in order; a trunk is never routed back to itself unless a route says so.
 * Targets of one priority are shuffled by weight with rng. wall_us for time-of-day rules. */
void policy_route(const struct policy *p, const struct pol_trunk *from, struct str calling, struct str called,
    int64_t wall_us, struct rng *rng, struct pol_route_result *ret);

/* May this header of a message from `from` be copied to a message to `to` (B2B-03)? Hop and leg headers: never. */
enum pol_hdr_action policy_header(
    const struct pol_trunk *from, const struct pol_trunk *to, enum sip_hdr_id id, struct str name);

/* Is this host of a request URI ours (RELAY_DENIED otherwise)? Domains of the realm and of its trunks. The
 * caller compares with the listeners' addresses first. */
bool policy_host_is_ours(const struct policy *p, unsigned realm, struct str host);

#endif
