/* trunk_keys.c - the settings of a trunk: what there is, what it may say, what it means.
 *
 * One line of `trunk_keys` is a setting. Its type knows how to read a text into a value and how to write it back in
 * one canonical way; its offset says which field of struct pol_trunk gets it. Everything that says no says what it
 * expected, and what may have been meant.
 */
#include "sbc/base/base64.h"
#include "sbc/policy/internal.h"

#include <stdlib.h>

#define AT(field) (uint16_t)offsetof(struct pol_trunk, field)

const struct trunk_key trunk_keys[] = {
    {"role", TKEY_ROLE, 0, NULL, 0, 0, NULL, "pbx|itsp", "which side of the border it stands on", "itsp"},
    {"realm", TKEY_REALM, 0, NULL, 0, 0, NULL, NULL, "realm of postern.conf it is reached through", "wan"},
    {"target", TKEY_TARGETS, 0, NULL, 0, 0, NULL, NULL,
	"where calls to it are sent: HOST[:PORT][/udp|/tcp|/tls][@PRIORITY[*WEIGHT]], lower priority first",
	"192.0.2.10:5060,sip2.example.net/tls@2"},
    {"address", TKEY_ADDRESSES, 0, "", 0, 0, NULL, NULL,
	"where its requests come from besides the targets: addresses, networks, DNS names",
	"192.0.2.0/28,sip.example.net"},
    {"transport", TKEY_ENUM, AT(transport), "auto", 0, 0, NULL, "auto|udp|tcp|tls",
	"of targets that name none; auto: UDP to an address, what NAPTR and SRV say of a name", "tls"},
    {"domain", TKEY_HOST, AT(domain), "", 0, 0, NULL, NULL,
	"host part of From, To and request URI towards it; empty: the target's host and our address", "sip.example.net"},
    {"source-port", TKEY_U16, AT(source.port), "any", 0, 65535, "any", NULL,
	"its requests come only from this port (tells two trunks on one address apart)", "5070"},
    {"source-transport", TKEY_ENUM, AT(source.transport), "any", 0, 0, NULL, "any|udp|tcp|tls",
	"its requests come only over this transport", "udp"},
    {"identify", TKEY_ENUM, AT(source.identify), "address", 0, 0, NULL, "address|tls-name|both|credentials",
	"how its requests are recognised: by where they come from, by the name in its certificate, only by both, or from anywhere "
	"by its user name and password (challenge)", "tls-name"},
    {"address-grace", TKEY_S32, AT(source.grace_s), "1h", 0, 604800, "off", NULL,
	"an address that left the DNS names of target and address is its still for so long", "24h"},
    {"tls-names", TKEY_HOSTS, AT(tls.names), "", 0, 0, NULL, NULL,
	"names its certificate may carry, besides its domain and the hosts of its targets", "sip.example.net,edge.example.net"},
    {"tls-verify", TKEY_ENUM, AT(tls.verify), "strict", 0, 0, NULL, "strict|relaxed|chain|none",
	"what its certificate has to prove: the whole name, a name or wildcard, a trusted issuer, nothing", "relaxed"},
    {"tls-cert", TKEY_NAME, AT(tls.cert), "", 0, 31, NULL, NULL,
	"cert of postern.conf that is shown to it; empty: the realm's", "edge1"},
    {"tls-legacy", TKEY_BOOL, AT(tls.legacy), "no", 0, 0, NULL, NULL,
	"allow old ciphers without forward secrecy towards it", "yes"},
    {"scheme", TKEY_BOOL, AT(sip.scheme_sips), "sip", 0, 0, NULL, "sip|sips",
	"of request URI, From, To and Contact towards it; sips: TLS only", "sips"},
    {"transport-param", TKEY_BOOL, AT(sip.transport_param), "no", 0, 0, NULL, NULL,
	"write ;transport=tls in Contact for a peer that needs it", "yes"},
    {"max-calls", TKEY_U32, AT(max_calls), "unlimited", 0, 1000000, "unlimited", NULL,
	"calls at a time, both directions", "30"},
    {"max-cps", TKEY_U32, AT(max_cps), "unlimited", 0, 100000, "unlimited", NULL, "calls begun in a second", "10"},
    {"t1", TKEY_MS16, AT(sip.t1_ms), "500ms", 100, 10000, NULL, NULL,
	"SIP timer T1, the round trip that retransmission starts from", "500ms"},
    {"t2", TKEY_MS16, AT(sip.t2_ms), "4s", 1000, 60000, NULL, NULL, "SIP timer T2, longest wait between retransmissions",
	"4s"},
    {"t4", TKEY_MS16, AT(sip.t4_ms), "5s", 1000, 60000, NULL, NULL, "SIP timer T4, life of a message in the network",
	"5s"},
    {"try-timeout", TKEY_MS32, AT(sip.try_ms), "4s", 500, 60000, NULL, NULL,
	"INVITE without any answer for so long: the next address or target, when there is one; else 64 times T1", "2s"},
    {"setup-budget", TKEY_S32, AT(sip.setup_budget_s), "20s", 2, 180, NULL, NULL,
	"all tries of a call together, until somebody answers more than 100 Trying", "10s"},
    {"quarantine", TKEY_S32, AT(sip.quarantine_s), "60s", 1, 3600, NULL, NULL,
	"how long an address that failed rests, unless a probe says it is back", "30s"},
    {"probe", TKEY_S32, AT(probe.interval_s), "auto", 10, 3600, "off", "auto",
	"time between OPTIONS to each of its addresses; auto: 60s for an itsp, off for a pbx", "30s"},
    {"probe-down", TKEY_U16, AT(probe.down), "3", 1, 20, NULL, NULL, "probes in a row without answer: address is down", "2"},
    {"probe-up", TKEY_U16, AT(probe.up), "1", 1, 20, NULL, NULL, "probes in a row with answer: address is up again", "2"},
    {"keepalive", TKEY_S32, AT(sip.keepalive_s), "auto", 5, 600, "off", "auto",
	"time between our pings on its connections; auto: 110s; UDP flows are kept as both sides agree (keep)", "30s"},
    {"keep", TKEY_BOOL, AT(sip.keep), "no", 0, 0, NULL, NULL, "offer keepalives in Via (RFC 6223)", "yes"},
    {"ring-timeout", TKEY_S32, AT(sip.ring_timeout_s), "180s", 5, 3600, NULL, NULL, "how long it may ring", "60s"},
    {"max-duration", TKEY_S32, AT(sip.max_duration_s), "off", 0, 604800, "off", NULL, "longest call", "4h"},
    {"nat", TKEY_BOOL, AT(sip.nat), "no", 0, 0, NULL, NULL,
	"answer to the port a request came from, even without rport", "yes"},
    {"udp-only", TKEY_BOOL, AT(sip.udp_only), "no", 0, 0, NULL, NULL, "never move a large request to TCP", "yes"},
    {"mtu", TKEY_U16, AT(sip.mtu_limit), "1300", 576, 65000, NULL, NULL,
	"bytes of a request over UDP; see large for what is larger", "1400"},
    {"large", TKEY_ENUM, AT(sip.large), "tcp", 0, 0, NULL, "tcp|fragment|refuse",
	"what a request larger than mtu does: go over TCP where it can, be fragmented, or not be sent", "fragment"},
    {"learn-address", TKEY_BOOL, AT(sip.learn_address), "no", 0, 0, NULL, NULL,
	"our address towards it is what its answers say in received and rport", "yes"},
    {"trusted", TKEY_BOOL, AT(sip.trusted), "no", 0, 0, NULL, NULL,
	"identity headers are believed from it and sent to it, and it is told our reason codes", "yes"},
    {"user-agent", TKEY_BOOL, AT(sip.user_agent), "yes", 0, 0, NULL, NULL, "send User-Agent and Server", "no"},
    {"reset-max-forwards", TKEY_BOOL, AT(sip.reset_max_forwards), "no", 0, 0, NULL, NULL,
	"start Max-Forwards at 70 instead of counting down", "yes"},
    {"contact-user", TKEY_BOOL, AT(sip.contact_user), "no", 0, 0, NULL, NULL, "our Contact carries the number", "yes"},
    {"redirect", TKEY_ENUM, AT(sip.redirect), "follow", 0, 0, NULL, "follow|relay",
	"what a 3xx of this trunk does: follow it to another trunk, or relay it to the caller", "relay"},
    {"failover-codes", TKEY_CODES, AT(sip.failover_codes), "500,502,504", 0, 0, NULL, NULL,
	"answers that lead to the next target, besides no answer, no connection and 503", "480,500,502,504"},
    {"number-format", TKEY_ENUM, AT(num.format), "e164", 0, 0, NULL, "e164|digits|national|pass",
	"of numbers towards it: +4930…, 4930…, 030…, or as they come", "digits"},
    {"country", TKEY_DIGITS, AT(num.country), "", 0, 3, NULL, NULL, "country code of its national numbers", "49"},
    {"national-prefix", TKEY_DIGITS, AT(num.national_prefix), "0", 0, 4, "none", NULL,
	"what stands before a national number", "0"},
    {"international-prefix", TKEY_DIGITS, AT(num.international_prefix), "00", 0, 6, "none", NULL,
	"what stands before an international number", "011"},
    {"codecs", TKEY_CODECS, AT(media.codecs), "", 0, 0, NULL, NULL,
	"codecs allowed, in order of preference; empty: all, as offered", "PCMA,PCMU,telephone-event"},
    {"latch", TKEY_ENUM, AT(media.latch), "auto", 0, 0, NULL, "off|auto|on",
	"send media where it comes from: never, when its SDP address is private or not where it signals from, always", "on"},
    {"media-timeout", TKEY_S32, AT(media.timeout_s), "60s", 5, 86400, "off", NULL,
	"a call without any media for so long is ended", "off"},
    {"fax", TKEY_ENUM, AT(media.fax), "pass", 0, 0, NULL, "pass|refuse|audio-first",
	"T.38: passes; is refused, so that a fax goes on as G.711; passes in calls that began as audio. Never with srtp=required",
	"refuse"},
    {"dscp", TKEY_ENUM, AT(media.dscp), "realm", 0, 0, NULL,
	"realm|cs0|cs1|cs2|cs3|cs4|cs5|cs6|cs7|af11|af12|af13|af21|af22|af23|af31|af32|af33|af41|af42|af43|ef",
	"class of service of media sent to it; realm: dscp of the realm in postern.conf", "af41"},
    {"srtp", TKEY_ENUM, AT(media.srtp), "off", 0, 0, NULL, "off|preferred|required|dtls",
	"encrypted media: off; keys by SDES and DTLS offered beside clear (RFC 8643) and taken when offered; RTP/SAVP or no call; "
	"keys by DTLS or no call",
	"required"},
    {"srtp-suites", TKEY_SUITES, AT(media.srtp_suites), "", 0, 0, NULL,
	"AES_CM_128_HMAC_SHA1_80|AES_CM_128_HMAC_SHA1_32|AES_256_CM_HMAC_SHA1_80|AES_256_CM_HMAC_SHA1_32|AEAD_AES_128_GCM|"
	"AEAD_AES_256_GCM",
	"suites allowed, in order of offers to it; empty: all, AES_CM_128_HMAC_SHA1_80 first", "AES_CM_128_HMAC_SHA1_80"},
    {"srtp-clear", TKEY_BOOL, AT(media.srtp_clear), "no", 0, 0, NULL, NULL,
	"keys of SRTP may cross signalling that is not TLS, where whoever reads it hears the call", "yes"},
    {"srtp-roc", TKEY_ENUM, AT(media.srtp_roc), "auto", 0, 0, NULL, "auto|keep|reset",
	"rollover counter at a re-INVITE: as RFC 4568 says, and found out when that fails; on through new keys; from 0 each time",
	"reset"},
    {"srtp-lifetime", TKEY_BOOL, AT(media.srtp_lifetime), "no", 0, 0, NULL, NULL,
	"our keys carry |2^31, which some peers want", "yes"},
    {"dtmf", TKEY_ENUM, AT(media.dtmf), "pass", 0, 0, NULL, "pass|rtp|info",
	"digits to and from it: as the other side has them; as events of RTP (RFC 4733); as INFO (application/dtmf-relay)", "rtp"},
    {"ice", TKEY_BOOL, AT(media.ice), "no", 0, 0, NULL, NULL,
	"media goes where its checks of ICE say (RFC 8445, we are the lite side), when it has ICE; no: nothing of ICE is said to it", "yes"},
    {"auth", TKEY_ENUM, AT(reg.auth), "static", 0, 0, NULL, "static|register|gin|numbers",
	"static: known by address or certificate; register: a PBX registers with us, we register with an ITSP; gin: the same for "
	"all its numbers at once (RFC 6140); numbers: we register each number at an ITSP that knows no other way (reg-numbers)",
	"gin"},
    {"aor", TKEY_USER, AT(reg.user), "", 0, 0, NULL, NULL,
	"user part of its address of record (pilot); empty: the user name of its credential", "trunk42"},
    {"expires", TKEY_S32, AT(reg.expires_s), "3600s", 60, 86400, NULL, NULL,
	"registration: what we ask for, or give when nothing is asked for", "600s"},
    {"expires-min", TKEY_S32, AT(reg.min_s), "60s", 10, 3600, NULL, NULL, "registration of a PBX: shorter is refused (423)", "60s"},
    {"expires-max", TKEY_S32, AT(reg.max_s), "7200s", 60, 604800, NULL, NULL, "registration of a PBX: longer is shortened", "3600s"},
    {"max-contacts", TKEY_U16, AT(reg.max_contacts), "10", 1, 100, NULL, NULL, "registrations of one address at a time", "2"},
    {"contacts-full", TKEY_BOOL, AT(reg.replace), "refuse", 0, 0, NULL, "refuse|replace",
	"one more than max-contacts: 403, or the oldest makes room", "replace"},
    {"gin-strict", TKEY_BOOL, AT(reg.gin_strict), "no", 0, 0, NULL, NULL, "a bulk contact needs Require: gin, else 421", "yes"},
    {"digest", TKEY_ENUM, AT(reg.digest), "sha-512-256", 0, 0, NULL, "md5|sha-256|sha-512-256",
	"strongest algorithm it is asked for, the weaker ones follow; some devices give up at a name they do not know", "md5"},
    {"challenge", TKEY_ENUM, AT(reg.challenge), "off", 0, 0, NULL, "off|new|options|all",
	"which requests of a PBX are asked for its password: none; those that begin something; OPTIONS too; those inside calls too. "
	"With identify=credentials at least new", "new"},
    {"challenge-code", TKEY_BOOL, AT(reg.proxy), "401", 0, 0, NULL, "401|407",
	"how it is asked; 407 for a device that answers only a proxy. A REGISTER always gets 401", "407"},
    {"auth-int", TKEY_ENUM, AT(reg.integrity), "off", 0, 0, NULL, "off|prefer|require",
	"digest that covers the body too: with a PBX off (but taken), offered, or the only one offered; with an ITSP taken when there is no "
	"other, when it is offered, or nothing else", "prefer"},
    {"legacy-digest", TKEY_BOOL, AT(reg.no_qop), "no", 0, 0, NULL, NULL, "digest without qop (RFC 2069) is taken", "yes"},
    {"contact-host", TKEY_HOST, AT(reg.contact_host), "", 0, 0, NULL, NULL,
	"auth=gin at an ITSP: host of our Contact, and so of the request URIs that come back; our address then stands in Path "
	"(RFC 6140 8.2); empty: our address",
	"pbx.example.net"},
    {"gruu", TKEY_BOOL, AT(reg.gruu), "no", 0, 0, NULL, NULL,
	"auth=gin at an ITSP: a phone behind us that has a GRUU of ours has one of the provider's in calls by it (RFC 6140 7.1)", "yes"},
    {"gruu-key", TKEY_BASE64, AT(reg.gruu_key), "", 0, 1200, NULL, NULL,
	"gruu=yes: the ITSP's public key, as base64 of a PEM file without its first and last line, for phones that do not want to be "
	"traced (temporary GRUUs, RFC 6140 7.1.2)",
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"},
    {"reg-needed", TKEY_BOOL, AT(reg.needed), "no", 0, 0, NULL, NULL,
	"calls to an ITSP only while we are registered there; else 503, or the next place of the route", "yes"},
    {"reg-sticky", TKEY_BOOL, AT(reg.sticky), "no", 0, 0, NULL, NULL,
	"calls, OPTIONS and all else go to the server of an ITSP that holds our registration and to no other; while it moves to "
	"another server they wait for it",
	"yes"},
    {"outside", TKEY_ENUM, AT(outside), "auto", 0, 0, NULL, "auto|on|off",
	"requests outside of calls for its numbers (MESSAGE, OPTIONS, methods we do not know) are passed on to it; auto: when it "
	"is a PBX that registers",
	"on"},
    {"reg-event", TKEY_ENUM, AT(reg.event), "auto", 0, 0, NULL, "off|auto|on",
	"registration events (RFC 3680): a pbx is given them unless off; of an itsp we ask for them: never, when it says that it "
	"has them, always",
	"on"},
    {"reg-watchers", TKEY_WORDS, AT(reg.watchers), "", 0, 0, NULL, "names of trunks",
	"trunks that may watch its registrations, besides itself", "itsp"},
    {"reg-numbers", TKEY_WORDS, AT(reg.numbers), "", 0, 0, NULL, "names of trunks",
	"auth=numbers: the PBXs whose numbers are registered at this ITSP, 1000 numbers at most; auth=gin: the same when it does not "
	"know GIN",
	"acme"},
    {"reg-answer", TKEY_ENUM, AT(reg.answer), "pbx", 0, 0, NULL, "pbx|own",
	"who tells of the registration of one of its numbers: its own registrar, or we from what is registered here", "own"},
    {"events", TKEY_WORDS, AT(events), "", 0, 0, NULL, "names of event packages such as message-summary",
	"event packages that are carried from it and to it, besides its registrations: SUBSCRIBE and NOTIFY", "message-summary,dialog"},
    {"max-subscriptions", TKEY_U32, AT(max_subscriptions), "20", 0, 100000, "unlimited", NULL,
	"subscriptions at a time, its to us and ours to it", "100"},
    {"outbound", TKEY_ENUM, AT(reg.outbound), "off", 0, 0, NULL, "off|on|required",
	"ask an ITSP we register at for RFC 5626: flows that are pinged, and two of them; required: not used without", "on"},
    {"flows", TKEY_U16, AT(reg.flows), "2", 1, 2, NULL, NULL,
	"with outbound: registrations at a time, each by another server of the trunk", "1"},
    {"flow-retry", TKEY_S32, AT(reg.flow_retry_s), "90s", 5, 1800, NULL, NULL,
	"with outbound: a lost flow is made anew at once; when that fails after this time to twice it, doubled each time, while the other "
	"one works (RFC 5626 4.5 recommends 90s)",
	"10s"},
    {"did-source", TKEY_ENUM, AT(did_source), "auto", 0, 0, NULL, "auto|ruri|to|p-called-party-id|diversion",
	"where calls of an ITSP say the number that is called; auto: in the request URI, or, when that is the address we "
	"registered (pilot), in P-Called-Party-ID or To",
	"to"},
    {"hairpin", TKEY_BOOL, AT(hairpin), "no", 0, 0, NULL, NULL,
	"calls between its own numbers come back to it at once; no: they follow the routes, to its provider", "yes"},
    {"down-code", TKEY_U16, AT(down_code), "480", 400, 699, NULL, NULL,
	"answer to calls for it while it is not registered and nobody stands in for it", "404"},
    {"down-numbers", TKEY_DOWNS, AT(down_words), "", 0, 0, NULL, "RANGE:STATUS or RANGE:TRUNK",
	"the same of single numbers: their own answer, or the trunk that stands in for them (32 lines at most)",
	"+49301234577:404,+49301234580..+49301234589:voicemail"},
    {"alternative", TKEY_NAME, AT(alternative_name), "", 0, 31, NULL, NULL,
	"trunk that gets calls to its numbers while it cannot be reached", "voicemail"},
    {"reg-link", TKEY_NAME, AT(link_name), "", 0, 31, NULL, NULL,
	"register at this ITSP only while that PBX is registered with us; empty: always", "acme"},
    {"header.pass", TKEY_HEADERS_PASS, 0, "", 0, 0, NULL, NULL,
	"header fields taken from and passed to it as if it were trusted", "X-Account,Diversion"},
    {"header.drop", TKEY_HEADERS_DROP, 0, "", 0, 0, NULL, NULL, "header fields neither taken from nor passed to it",
	"Subject"},
};
const unsigned trunk_keys_n = ARRAY_LEN(trunk_keys);

static const char *const codec_names[] = {"PCMA", "PCMU", "G722", "G729", "G723", "G728", "GSM", "opus", "iLBC", "AMR",
    "AMR-WB", "EVS", "speex", "L16", "G726-16", "G726-24", "G726-32", "G726-40", "G7221", "SILK",
    "telephone-event", "CN", "H264", "H265", "VP8", "VP9", "AV1", "H263-1998"};

/* ---------------------------------------------------------------- finding */

static bool key_name_eq(struct str a, const char *b)
{
	size_t i;

	for (i = 0; i < a.n && b[i]; i++) {
		char c = a.p[i] == '_' ? '-' : chr_lower(a.p[i]);

		if (c != b[i])
			return false;
	}
	return i == a.n && b[i] == '\0';
}

const char *trunk_key_renamed(struct str name)
{
	static const char *const names[][2] = {{"no-response", "try-timeout"}};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (key_name_eq(name, names[i][0]))
			return names[i][1];
	return NULL;
}

const struct trunk_key *trunk_key_find(struct str name, const char **ret_near)
{
	unsigned best = 4;

	if (ret_near)
		*ret_near = NULL;
	for (unsigned i = 0; i < trunk_keys_n; i++)
		if (key_name_eq(name, trunk_keys[i].name))
			return &trunk_keys[i];
	for (unsigned i = 0; ret_near && i < trunk_keys_n; i++) {
		unsigned d = str_distance(name, str_z(trunk_keys[i].name), 3);

		if (d < best && d < name.n) {
			best = d;
			*ret_near = trunk_keys[i].name;
		}
	}
	/* the plural, or the beginning of one */
	for (unsigned i = 0; ret_near && !*ret_near && name.n >= 3 && i < trunk_keys_n; i++)
		if (str_iprefix(str_z(trunk_keys[i].name), name))
			*ret_near = trunk_keys[i].name;
	return NULL;
}

bool trunk_key_is_list(const struct trunk_key *k)
{
	return k->type == TKEY_TARGETS || k->type == TKEY_ADDRESSES || k->type == TKEY_HEADERS_PASS ||
	       k->type == TKEY_HEADERS_DROP || k->type == TKEY_CODES || k->type == TKEY_CODECS ||
	       k->type == TKEY_SUITES || k->type == TKEY_HOSTS || k->type == TKEY_WORDS || k->type == TKEY_DOWNS;
}

bool trunk_list_next(struct str *rest, struct str *ret)
{
	size_t i = 0, n;

	while (i < rest->n && (rest->p[i] == ',' || rest->p[i] == ' ' || rest->p[i] == '\t'))
		i++;
	for (n = i; n < rest->n && rest->p[n] != ',' && rest->p[n] != ' ' && rest->p[n] != '\t';)
		n++;
	*ret = str_n(rest->p + i, n - i);
	*rest = str_from(*rest, n);
	return ret->n > 0;
}

/* ---------------------------------------------------------------- reading */

/* "did you mean 'x'?" among words separated by '|', or among an array; "" when nothing is near. */
static void near_words(struct str given, const char *words, char hint[160])
{
	struct str rest = str_z(words), word;
	unsigned best = 3;
	struct buf b;

	buf_init(&b, hint, 159);
	while (rest.n) {
		unsigned d;

		rest = str_cut(rest, '|', &word);
		d = str_distance(given, word, 2);
		if (d < best && d < word.n) {
			best = d;
			b.n = 0;
			buf_fmt(&b, "did you mean '%.*s'?", STR(word));
		}
	}
	hint[b.n] = '\0';
}

static bool refuse(const struct trunk_key *k, struct str given, const char *hint, struct db_err *err, const char *expected)
{
	char text[96];
	struct buf b;

	buf_init(&b, text, sizeof(text) - 1);
	buf_escaped(&b, given, 20);
	text[b.n] = '\0';
	db_fail(err, REASON_BAD_VALUE, hint ? hint : "", "%s: '%s' is not valid, expected %s", k->name, text, expected);
	return false;
}

static bool read_word(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = str_z(k->words), word;
	char hint[160], expected[128];
	struct buf b;

	for (uint64_t i = 0; rest.n; i++) {
		rest = str_cut(rest, '|', &word);
		if (str_ieq(word, value)) {
			ret->n = i;
			ret->s = word;
			return true;
		}
	}
	near_words(value, k->words, hint);
	buf_init(&b, expected, sizeof(expected) - 1);
	for (const char *p = k->words; *p; p++)
		if (*p == '|')
			buf_lit(&b, ", ");
		else
			buf_chr(&b, *p);
	expected[b.n] = '\0';
	return refuse(k, value, hint, err, expected);
}

static bool read_bool(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	static const struct {
		const char *word;
		bool on;
	} words[] = {{"yes", true}, {"no", false}, {"on", true}, {"off", false}, {"true", true}, {"false", false}};

	if (k->words)
		return read_word(k, value, ret, err);
	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (str_ieq(value, str_z(words[i].word))) {
			ret->n = words[i].on;
			return true;
		}
	}
	return refuse(k, value, "", err, "yes or no");
}

