/* cmd_flow.c - connections: who is at the other end, what went over them, closing one.
 *
 * A flow is named by its handle in hex. The handle carries a generation, so the id of a flow that is gone never means
 * another one.
 */
#include "sbc/ctl/server.h"
#include "sbc/ctl/view.h"
#include "sbc/net/netio.h"

#define LINES 200

static const struct pol_trunk *flow_trunk(const struct ctl_backend *be, const struct netio_conn_info *ci)
{
	return policy_identify(b2b_policy(be->b2b), &ci->path, net_identity(netio_net(be->net), &ci->path));
}

static void put_tls(const struct ctl_backend *be, const struct netio_conn_info *ci, json_t *j)
{
	json_t *names = json_array();
	struct text t = {0};

	for (unsigned i = 0; ci->identity && i < ci->identity->n_names; i++)
		json_array_append_new(names, print_json(ci->identity->names[i]));
	json_object_set_new(j, "names", names);
	json_object_set_new(j, "verified", json_boolean(ci->identity && ci->identity->verified));
	if (!ci->tls_version)
		return;
	text_fmt(&t, "%s %s%s", ci->tls_version, ci->tls_cipher ? ci->tls_cipher : "",
	    ci->tls_resumed ? ", resumed" : "");
	json_object_set_new(j, "tls", print_json(text_get(&t)));
	json_object_set_new(j, "resumed", json_boolean(ci->tls_resumed));
	json_object_set_new(j, "cert", print_json(ci->tls_cert));
	if (ci->identity)
		json_object_set_new(j, "our_domain", print_json(ci->identity->local));
	if (ci->tls_peer_expires_us) {
		t.n = 0;
		view_expiry(&t, ci->tls_peer_expires_us, be->env->clock->wall_us);
		json_object_set_new(j, "expires_us", json_integer(ci->tls_peer_expires_us));
		json_object_set_new(j, "expires", print_json(text_get(&t)));
	}
	text_fini(&t);
}

static json_t *flow_json(const struct ctl_backend *be, const struct netio_conn_info *ci)
{
	const struct policy *p = b2b_policy(be->b2b);
	const struct pol_realm *realm = policy_realm(p, ci->path.realm);
	const struct pol_trunk *t = flow_trunk(be, ci);
	static const char *const race[] = {"", "two addresses are tried", "the first address was up first",
	    "the second address was up first"};
	int64_t now = be->env->clock->mono_us;
	char text[ADDR_TEXT_MAX], id[12];
	struct buf b;
	json_t *j = json_object();

	buf_init(&b, id, sizeof(id));
	buf_fmt(&b, "%08x", ci->path.conn);
	json_object_set_new(j, "flow", print_json(buf_text(&b)));
	json_object_set_new(j, "remote", json_string(addr_text(&ci->path.remote, text)));
	json_object_set_new(j, "local", json_string(addr_text(&ci->path.local, text)));
	json_object_set_new(j, "proto", print_json(net_proto_name((enum net_proto)ci->path.proto)));
	json_object_set_new(j, "realm", print_json(realm ? realm->name : STR_NONE));
	json_object_set_new(j, "trunk", t ? print_json(t->name) : json_null());
	json_object_set_new(j, "opened_by", json_string(ci->inbound ? "them" : "us"));
	json_object_set_new(j, "up", json_boolean(ci->up));
	json_object_set_new(j, "age_ms", json_integer((now - ci->opened_us) / 1000));
	json_object_set_new(j, "quiet_ms", json_integer(ci->last_us ? (now - ci->last_us) / 1000 : 0));
	json_object_set_new(j, "rx", json_integer((json_int_t)ci->rx_msgs));
	json_object_set_new(j, "tx", json_integer((json_int_t)ci->tx_msgs));
	json_object_set_new(j, "queued", json_integer((json_int_t)ci->queued));
	if (ci->heard_us)
		json_object_set_new(j, "heard_ms", json_integer((now - ci->heard_us) / 1000));
	if (ci->race != RACE_NONE)
		json_object_set_new(j, "race", json_string(race[ci->race]));
	if (ci->ping_every_ms) {
		json_object_set_new(j, "ping_every_ms", json_integer(ci->ping_every_ms));
		json_object_set_new(j, "pings", json_integer(ci->pings));
		json_object_set_new(j, "pongs", json_integer(ci->pongs));
		json_object_set_new(j, "ping_state", json_string(ci->pings_unknown  ? "not answered: it seems not to know pings"
								 : ci->pong_awaited ? "waiting for the answer"
										    : "answered"));
	}
	if (ci->path.proto == NET_TLS)
		put_tls(be, ci, j);
	json_object_set_new(j, "level", json_integer(ci->queued ? 1 : 0));
	return j;
}

