/* headers.c - which header fields of one leg may be copied to the other (B2B-03).
 *
 * Every field has a class; the class and the trust in both trunks decide. A trunk's own rules come first:
 * header.drop says never, from it or to it; header.pass makes it a trusted one for that field. What belongs to a
 * leg, a hop or a dialog (LEG) is written by each leg itself and never copied, whatever a rule says: so neither
 * topology nor the identifiers of the other dialog can leak.
 *
 *   LEG     never
 *   END     end to end: passes
 *   TRUST   identity and network information: only between two trusted trunks (RFC 3325 5, 6; HDR-07, -19)
 *   TO      goes only to a trusted trunk: unknown P- and X- fields, location
 *   FROM    is believed only from a trusted trunk: what makes a device do something (HDR-20)
 *
 * A field that is not in the table: TO when its name begins with P- or X-, else END.
 */
#include "sbc/policy/internal.h"

enum class { END, LEG, TRUST, TO, FROM };

static const struct {
	struct str name;
	uint8_t id; /* enum sip_hdr_id */
	uint8_t class;
} table[] = {
#define H(id, name, class) {{name, sizeof(name) - 1}, SIP_H_##id, class}
    /* hop, dialog, transaction: 3261 20, 12, 17 */
    H(VIA, "Via", LEG),
    H(FROM, "From", LEG),
    H(TO, "To", LEG),
    H(CALL_ID, "Call-ID", LEG),
    H(CSEQ, "CSeq", LEG),
    H(MAX_FORWARDS, "Max-Forwards", LEG),
    H(CONTACT, "Contact", LEG),
    H(ROUTE, "Route", LEG),
    H(RECORD_ROUTE, "Record-Route", LEG),
    H(PATH, "Path", LEG),
    H(SERVICE_ROUTE, "Service-Route", LEG),
    H(MAX_BREADTH, "Max-Breadth", LEG),
    H(TIMESTAMP, "Timestamp", LEG),
    H(RETRY_AFTER, "Retry-After", LEG),
    H(WARNING, "Warning", LEG),
    H(OTHER, "Error-Info", LEG),
    H(OTHER, "In-Reply-To", LEG), /* Call-IDs of other calls */
    H(OTHER, "Flow-Timer", LEG),
    /* what this leg can do and wants: negotiated per leg */
    H(REQUIRE, "Require", LEG),
    H(PROXY_REQUIRE, "Proxy-Require", LEG),
    H(SUPPORTED, "Supported", LEG),
    H(UNSUPPORTED, "Unsupported", LEG),
    H(ALLOW, "Allow", LEG),
    H(ALLOW_EVENTS, "Allow-Events", LEG),
    H(ACCEPT, "Accept", LEG),
    H(ACCEPT_ENCODING, "Accept-Encoding", LEG),
    H(ACCEPT_LANGUAGE, "Accept-Language", LEG),
    H(EXPIRES, "Expires", LEG),
    H(MIN_EXPIRES, "Min-Expires", LEG),
    H(SESSION_EXPIRES, "Session-Expires", LEG),
    H(MIN_SE, "Min-SE", LEG),
    H(RSEQ, "RSeq", LEG),
    H(RACK, "RAck", LEG),
    H(RECV_INFO, "Recv-Info", LEG),
    H(USER_AGENT, "User-Agent", LEG),
    H(SERVER, "Server", LEG),
    /* describes the body, which each leg writes anew */
    H(CONTENT_LENGTH, "Content-Length", LEG),
    H(CONTENT_TYPE, "Content-Type", LEG),
    H(CONTENT_DISPOSITION, "Content-Disposition", LEG),
    H(CONTENT_ENCODING, "Content-Encoding", LEG),
    H(OTHER, "Content-Language", LEG),
    H(MIME_VERSION, "MIME-Version", LEG),
    /* credentials of one hop */
    H(AUTHORIZATION, "Authorization", LEG),
    H(PROXY_AUTHORIZATION, "Proxy-Authorization", LEG),
    H(WWW_AUTHENTICATE, "WWW-Authenticate", LEG),
    H(PROXY_AUTHENTICATE, "Proxy-Authenticate", LEG),
    H(OTHER, "Authentication-Info", LEG),
    H(OTHER, "Proxy-Authentication-Info", LEG),
    /* name dialogs of one leg, or subscriptions in it (3911, 3891, 4538) */
    H(REFER_TO, "Refer-To", LEG),
    H(REPLACES, "Replaces", LEG),
    H(OTHER, "Join", LEG),
    H(OTHER, "Target-Dialog", LEG),
    H(EVENT, "Event", LEG),
    H(SUBSCRIPTION_STATE, "Subscription-State", LEG),
    /* who is who (3325, 5806, 7044, 3892) */
    H(P_ASSERTED_IDENTITY, "P-Asserted-Identity", TRUST),
    H(P_PREFERRED_IDENTITY, "P-Preferred-Identity", TRUST),
    H(OTHER, "Remote-Party-ID", TRUST),
    H(OTHER, "P-Called-Party-ID", TRUST),
    H(DIVERSION, "Diversion", TRUST),
    H(HISTORY_INFO, "History-Info", TRUST),
    H(REFERRED_BY, "Referred-By", TRUST),
    /* of a network to its own (7315, 5009, 6050) */
    H(P_EARLY_MEDIA, "P-Early-Media", TRUST),
    H(OTHER, "P-Asserted-Service", TRUST),
    H(OTHER, "P-Preferred-Service", TRUST),
    H(OTHER, "P-Charging-Vector", TRUST),
    H(OTHER, "P-Charging-Function-Addresses", TRUST),
    H(OTHER, "P-Access-Network-Info", TRUST),
    H(OTHER, "P-Visited-Network-ID", TRUST),
    /* where somebody is (6442) */
    H(GEOLOCATION, "Geolocation", TO),
    H(OTHER, "Geolocation-Routing", TO),
    /* makes a device act (5373) */
    H(OTHER, "Answer-Mode", FROM),
    H(OTHER, "Priv-Answer-Mode", FROM),
    /* from end to end */
    H(PRIVACY, "Privacy", END), /* never taken away: 3323 4.2 */
    H(REASON, "Reason", END),
    H(DATE, "Date", END),         /* covered by Identity: 8224 4.1 */
    H(IDENTITY, "Identity", END), /* byte for byte */
    H(SESSION_ID, "Session-ID", END),
    H(USER_TO_USER, "User-to-User", END),
    H(SUBJECT, "Subject", END),
    H(ORGANIZATION, "Organization", END),
    H(PRIORITY, "Priority", END),
    H(RESOURCE_PRIORITY, "Resource-Priority", END),
    H(ALERT_INFO, "Alert-Info", END),
    H(CALL_INFO, "Call-Info", END),
    H(INFO_PACKAGE, "Info-Package", END),
    H(OTHER, "Accept-Contact", END),
    H(OTHER, "Reject-Contact", END),
    H(OTHER, "Request-Disposition", END),
#undef H
};