static bool is_zero_word(const struct trunk_key *k, struct str value)
{
	return k->zero && (str_ieq(value, str_z(k->zero)) || str_ieq(value, S("off")) || str_ieq(value, S("none")) ||
			      str_eq(value, S("0")));
}

static bool read_number(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	char expected[96];
	struct buf b;

	if (is_zero_word(k, value)) {
		ret->n = 0;
		return true;
	}
	if (str_u64(value, k->max, &ret->n) == 0 && ret->n >= k->min)
		return true;
	buf_init(&b, expected, sizeof(expected) - 1);
	buf_fmt(&b, "a number from %llu to %llu", (unsigned long long)(k->zero && !k->min ? 1 : k->min),
	    (unsigned long long)k->max);
	if (k->zero)
		buf_fmt(&b, ", or '%s'", k->zero);
	expected[b.n] = '\0';
	return refuse(k, value, "", err, expected);
}

static void put_duration(struct buf *b, uint64_t ms)
{
	if (ms % 1000)
		buf_fmt(b, "%llums", (unsigned long long)ms);
	else if (ms <= 600000 || ms % 60000)
		buf_fmt(b, "%llus", (unsigned long long)ms / 1000);
	else if (ms < 7200000 || ms % 3600000)
		buf_fmt(b, "%llum", (unsigned long long)ms / 60000);
	else
		buf_fmt(b, "%lluh", (unsigned long long)ms / 3600000);
}

