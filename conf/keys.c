/* keys.c - the one table of configuration keys.
 *
 * A key that is not here does not exist: the loader, the schema, the default file, `config show` and the nearest-key
 * search all walk these two tables. Where a value ends up in struct conf is the loader's business (load.c); a test
 * holds both against each other.
 */
#include "conf/conf.h"

static const struct conf_section sections[] = {
	{"box", "name of this box", false, false, "This machine: its name and where its files are."},
	{"realm", "name of the realm", true, false,
	    "One network this box has a leg in: addresses to listen on, addresses and ports for media. Realms are added, "
	    "removed or renamed by a restart."},
	{"cert", "name of the certificate", true, true,
	    "A certificate of this box and its key. The name is for this file and for tls-cert of trunks; a certificate that "
	    "is renewed is read again by itself."},
	{"tls", NULL, false, false, "Whom this box trusts over TLS."},
	{"log", NULL, false, false, "Where log lines go and how many there are."},
	{"limits", NULL, false, false, "What this machine may spend."},
	{"media", NULL, false, false, "The packet path, for all realms."},
	{"dns", NULL, false, false, "Who resolves host names of trunks."},
};

static const struct conf_key keys[] = {
	{"box", "state-dir", CONF_T_PATH, "/var/lib/postern", 0, 0, NULL, false,
	    "Directory of the database.", "/var/lib/postern"},
	{"box", "control", CONF_T_PATH, CONF_CONTROL_DEFAULT, 0, 0, NULL, false,
	    "Unix socket on which the postern command reaches the daemon.", CONF_CONTROL_DEFAULT},

	{"realm", "listen", CONF_T_LISTENS, NULL, 0, 0, NULL, true,
	    "Where SIP is taken and sent from: protocol, address and port. A udp listener also takes tcp at the "
	    "same address; a tls listener needs no port when it is 5061.",
	    "{ \"udp 10.1.0.2:5060\", \"tcp 10.1.0.2:5060\" }"},
	{"realm", "cert", CONF_T_NAME, "", 0, 0, NULL, true,
	    "The cert that tls listeners show when the peer asks for none of ours by name, and that we show to "
	    "peers that want one.",
	    "edge1"},
	{"realm", "client-cert", CONF_T_ENUM, "request", 0, 0, "request require none", true,
	    "What tls listeners want of who connects: to show a certificate if it has one, to show one or be "
	    "turned away, or nothing.",
	    "require"},
	{"realm", "advertise", CONF_T_HOSTS, "", 0, 0, NULL, true,
	    "What Via and Contact say instead of the listener's address, when a router in front translates "
	    "addresses: one per address family, with a port when that is translated too. A host name is what tls "
	    "listeners say; without one they say the first name of their cert.",
	    "{ \"198.51.100.7\" }"},
	{"realm", "media", CONF_T_MEDIAS, NULL, 0, 0, NULL, false,
	    "Address and port range of RTP and RTCP, one line per address family. The range starts even and ends "
	    "odd, two ports per stream; both families use the same range.",
	    "{ \"10.1.0.2 16384-20479\" }"},
	{"realm", "media-advertise", CONF_T_IPS, "", 0, 0, NULL, false,
	    "What session descriptions say instead of the media address, one per address family.",
	    "{ \"198.51.100.7\" }"},
	{"realm", "public", CONF_T_ENUM, "auto", 0, 0, "auto yes no", true,
	    "Whether others than our own network see this realm. Where they do, private addresses in listen, "
	    "advertise, media and media-advertise are refused. auto: they do in the address families in which the "
	    "realm shows a public address.",
	    "yes"},
	{"realm", "dscp", CONF_T_DSCP, "ef", 0, 63, NULL, false,
	    "Class of service of media packets: ef, cs0..cs7, af11..af43 or 0..63. A trunk may have another (dscp).", "ef"},
	{"realm", "sip-dscp", CONF_T_DSCP, "cs3", 0, 63, NULL, false,
	    "Class of service of signalling, as for dscp.", "af31"},
	{"realm", "strangers", CONF_T_ENUM, "drop", 0, 0, "drop refuse", true,
	    "What a source that is no trunk gets: nothing at all, or 403.", "drop"},
	{"realm", "domains", CONF_T_DOMAINS, "", 0, 0, NULL, true,
	    "Hosts of a request URI that mean this box, besides the addresses above.", "{ \"sip.example.net\" }"},

	{"cert", "chain", CONF_T_PATH, NULL, 0, 0, NULL, true,
	    "PEM file: the certificate, then those that lead to its root.", "/etc/postern/tls/edge1.pem"},
	{"cert", "key", CONF_T_PATH, NULL, 0, 0, NULL, true,
	    "PEM file of the private key, readable for the service's user only (mode 0600).",
	    "/etc/postern/tls/edge1.key"},

	{"tls", "trust", CONF_T_PATHS, "", 0, 0, NULL, true,
	    "PEM files or directories of roots. A peer's certificate must lead to one of them. Left out: the "
	    "system's (/etc/ssl/certs/ca-certificates.crt), as a provider's public certificate needs; {}: none does.",
	    "{ /etc/ssl/certs/ca-certificates.crt }"},
	{"tls", "crl", CONF_T_PATHS, "", 0, 0, NULL, true,
	    "PEM files of revocation lists. An issuer that none of them speaks for is not checked.",
	    "{ /etc/postern/tls/revoked.pem }"},
	{"tls", "ocsp-stapling", CONF_T_ENUM, "no", 0, 0, "no yes", true,
	    "Ask servers for a stapled OCSP answer; turn away those it says are revoked, and those whose certificate says it must have one (RFC 7633) when there is no good one.", "yes"},
	{"tls", "warn-days", CONF_T_UINT, "30", 1, 365, NULL, true,
	    "So many days before it expires a certificate, ours, a peer's or a root, is warned of.", "30"},

	{"log", "to", CONF_T_LOG_TO, "stderr", 0, 0, NULL, false,
	    "stderr (lines carry the time), journal (stderr without the time, systemd adds it) or the absolute path "
	    "of a file.",
	    "/var/log/postern.log"},
	{"log", "level", CONF_T_ENUM, "info", 0, 0, "error warn info debug", true,
	    "Least severe level that is written.", "info"},
	{"log", "areas", CONF_T_AREAS, "", 0, 0, NULL, true,
	    "Other levels for single areas. Areas: app net sip call media db ctl policy.",
	    "{ \"sip debug\", \"media warn\" }"},

	{"limits", "max-calls", CONF_T_UINT, "10000", 0, 1000000, NULL, false,
	    "Calls at one time, 0 for no limit. One more is answered 503.", "2000"},
	{"limits", "tcp-connections", CONF_T_UINT, "4096", 1, 60000, NULL, true,
	    "TCP connections at one time, in all realms.", "4096"},
	{"limits", "tcp-per-source", CONF_T_UINT, "64", 1, 60000, NULL, true,
	    "TCP connections accepted from one IPv4 address or IPv6 /64.", "64"},
	{"limits", "tcp-first-message", CONF_T_TIME, "30s", 1000, 60000, NULL, true,
	    "An accepted connection that has not sent a whole message by then is closed.", "30s"},
	{"limits", "cdr-window", CONF_T_TIME, "200ms", 10, 10000, NULL, false,
	    "How long a call record may wait for others before they are written together. A crash of the machine "
	    "loses at most the records of this window.",
	    "200ms"},

	{"media", "workers", CONF_T_UINT, "0", 0, 64, NULL, false,
	    "Threads that relay packets, 0 for one per processor.", "2"},
	{"media", "quarantine", CONF_T_TIME, "5s", 0, 60000, NULL, false,
	    "How long a port rests before another call gets it, so that late packets of the old call find nobody.",
	    "5s"},
	{"media", "gather", CONF_T_UINT, "500", 0, 2000, NULL, false,
	    "Microseconds for which a busy worker gathers packets before it looks at them: half of that is added to their way, "
	    "and waking up costs a half or less. With few calls nothing waits. 0: never.",
	    "250"},
	{"media", "capture", CONF_T_UINT, "16", 0, 1024, NULL, false,
	    "Memory in MiB for packets of calls under 'call capture', the oldest are overwritten. It is taken when the first "
	    "call is captured. 0: no call can be.",
	    "16"},

	{"dns", "servers", CONF_T_ADDRS, "", 0, 0, NULL, true,
	    "Name servers, asked in this order; the next one when one fails or is silent. Empty: those of "
	    "/etc/resolv.conf.", "{ \"192.0.2.53\" }"},
};

