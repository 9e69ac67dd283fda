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

enum class { LEG, END, TRUST, TO, FROM }; /* 0: a line that was forgotten lets nothing pass */

struct header {
	struct str name;
	uint8_t class;
};

#define H(name, class) {{name, sizeof(name) - 1}, class}

/* those that the parser knows by number */
static const struct header known[SIP_H_COUNT] = {
    /* hop, dialog, transaction: 3261 20, 12, 17 */
    [SIP_H_VIA] = H("Via", LEG),
    [SIP_H_FROM] = H("From", LEG),
    [SIP_H_TO] = H("To", LEG),
    [SIP_H_CALL_ID] = H("Call-ID", LEG),
    [SIP_H_CSEQ] = H("CSeq", LEG),
    [SIP_H_MAX_FORWARDS] = H("Max-Forwards", LEG),
    [SIP_H_CONTACT] = H("Contact", LEG),
    [SIP_H_ROUTE] = H("Route", LEG),
    [SIP_H_RECORD_ROUTE] = H("Record-Route", LEG),
    [SIP_H_PATH] = H("Path", LEG),
    [SIP_H_SERVICE_ROUTE] = H("Service-Route", LEG),
    [SIP_H_MAX_BREADTH] = H("Max-Breadth", LEG),
    [SIP_H_TIMESTAMP] = H("Timestamp", LEG),
    [SIP_H_RETRY_AFTER] = H("Retry-After", LEG),
    [SIP_H_WARNING] = H("Warning", LEG),
    /* what this leg can do and wants: negotiated per leg */
    [SIP_H_REQUIRE] = H("Require", LEG),
    [SIP_H_PROXY_REQUIRE] = H("Proxy-Require", LEG),
    [SIP_H_SUPPORTED] = H("Supported", LEG),
    [SIP_H_UNSUPPORTED] = H("Unsupported", LEG),
    [SIP_H_ALLOW] = H("Allow", LEG),
    [SIP_H_ALLOW_EVENTS] = H("Allow-Events", LEG),
    [SIP_H_ACCEPT] = H("Accept", LEG),
    [SIP_H_ACCEPT_ENCODING] = H("Accept-Encoding", LEG),
    [SIP_H_ACCEPT_LANGUAGE] = H("Accept-Language", LEG),
    [SIP_H_EXPIRES] = H("Expires", LEG),
    [SIP_H_MIN_EXPIRES] = H("Min-Expires", LEG),
    [SIP_H_SESSION_EXPIRES] = H("Session-Expires", LEG),
    [SIP_H_MIN_SE] = H("Min-SE", LEG),
    [SIP_H_RSEQ] = H("RSeq", LEG),
    [SIP_H_RACK] = H("RAck", LEG),
    [SIP_H_RECV_INFO] = H("Recv-Info", LEG),
    [SIP_H_USER_AGENT] = H("User-Agent", LEG),
    [SIP_H_SERVER] = H("Server", LEG),
    /* describes the body, which each leg writes anew */
    [SIP_H_CONTENT_LENGTH] = H("Content-Length", LEG),
    [SIP_H_CONTENT_TYPE] = H("Content-Type", LEG),
    [SIP_H_CONTENT_DISPOSITION] = H("Content-Disposition", LEG),
    [SIP_H_CONTENT_ENCODING] = H("Content-Encoding", LEG),
    [SIP_H_MIME_VERSION] = H("MIME-Version", LEG),
    /* credentials of one hop */
    [SIP_H_AUTHORIZATION] = H("Authorization", LEG),
    [SIP_H_PROXY_AUTHORIZATION] = H("Proxy-Authorization", LEG),
    [SIP_H_WWW_AUTHENTICATE] = H("WWW-Authenticate", LEG),
    [SIP_H_PROXY_AUTHENTICATE] = H("Proxy-Authenticate", LEG),
    /* name dialogs of one leg, or subscriptions in it (3911, 3891, 4538) */
    [SIP_H_REFER_TO] = H("Refer-To", LEG),
    [SIP_H_REPLACES] = H("Replaces", LEG),
    [SIP_H_EVENT] = H("Event", LEG),
    [SIP_H_SUBSCRIPTION_STATE] = H("Subscription-State", LEG),
    /* who is who (3325, 5806, 7044, 3892) */
    [SIP_H_P_ASSERTED_IDENTITY] = H("P-Asserted-Identity", TRUST),
    [SIP_H_P_PREFERRED_IDENTITY] = H("P-Preferred-Identity", TRUST),
    [SIP_H_DIVERSION] = H("Diversion", TRUST),
    [SIP_H_HISTORY_INFO] = H("History-Info", TRUST),
    [SIP_H_REFERRED_BY] = H("Referred-By", TRUST),
    /* of a network to its own (7315, 5009, 6050) */
    [SIP_H_P_EARLY_MEDIA] = H("P-Early-Media", TRUST),
    /* where somebody is (6442) */
    [SIP_H_GEOLOCATION] = H("Geolocation", TO),
    /* from end to end */
    [SIP_H_PRIVACY] = H("Privacy", END), /* never taken away: 3323 4.2 */
    [SIP_H_REASON] = H("Reason", END),
    [SIP_H_DATE] = H("Date", END), /* covered by Identity: 8224 4.1 */
    [SIP_H_IDENTITY] = H("Identity", END), /* byte for byte */
    [SIP_H_SESSION_ID] = H("Session-ID", END),
    [SIP_H_USER_TO_USER] = H("User-to-User", END),
    [SIP_H_SUBJECT] = H("Subject", END),
    [SIP_H_ORGANIZATION] = H("Organization", END),
    [SIP_H_PRIORITY] = H("Priority", END),
    [SIP_H_RESOURCE_PRIORITY] = H("Resource-Priority", END),
    [SIP_H_ALERT_INFO] = H("Alert-Info", END),
    [SIP_H_CALL_INFO] = H("Call-Info", END),
    [SIP_H_INFO_PACKAGE] = H("Info-Package", END),
};