/* "4s", "500ms", "2m", "4h" in milliseconds; false: not one */
static bool duration(struct str value, uint64_t *ret_ms)
{
	static const struct {
		struct str unit;
		uint32_t ms;
	} units[] = {{{"ms", 2}, 1}, {{"s", 1}, 1000}, {{"m", 1}, 60000}, {{"h", 1}, 3600000}};
	uint32_t n;

	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		struct str unit = units[i].unit;

		if (value.n <= unit.n || !str_ieq(str_from(value, value.n - unit.n), unit))
			continue;
		if (str_u32(str_head(value, value.n - unit.n), 100000000, &n) < 0)
			continue;
		*ret_ms = (uint64_t)n * units[i].ms;
		return true;
	}
	return false;
}

static bool read_duration(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	uint64_t unit = k->type == TKEY_S32 ? 1000 : 1, ms, low = k->min ? k->min : 1;
	char expected[128];
	struct buf b;

	if (is_zero_word(k, value)) {
		ret->n = 0;
		return true;
	}
	if (k->words && str_ieq(value, str_z(k->words))) {
		ret->n = KEY_FITTING;
		return true;
	}
	if (duration(value, &ms) && ms % unit == 0 && ms / unit >= low && ms / unit <= k->max) {
		ret->n = ms / unit;
		return true;
	}
	buf_init(&b, expected, sizeof(expected) - 1);
	buf_lit(&b, "a time from ");
	put_duration(&b, low * unit);
	buf_lit(&b, " to ");
	put_duration(&b, k->max * unit);
	buf_lit(&b, " such as ");
	buf_str(&b, str_z(unit == 1 ? "500ms or 4s" : "90s, 2m or 1h"));
	if (k->words)
		buf_fmt(&b, ", '%s'", k->words);
	if (k->zero)
		buf_fmt(&b, ", or '%s'", k->zero);
	expected[b.n] = '\0';
	return refuse(k, value, "", err, expected);
}