void cmd_flow_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"flow", "FLOW", PK_TEXT, 0},
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"proto", "PROTO", PK_TEXT, 0},
	    {"remote", "REMOTE", PK_TEXT, 0},
	    {"names", "PROVED NAMES", PK_TEXT, 2},
	    {"opened_by", "OPENED BY", PK_TEXT, 3},
	    {"realm", "REALM", PK_TEXT, 4},
	    {"age_ms", "AGE", PK_MS, 1},
	    {"quiet_ms", "QUIET", PK_MS, 2},
	    {"rx", "IN", PK_NUM, 5},
	    {"tx", "OUT", PK_NUM, 5},
	    {"queued", "QUEUED", PK_BYTES, 1},
	};
	const char *name = ctl_arg(r, "--trunk");
	const struct pol_trunk *only = name ? ctl_trunk(r, name) : NULL;
	uint32_t max = ctl_uint(r, "--lines", LINES), at = 0;
	unsigned n = 0;
	json_t *rows;
	struct netio_conn_info ci;

	if (name && !only)
		return;
	rows = json_array();
	while (r->be->net && netio_conn_next(r->be->net, &at, &ci)) {
		if (only && flow_trunk(r->be, &ci) != only)
			continue;
		if (n++ < max)
			json_array_append_new(rows, flow_json(r->be, &ci));
	}
	ctl_set(r, "total", json_integer(n));
	ctl_table(r, "flows", rows, cols, ARRAY_LEN(cols),
	    only ? "no connection with this trunk: UDP has none, TCP and TLS open one when there is something to send"
		 : "no connections");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N, --trunk TRUNK\n", max, n);
	ctl_end(r);
}

/* The flow of that id, or false after ctl_refuse(). */
static bool find_flow(struct ctl_req *r, struct netio_conn_info *ret)
{
	const char *id = ctl_arg(r, "FLOW");
	uint64_t want;
	uint32_t at = 0;

	if (call_id_parse(str_z(id), &want))
		while (r->be->net && netio_conn_next(r->be->net, &at, ret))
			if (ret->path.conn == want)
				return true;
	ctl_refuse(r, REASON_NO_SUCH, "it may have closed meanwhile: postern flow list shows those that are open",
	    "no flow '%s'", id);
	return false;
}

void cmd_flow_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"flow", "flow", PK_TEXT, 0},
	    {"trunk", "trunk", PK_TEXT, 0},
	    {"realm", "realm", PK_TEXT, 0},
	    {"proto", "transport", PK_TEXT, 0},
	    {"remote", "their end", PK_TEXT, 0},
	    {"local", "our end", PK_TEXT, 0},
	    {"opened_by", "opened by", PK_TEXT, 0},
	    {"up", "up", PK_TEXT, 0},
	    {"tls", "TLS", PK_TEXT, 0},
	    {"names", "they proved", PK_TEXT, 0},
	    {"expires", "their certificate expires", PK_TEXT, 0},
	    {"cert", "ours on it", PK_TEXT, 0},
	    {"our_domain", "our name on it", PK_TEXT, 0},
	    {"age_ms", "age", PK_MS, 0},
	    {"quiet_ms", "quiet for", PK_MS, 0},
	    {"rx", "messages in", PK_NUM, 0},
	    {"tx", "messages out", PK_NUM, 0},
	    {"queued", "waits to be sent", PK_BYTES, 0},
	    {"heard_ms", "last heard", PK_MS, 0},
	    {"race", "race", PK_TEXT, 0},
	    {"ping_every_ms", "pings every", PK_MS, 0},
	    {"pings", "pings", PK_NUM, 0},
	    {"pongs", "pongs", PK_NUM, 0},
	    {"ping_state", "last ping", PK_TEXT, 0},
	};
	struct netio_conn_info ci;

	if (!find_flow(r, &ci))
		return;
	ctl_set(r, "flow", flow_json(r->be, &ci));
	ctl_block(r, "flow", cols, ARRAY_LEN(cols));
	ctl_end(r);
}