const struct conf_section *conf_sections(unsigned *ret_n)
{
	*ret_n = ARRAY_LEN(sections);
	return sections;
}

const struct conf_key *conf_keys(unsigned *ret_n)
{
	*ret_n = ARRAY_LEN(keys);
	return keys;
}

static void put_ms(struct buf *b, uint64_t ms)
{
	if (ms >= 60000 && ms % 60000 == 0)
		buf_fmt(b, "%u min", (unsigned)(ms / 60000));
	else if (ms >= 1000 && ms % 1000 == 0)
		buf_fmt(b, "%u s", (unsigned)(ms / 1000));
	else
		buf_fmt(b, "%u ms", (unsigned)ms);
}

static void put_values(struct buf *b, const char *values)
{
	struct str rest = str_z(values), word;
	const char *sep = "";

	while (!str_empty(rest)) {
		rest = str_cut(rest, ' ', &word);
		buf_fmt(b, "%s%.*s", str_empty(rest) && sep[0] ? " or " : sep, STR(word));
		sep = ", ";
	}
}

void conf_key_put_type(struct buf *b, const struct conf_key *k)
{
	switch (k->type) {
	case CONF_T_NAME:
		buf_lit(b, "name of letters, digits, '.', '_' and '-'");
		break;
	case CONF_T_PATH:
		buf_lit(b, "absolute path");
		break;
	case CONF_T_UINT:
		buf_fmt(b, "whole number %llu..%llu", (unsigned long long)k->min, (unsigned long long)k->max);
		break;
	case CONF_T_TIME:
		buf_lit(b, "time as 200ms, 5s, 1min, from ");
		put_ms(b, k->min);
		buf_lit(b, " to ");
		put_ms(b, k->max);
		break;
	case CONF_T_ENUM:
		put_values(b, k->values);
		break;
	case CONF_T_DSCP:
		buf_lit(b, "ef, cs0..cs7, af11..af43 or 0..63");
		break;
	case CONF_T_LOG_TO:
		buf_lit(b, "stderr, journal or an absolute path");
		break;
	case CONF_T_LISTENS:
		buf_lit(b, "list of \"udp|tcp|tls ADDRESS:PORT\"");
		break;
	case CONF_T_ADDRS:
		buf_lit(b, "list of \"ADDRESS\" or \"ADDRESS:PORT\"");
		break;
	case CONF_T_HOSTS:
		buf_lit(b, "list of \"ADDRESS[:PORT]\" or \"NAME[:PORT]\"");
		break;
	case CONF_T_PATHS:
		buf_lit(b, "list of absolute paths");
		break;
	case CONF_T_IPS:
		buf_lit(b, "list of \"ADDRESS\"");
		break;
	case CONF_T_MEDIAS:
		buf_lit(b, "list of \"ADDRESS FIRST-LAST\"");
		break;
	case CONF_T_DOMAINS:
		buf_lit(b, "list of host names or addresses");
		break;
	case CONF_T_AREAS:
		buf_lit(b, "list of \"AREA LEVEL\"");
		break;
	}
}