bool trunk_host_is_name(struct str host)
{
	bool letter = false;
	size_t label = 0;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0 || host.n > 253)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = chr_lower(host.p[i]);

		if (c == '.') {
			if (label == 0 || host.p[i - 1] == '-')
				return false;
			label = 0;
			letter = false;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || chr_digit(c) || c == '_' || (c == '-' && label)) || ++label > 63)
			return false;
		letter |= !chr_digit(c);
	}
	/* the last label of a name is never only digits: "192.0.2.300" is a mistyped address */
	return label && letter && host.p[host.n - 1] != '-';
}

static bool read_host(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct addr a;

	ret->s = value;
	if (value.n == 0 || trunk_host_is_name(value) || addr_parse_ip(value, 0, &a) == 0)
		return true;
	return refuse(k, value, "", err, "a domain name or an IP address");
}

static bool read_hosts(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct key_value one_value;
	struct str rest = value, one;
	unsigned n = 0;

	ret->s = value;
	while (trunk_list_next(&rest, &one)) {
		if (!read_host(k, one, &one_value, err))
			return false;
		if (++n > KEY_HOSTS_MAX)
			return refuse(k, one, "", err, "at most 32 names");
	}
	return true;
}

static bool read_name(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	bool bad = value.n > k->max;

	ret->s = value;
	for (size_t i = 0; i < value.n && !bad; i++) {
		char c = chr_lower(value.p[i]);

		bad = !((c >= 'a' && c <= 'z') || chr_digit(c) || (i && str_chr(S("._-"), c) >= 0));
	}
	return bad ? refuse(k, value, "", err, "a name of postern.conf: letters, digits, '.', '_' and '-'") : true;
}