void cmd_flow_close(struct ctl_req *r)
{
	struct netio_conn_info ci;
	struct net *net;
	char at[ADDR_TEXT_MAX];

	if (!find_flow(r, &ci))
		return;
	net = netio_net(r->be->net);
	net->ops->close(net, &ci.path, ctl_flag(r, "--now"));
	log_info(&r->server->log, "flow_close", "uid=%u remote=%s now=%d", r->uid, addr_text(&ci.path.remote, at),
	    ctl_flag(r, "--now"));
	ctl_say(r, "%s %s: closing%s\n", ctl_arg(r, "FLOW"), addr_text(&ci.path.remote, at),
	    ctl_flag(r, "--now") ? "" : " when what is queued has been sent");
	ctl_say(r, "the next request to that peer opens a new one\n");
	ctl_end(r);
}

/* RFC 5923 5: what may be reached over a connection that the other side opened. */
void cmd_flow_alias(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"address", "ADDRESS", PK_TEXT, 0},
	    {"port", "PORT", PK_NUM, 0},
	    {"proto", "PROTO", PK_TEXT, 0},
	    {"names", "PROVED NAMES", PK_TEXT, 0},
	    {"our_domain", "OUR DOMAIN", PK_TEXT, 1},
	    {"realm", "REALM", PK_TEXT, 2},
	    {"flow", "FLOW", PK_TEXT, 0},
	};
	uint32_t max = ctl_uint(r, "--lines", LINES), at = 0;
	json_t *rows = json_array();
	struct netio_alias_info a;
	unsigned n = 0;

	while (r->be->net && netio_alias_next(r->be->net, &at, &a)) {
		const struct pol_realm *realm = policy_realm(b2b_policy(r->be->b2b), a.realm);
		json_t *j, *names;
		char text[ADDR_TEXT_MAX];
		struct buf b;

		if (n++ >= max)
			continue;
		j = json_object();
		names = json_array();
		for (unsigned i = 0; a.who && i < a.who->n_names; i++)
			json_array_append_new(names, print_json(a.who->names[i]));
		buf_init(&b, text, sizeof(text));
		addr_put_ip(&b, &a.at);
		json_object_set_new(j, "address", print_json(buf_text(&b)));
		json_object_set_new(j, "port", json_integer(addr_port(&a.at)));
		json_object_set_new(j, "proto", print_json(net_proto_name((enum net_proto)a.proto)));
		json_object_set_new(j, "names", names);
		json_object_set_new(j, "our_domain", print_json(a.who ? a.who->local : STR_NONE));
		json_object_set_new(j, "realm", print_json(realm ? realm->name : STR_NONE));
		buf_init(&b, text, sizeof(text));
		buf_fmt(&b, "%08x", a.conn);
		json_object_set_new(j, "flow", print_json(buf_text(&b)));
		json_array_append_new(rows, j);
	}
	ctl_set(r, "total", json_integer(n));
	ctl_table(r, "aliases", rows, cols, ARRAY_LEN(cols),
	    "no connection is reused for the other direction: peers ask for it with ;alias in Via, and prove a name");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N\n", max, n);
	ctl_end(r);
}