/* Distance, with '_' read as '-' and case ignored, as people mistype keys. */
static unsigned key_distance(struct str s, const char *name, unsigned limit)
{
	char t[64];
	size_t n = s.n < sizeof(t) ? s.n : sizeof(t);

	for (size_t i = 0; i < n; i++)
		t[i] = s.p[i] == '_' ? '-' : chr_lower(s.p[i]);
	return str_distance(str_n(t, n), str_z(name), limit);
}

const struct conf_key *conf_key_nearest(struct str s, const char *section)
{
	const struct conf_key *best = NULL;
	unsigned best_d = 0;
	ptrdiff_t dot = str_chr(s, '.');

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct conf_key *k = &keys[i];
		unsigned limit = (unsigned)strlen(k->name) / 3 + 1, d;
		struct str name = dot >= 0 ? str_from(s, (size_t)dot + 1) : s;

		if (dot >= 0 && !str_ieq(str_head(s, (size_t)dot), str_z(k->section)))
			continue;
		d = key_distance(name, k->name, limit);
		/* "media_ports" for "media", "listener" for "listen" */
		if (d > limit && name.n >= 4 &&
		    (str_iprefix(name, str_z(k->name)) || str_iprefix(str_z(k->name), name)))
			d = limit;
		if (d > limit)
			continue;
		d = d * 2 + (section && strcmp(section, k->section) ? 1 : 0);
		if (!best || d < best_d) {
			best = k;
			best_d = d;
		}
	}
	return best;
}

bool conf_key_is_list(const struct conf_key *k)
{
	return k->type >= CONF_T_LISTENS;
}

/* Words of text, filled to 90 columns behind "prefix# ". */
static void put_comment(struct buf *b, const char *prefix, const char *text)
{
	struct str rest = str_z(text), word;
	size_t col = 0;

	while (!str_empty(rest)) {
		rest = str_cut(rest, ' ', &word);
		if (col && col + 1 + word.n > 90) {
			buf_chr(b, '\n');
			col = 0;
		}
		if (!col) {
			buf_fmt(b, "%s#", prefix);
			col = strlen(prefix) + 1;
		}
		buf_fmt(b, " %.*s", STR(word));
		col += 1 + word.n;
	}
	buf_chr(b, '\n');
}

void conf_put_default(struct buf *b)
{
	char type[200];
	struct buf t;

	buf_lit(b, "# Configuration of Postern: this box. Trunks, numbers and routes are in the database (postern "
		   "trunk,\n# postern number, postern route). Check with: postern config check FILE; apply with: "
		   "postern reload\n# Keys behind a # show their default; the sections realm must be adapted.\n");
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		const struct conf_section *sec = &sections[s];
		const char *off = sec->optional ? "#" : "";

		buf_chr(b, '\n');
		put_comment(b, "", sec->help);
		if (sec->title)
			buf_fmt(b, "%s%s \"%s\" {\n", off, sec->name, strcmp(sec->name, "realm") ? "edge1" : "lan");
		else
			buf_fmt(b, "%s {\n", sec->name);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			const struct conf_key *k = &keys[i];
			const char *value = k->def && k->def[0] ? k->def : k->example;

			if (strcmp(k->section, sec->name))
				continue;
			put_comment(b, "\t", k->help);
			buf_init(&t, type, sizeof(type));
			conf_key_put_type(&t, k);
			buf_fmt(b, "\t# %.*s%s%s\n", STR(buf_text(&t)), k->live ? "" : "; a change needs a restart",
			    k->def && !k->def[0] ? "; not set unless given, for example:" : "");
			buf_fmt(b, "\t%s%s = %s\n", k->def || sec->optional ? "#" : "", k->name, value);
		}
		buf_fmt(b, "%s}\n", off);
	}
}