static bool read_words(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = value, one;
	unsigned n = 0;

	ret->s = value;
	while (trunk_list_next(&rest, &one)) {
		bool ok = one.n <= 31;

		for (size_t i = 0; i < one.n && ok; i++) {
			char c = chr_lower(one.p[i]);

			ok = (c >= 'a' && c <= 'z') || chr_digit(c) || (i && str_chr(S("._-"), c) >= 0);
		}
		if (!ok)
			return refuse(k, one, "", err, k->words);
		if (++n > KEY_HOSTS_MAX)
			return refuse(k, one, "", err, "at most 32 names");
	}
	return true;
}

static bool read_downs(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = value, one, trunk;
	struct db_number range;
	uint16_t code;
	unsigned n = 0;

	ret->s = value;
	while (trunk_list_next(&rest, &one)) {
		if (!pol_down_read(one, &range, &code, &trunk))
			return refuse(k, one, "", err, "+49301234577:404, or +49301234500..+49301234509:TRUNK");
		if (++n > KEY_HOSTS_MAX)
			return refuse(k, one, "", err, "at most 32 lines");
	}
	return true;
}

static bool read_digits(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	char expected[96];
	struct buf b;
	bool bad = value.n > k->max;

	ret->s = value;
	if (k->zero && str_ieq(value, str_z(k->zero))) {
		ret->s = STR_NONE;
		return true;
	}
	for (size_t i = 0; i < value.n; i++)
		bad |= !chr_digit(value.p[i]);
	if (!bad)
		return true;
	buf_init(&b, expected, sizeof(expected) - 1);
	buf_fmt(&b, "up to %llu digits without '+'", (unsigned long long)k->max);
	if (k->zero)
		buf_fmt(&b, ", or '%s'", k->zero);
	expected[b.n] = '\0';
	return refuse(k, value, "", err, expected);
}