static enum class class_of(enum sip_hdr_id id, struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		if (id != SIP_H_OTHER ? table[i].id == id : str_ieq(table[i].name, name))
			return (enum class)table[i].class;
	}
	return str_iprefix(name, S("P-")) || str_iprefix(name, S("X-")) ? TO : END;
}

bool pol_header_is_leg(struct str name)
{
	return class_of(SIP_H_OTHER, name) == LEG;
}

/* What does this trunk's own list say? */
static bool rule(const struct pol_trunk *t, enum sip_hdr_id id, struct str name, enum pol_hdr_action action)
{
	if (id != SIP_H_OTHER) { /* written short perhaps: rules name the long form */
		for (unsigned i = 0; i < ARRAY_LEN(table); i++)
			if (table[i].id == id)
				name = table[i].name;
	}
	for (unsigned i = 0; t && i < t->n_hdr_rules; i++)
		if (t->hdr_rules[i].action == action && str_ieq(t->hdr_rules[i].name, name))
			return true;
	return false;
}

static bool trusted(const struct pol_trunk *t, enum sip_hdr_id id, struct str name)
{
	return t && (t->sip.trusted || rule(t, id, name, POL_HDR_PASS));
}

enum pol_hdr_action policy_header(
    const struct pol_trunk *from, const struct pol_trunk *to, enum sip_hdr_id id, struct str name)
{
	bool pass = false;

	switch (class_of(id, name)) {
	case LEG:
		return POL_HDR_DROP;
	case END:
		pass = true;
		break;
	case TRUST:
		pass = trusted(from, id, name) && trusted(to, id, name);
		break;
	case TO:
		pass = trusted(to, id, name);
		break;
	case FROM:
		pass = trusted(from, id, name);
		break;
	}
	if (pass && (rule(from, id, name, POL_HDR_DROP) || rule(to, id, name, POL_HDR_DROP)))
		pass = false;
	return pass ? POL_HDR_PASS : POL_HDR_DROP;
}