/* and by name only */
static const struct header others[] = {
    /* hop, dialog, transaction: 3261 20, 12, 17 */
    H("Error-Info", LEG),
    H("In-Reply-To", LEG), /* Call-IDs of other calls */
    H("Flow-Timer", LEG),
    /* describes the body, which each leg writes anew */
    H("Content-Language", LEG),
    /* credentials of one hop */
    H("Authentication-Info", LEG),
    H("Proxy-Authentication-Info", LEG),
    /* name dialogs of one leg, or subscriptions in it (3911, 3891, 4538) */
    H("Join", LEG),
    H("Target-Dialog", LEG),
    /* who is who (3325, 5806, 7044, 3892) */
    H("Remote-Party-ID", TRUST),
    H("P-Called-Party-ID", TRUST),
    /* of a network to its own (7315, 5009, 6050) */
    H("P-Asserted-Service", TRUST),
    H("P-Preferred-Service", TRUST),
    H("P-Charging-Vector", TRUST),
    H("P-Charging-Function-Addresses", TRUST),
    H("P-Access-Network-Info", TRUST),
    H("P-Visited-Network-ID", TRUST),
    /* where somebody is (6442) */
    H("Geolocation-Routing", TO),
    /* makes a device act (5373) */
    H("Answer-Mode", FROM),
    H("Priv-Answer-Mode", FROM),
    /* from end to end */
    H("Accept-Contact", END),
    H("Reject-Contact", END),
    H("Request-Disposition", END),
};

static enum class class_of(enum sip_hdr_id id, struct str name)
{
	if (id < SIP_H_OTHER)
		return (enum class)known[id].class;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (str_ieq(others[i].name, name))
			return (enum class)others[i].class;
	return str_iprefix(name, S("P-")) || str_iprefix(name, S("X-")) ? TO : END;
}

bool pol_header_is_leg(struct str name)
{
	return class_of(sip_hdr_parse(name), name) == LEG;
}

/* What does this trunk's own list say? */
static bool rule(const struct pol_trunk *t, enum sip_hdr_id id, struct str name, enum pol_hdr_action action)
{
	if (id < SIP_H_OTHER) /* written short perhaps: rules name the long form */
		name = known[id].name;
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