static bool read_codes(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = value, one;
	uint32_t code;

	ret->n_codes = 0;
	if (str_ieq(value, S("none")))
		return true;
	while (trunk_list_next(&rest, &one)) {
		if (str_u32(one, 699, &code) < 0 || code < 400)
			return refuse(k, one, "", err, "SIP statuses from 400 to 599, such as 480,500,502, or 'none'");
		if (code >= 600 || code == 486)
			return refuse(k, one, "", err,
			    "statuses that leave hope elsewhere: 486 and 6xx speak for the called person and end the search");
		if (code == 401 || code == 407)
			return refuse(k, one, "", err, "statuses other than 401 and 407, which ask for credentials");
		if (ret->n_codes == ARRAY_LEN(ret->codes))
			return refuse(k, one, "", err, "at most 32 statuses");
		for (unsigned i = 0; i < ret->n_codes; i++)
			if (ret->codes[i] == code)
				return refuse(k, one, "", err, "each status once");
		ret->codes[ret->n_codes++] = (uint16_t)code;
	}
	return true;
}

static struct str codec_known(struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(codec_names); i++)
		if (str_ieq(name, str_z(codec_names[i])))
			return str_z(codec_names[i]);
	return STR_NONE;
}

/* the one of words that is meant, as it is written; STR_NONE: none */
static struct str word_known(const struct trunk_key *k, struct str name)
{
	struct str rest = str_z(k->words), word;

	while (rest.n) {
		rest = str_cut(rest, '|', &word);
		if (str_ieq(word, name))
			return word;
	}
	return STR_NONE;
}

static bool read_suites(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = value, one, other;
	char hint[160];

	ret->s = value;
	while (trunk_list_next(&rest, &one)) {
		struct str before = str_n(value.p, (size_t)(one.p - value.p));

		if (!word_known(k, one).n) {
			near_words(one, k->words, hint);
			return refuse(k, one, hint, err,
			    "names of RFC 4568, 6188 and 7714, such as AES_CM_128_HMAC_SHA1_80,AEAD_AES_128_GCM");
		}
		while (trunk_list_next(&before, &other))
			if (str_ieq(other, one))
				return refuse(k, one, "", err, "each suite once");
	}
	return true;
}

static bool read_codecs(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	struct str rest = value, one, other;

	ret->s = value;
	while (trunk_list_next(&rest, &one)) {
		struct str name = codec_known(one);
		struct str before = str_n(value.p, (size_t)(one.p - value.p));
		char hint[160] = "";

		for (unsigned i = 0; !name.n && !hint[0] && i < ARRAY_LEN(codec_names); i++)
			near_words(one, codec_names[i], hint);
		if (!name.n)
			return refuse(k, one, hint, err, "codec names as in SDP, such as PCMA,PCMU,G722,telephone-event");
		while (trunk_list_next(&before, &other))
			if (str_ieq(other, one))
				return refuse(k, one, "", err, "each codec once");
	}
	return true;
}

static bool read_user(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	bool ok = value.n <= 64;

	for (size_t i = 0; ok && i < value.n; i++) {
		char c = value.p[i];

		ok = chr_digit(c) || (chr_lower(c) >= 'a' && chr_lower(c) <= 'z') || (c && strchr("-_.!~*'()&=+$,", c));
	}
	if (!ok)
		return refuse(k, value, "without '@', domain and escapes", err, "the user part of a SIP URI");
	ret->s = value;
	return true;
}

static bool read_base64(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	uint8_t raw[1024];
	size_t n;

	if (value.n && (value.n > k->max || !base64_get(base64_unpad(value), raw, sizeof(raw), &n)))
		return refuse(k, value, "on one line", err, "base64 without line ends");
	ret->s = value;
	return true;
}

bool trunk_key_read(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err)
{
	*ret = (struct key_value){.s = value};
	switch (k->type) {
	case TKEY_ROLE:
	case TKEY_ENUM:
		return read_word(k, value, ret, err);
	case TKEY_REALM:
		return value.n > 0 && value.n <= 31 ? true : refuse(k, value, "", err, "the name of a realm of postern.conf");
	case TKEY_BOOL:
		return read_bool(k, value, ret, err);
	case TKEY_U32:
	case TKEY_U16:
		return read_number(k, value, ret, err);
	case TKEY_MS32:
	case TKEY_MS16:
	case TKEY_S32:
		return read_duration(k, value, ret, err);
	case TKEY_HOST:
		return read_host(k, value, ret, err);
	case TKEY_HOSTS:
		return read_hosts(k, value, ret, err);
	case TKEY_WORDS:
		return read_words(k, value, ret, err);
	case TKEY_DOWNS:
		return read_downs(k, value, ret, err);
	case TKEY_NAME:
		return read_name(k, value, ret, err);
	case TKEY_USER:
		return read_user(k, value, ret, err);
	case TKEY_BASE64:
		return read_base64(k, value, ret, err);
	case TKEY_DIGITS:
		return read_digits(k, value, ret, err);
	case TKEY_CODES:
		return read_codes(k, value, ret, err);
	case TKEY_CODECS:
		return read_codecs(k, value, ret, err);
	case TKEY_SUITES:
		return read_suites(k, value, ret, err);
	case TKEY_TARGETS:
	case TKEY_ADDRESSES:
	case TKEY_HEADERS_PASS:
	case TKEY_HEADERS_DROP:
		break;
	}
	for (struct str rest = value, one; trunk_list_next(&rest, &one);) {
		struct db_target t;
		bool ok = k->type == TKEY_TARGETS     ? trunk_target_read(one, &t, err)
			  : k->type == TKEY_ADDRESSES ? trunk_address_check(one, err)
						      : trunk_header_check(one, err);

		if (!ok)
			return false;
	}
	return true;
}

/* Is this element, as text, in the list already? */
static bool has_element(struct str list, struct str element)
{
	struct str one;

	while (trunk_list_next(&list, &one))
		if (str_ieq(one, element))
			return true;
	return false;
}

static void put_lower(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_chr(b, chr_lower(s.p[i]));
}

bool trunk_key_check(const struct trunk_key *k, struct str value, struct buf *ret, struct db_err *err)
{
	struct key_value v;
	struct db_target t;
	struct str rest, one;
	size_t before = ret->n;

	value = str_trim(value);
	if (!trunk_key_read(k, value, &v, err))
		return false;
	switch (k->type) {
	case TKEY_BOOL:
		buf_str(ret, k->words ? v.s : str_z(v.n ? "yes" : "no"));
		break;
	case TKEY_U32:
	case TKEY_U16:
		if (v.n == 0 && k->zero)
			buf_str(ret, str_z(k->zero));
		else
			buf_u64(ret, v.n);
		break;
	case TKEY_MS32:
	case TKEY_MS16:
	case TKEY_S32:
		if (v.n == KEY_FITTING && k->words)
			buf_str(ret, str_z(k->words));
		else if (v.n == 0 && k->zero)
			buf_str(ret, str_z(k->zero));
		else
			put_duration(ret, k->type == TKEY_S32 ? v.n * 1000 : v.n);
		break;
	case TKEY_DIGITS:
		buf_str(ret, v.s.n || !k->zero ? v.s : str_z(k->zero));
		break;
	case TKEY_CODES:
		for (unsigned i = 0; i < v.n_codes; i++) {
			buf_str(ret, str_z(i ? "," : ""));
			buf_u64(ret, v.codes[i]);
		}
		if (!v.n_codes)
			buf_lit(ret, "none");
		break;
	case TKEY_CODECS:
	case TKEY_SUITES:
	case TKEY_HOSTS:
	case TKEY_WORDS:
	case TKEY_DOWNS:
	case TKEY_TARGETS:
	case TKEY_ADDRESSES:
	case TKEY_HEADERS_PASS:
	case TKEY_HEADERS_DROP:
		for (rest = value; trunk_list_next(&rest, &one);) {
			char text[288];
			struct buf e;

			buf_init(&e, text, sizeof(text));
			if (k->type == TKEY_CODECS)
				buf_str(&e, codec_known(one));
			else if (k->type == TKEY_SUITES)
				buf_str(&e, word_known(k, one));
			else if (k->type == TKEY_TARGETS && trunk_target_read(one, &t, NULL))
				trunk_target_put(&e, &t);
			else if (k->type == TKEY_HOSTS)
				put_lower(&e, pol_host_trim(one));
			else
				buf_str(&e, k->type == TKEY_ADDRESSES || k->type == TKEY_WORDS || k->type == TKEY_DOWNS ? one : trunk_header_long(one));
			if (has_element(str_n(ret->p + before, ret->n - before), buf_text(&e)))
				continue;
			if (ret->n > before)
				buf_chr(ret, ',');
			buf_str(ret, buf_text(&e));
		}
		break;
	case TKEY_ROLE:
	case TKEY_REALM:
	case TKEY_ENUM:
	case TKEY_HOST:
	case TKEY_NAME:
	case TKEY_USER:
	case TKEY_BASE64:
		buf_str(ret, v.s);
		break;
	}
	return true;
}

/* ---------------------------------------------------------------- elements of lists */

bool trunk_target_read(struct str text, struct db_target *ret, struct db_err *err)
{
	static const char hint[] = "HOST[:PORT][/udp|/tcp|/tls][@PRIORITY[*WEIGHT]], such as 192.0.2.10:5060/tcp@1*50";
	struct db_target t = {.priority = 1, .weight = 1};
	struct str order, transport, rest, weight, priority;
	uint32_t n;
	struct addr a;
	ptrdiff_t colon;
	bool bad = false;

	order = str_cut(text, '@', &rest);
	bad |= rest.n < text.n && order.n == 0;
	transport = str_cut(rest, '/', &t.host);
	bad |= t.host.n < rest.n && transport.n == 0;
	if (order.n) {
		weight = str_cut(order, '*', &priority);
		if (str_u32(priority, 65535, &n) < 0)
			bad = true;
		else
			t.priority = (uint16_t)n;
		if (priority.n < order.n) {
			if (str_u32(weight, 65535, &n) < 0)
				bad = true;
			else
				t.weight = (uint16_t)n;
		}
	}
	if (transport.n) {
		t.transport = str_ieq(transport, S("udp"))   ? S("udp")
			      : str_ieq(transport, S("tcp")) ? S("tcp")
			      : str_ieq(transport, S("tls")) ? S("tls")
							     : STR_NONE;
		bad |= t.transport.n == 0;
	}
	rest = t.host;
	if (rest.n && rest.p[0] == '[') { /* [v6] or [v6]:port */
		ptrdiff_t end = str_chr(rest, ']');

		colon = end < 0 || (size_t)end + 1 == rest.n ? -1 : end + 1;
		bad |= end < 0 || (colon >= 0 && rest.p[colon] != ':');
		t.host = end < 0 ? STR_NONE : str_n(rest.p + 1, (size_t)end - 1);
	} else {
		colon = str_chr(rest, ':');
		if (colon >= 0 && str_chr(str_from(rest, (size_t)colon + 1), ':') >= 0)
			colon = -1; /* bare IPv6 */
		else if (colon >= 0)
			t.host = str_head(rest, (size_t)colon);
	}
	if (!bad && colon >= 0) {
		if (str_u32(str_from(rest, (size_t)colon + 1), 65535, &n) < 0 || n == 0)
			bad = true;
		else
			t.port = (uint16_t)n;
	}
	if (!bad && addr_parse_ip(t.host, 0, &a) == 0)
		bad = addr_is_any(&a);
	else
		bad |= !trunk_host_is_name(t.host);
	if (bad) {
		db_fail(err, REASON_BAD_VALUE, hint, "target: '%.*s' is not valid", STR(str_head(text, 80)));
		return false;
	}
	*ret = t;
	return true;
}

void trunk_target_put(struct buf *b, const struct db_target *t)
{
	if (t->port && str_chr(t->host, ':') >= 0)
		buf_fmt(b, "[%.*s]", STR(t->host));
	else
		buf_str(b, t->host);
	if (t->port)
		buf_fmt(b, ":%u", t->port);
	if (t->transport.n)
		buf_fmt(b, "/%.*s", STR(t->transport));
	if (t->priority != 1 || t->weight != 1)
		buf_fmt(b, "@%u", t->priority);
	if (t->weight != 1)
		buf_fmt(b, "*%u", t->weight);
}

bool trunk_address_check(struct str text, struct db_err *err)
{
	char hint[160] = "";
	struct addr_net net;
	struct str ip;
	uint32_t bits;
	struct buf b;

	if (addr_net_parse(text, &net) == 0) {
		if (net.bits > 0)
			return true;
		db_fail(err, REASON_BAD_VALUE, "name the networks the peer really sends from",
		    "address: '%.*s' would let everybody in", STR(str_head(text, 80)));
		return false;
	}
	if (trunk_host_is_name(text))
		return true;
	/* host bits set: say which network it is in */
	bits = 0;
	if (str_u32(str_cut(text, '/', &ip), 128, &bits) == 0 && addr_parse_ip(ip, 0, &net.base) == 0) {
		unsigned char *p = addr_is6(&net.base) ? net.base.in6.sin6_addr.s6_addr
						       : (unsigned char *)&net.base.in4.sin_addr;
		uint32_t all = addr_is6(&net.base) ? 128 : 32;

		for (uint32_t i = bits; i < all; i++)
			p[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
		if (bits <= all) {
			buf_init(&b, hint, sizeof(hint) - 1);
			buf_lit(&b, "did you mean '");
			addr_put_ip(&b, &net.base);
			buf_fmt(&b, "/%u'?", bits);
			hint[b.n] = '\0';
		}
	}
	db_fail(err, REASON_BAD_VALUE, hint,
	    "address: '%.*s' is not valid, expected an address, a network such as 192.0.2.0/28, or a DNS name",
	    STR(str_head(text, 80)));
	return false;
}

struct str trunk_header_long(struct str name)
{
	enum sip_hdr_id id = sip_hdr_parse(name);

	return id == SIP_H_OTHER ? name : sip_hdr_name(id);
}

bool trunk_header_check(struct str name, struct db_err *err)
{
	bool bad = name.n == 0 || name.n > 64;

	for (size_t i = 0; i < name.n && !bad; i++) {
		char c = chr_lower(name.p[i]);

		bad = !((c >= 'a' && c <= 'z') || chr_digit(c) || str_chr(S("-.!%*_+`'~"), c) >= 0);
	}
	if (bad) {
		db_fail(err, REASON_BAD_VALUE, "write it as in the message, without ':'", "'%.*s' is no header name",
		    STR(str_head(name, 64)));
		return false;
	}
	if (pol_header_is_leg(name)) {
		db_fail(err, REASON_BAD_VALUE, "each leg writes its own; no rule is needed",
		    "header %.*s belongs to one leg and never passes", STR(name));
		return false;
	}
	return true;
}

/* ---------------------------------------------------------------- showing */

static void join(struct buf *b, bool *first)
{
	if (!*first)
		buf_chr(b, ',');
	*first = false;
}

void trunk_key_value(const struct db_trunk *t, const struct trunk_key *k, struct buf *ret, bool *ret_is_default)
{
	size_t before = ret->n;
	bool first = true, set = true;

	switch (k->type) {
	case TKEY_ROLE:
		buf_str(ret, t->role);
		break;
	case TKEY_REALM:
		buf_str(ret, t->realm);
		break;
	case TKEY_TARGETS:
		for (unsigned i = 0; i < t->n_targets; i++) {
			join(ret, &first);
			trunk_target_put(ret, &t->targets[i]);
		}
		break;
	case TKEY_ADDRESSES:
		for (unsigned i = 0; i < t->n_sources; i++) {
			join(ret, &first);
			buf_str(ret, t->sources[i].address);
		}
		break;
	case TKEY_HEADERS_PASS:
	case TKEY_HEADERS_DROP:
		for (unsigned i = 0; i < t->n_headers; i++) {
			if (t->headers[i].pass != (k->type == TKEY_HEADERS_PASS))
				continue;
			join(ret, &first);
			buf_str(ret, t->headers[i].name);
		}
		break;
	default:
		set = false;
		for (unsigned i = 0; i < t->n_settings && !set; i++) {
			if (!str_eq(t->settings[i].key, str_z(k->name)))
				continue;
			buf_str(ret, t->settings[i].value);
			set = true;
		}
		if (!set)
			buf_str(ret, str_z(k->def));
		if (ret_is_default)
			*ret_is_default = !set;
		return;
	}
	if (ret_is_default)
		*ret_is_default = ret->n == before && k->def;
}
