/* cmd_gruu.c - keys of temporary GRUUs (RFC 6140 7.1.2): which count until when, the public one for PBXs, replacing it.
 *
 * A PBX needs the public key to make temporary GRUUs for its phones. It is shown as PEM, and as one line. The private one
 * is never shown.
 */
#include "sbc/ctl/view.h"
#include "sbc/reg/gin.h"
#include "sbc/reg/reg.h"

#define GRACE_S 86400u

/* the base64 of a PEM, without its lines */
static void put_line(struct str pem, struct buf *b)
{
	struct str line;

	while (pem.n) {
		pem = str_cut(pem, '\n', &line);
		if (line.n && line.p[0] != '-')
			buf_str(b, str_trim(line));
	}
}

void cmd_gruu_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"n", "KEY", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"since_us", "SINCE", PK_WHEN, 0},
	    {"until_us", "UNTIL", PK_WHEN, 0},
	};
	char pem[2048], text[2048];
	json_t *rows = json_array();
	struct reg_key k;
	struct buf b, l;
	unsigned i = 0;

	buf_init(&b, pem, sizeof(pem) - 1);
	buf_init(&l, text, sizeof(text) - 1);
	for (; r->be->reg && reg_key_at(r->be->reg, i, &k); i++) {
		json_t *j = json_object();

		json_object_set_new(j, "n", json_integer(i + 1));
		json_object_set_new(j, "state", json_string(k.until_wall_us ? "replaced" : "in force"));
		json_object_set_new(j, "since_us", json_integer(k.since_wall_us));
		json_object_set_new(j, "until_us", k.until_wall_us ? json_integer(k.until_wall_us) : json_null());
		json_array_append_new(rows, j);
		if (!k.until_wall_us && gin_rsa_put_pem(k.rsa, false, &b) == 0)
			put_line(buf_text(&b), &l);
	}
	if (ctl_flag(r, "--pem") && !r->json) {
		json_decref(rows);
		if (!l.n)
			ctl_refuse(r, REASON_NO_SUCH, "it is made when a trunk with auth=gin or auth=register is there", "there is no key yet");
		else {
			ctl_say(r, "%s", buf_z(&b));
			ctl_end(r);
		}
		return;
	}
	ctl_set(r, "public_pem", l.n ? print_json(buf_text(&b)) : json_null());
	ctl_set(r, "public", l.n ? print_json(buf_text(&l)) : json_null());
	ctl_table(r, "keys", rows, cols, ARRAY_LEN(cols), "no key yet: it is made when a trunk registers with us");
	if (l.n)
		ctl_say(r, "public key, for PBXs that make temporary GRUUs (RSA, OAEP with SHA-256):\n%s\n", buf_z(&l));
	ctl_end(r);
}

static void rotated(void *arg, enum reason why, const char *text)
{
	struct ctl_req *r = arg;

	if (r->server && why != REASON_NONE)
		ctl_fail(r, why, "postern gruu show", "the key was not replaced: %s", text ? text : reason_info(why)->text);
	else if (r->server)
		ctl_say(r, "a new key is in force: PBXs need it (postern gruu show); the one before is read for its grace time\n");
	ctl_end(r);
	ctl_release(r);
}

void cmd_gruu_rotate(struct ctl_req *r)
{
	if (!r->be->ops->gruu_rotate) {
		ctl_refuse(r, REASON_INTERNAL, "", "nobody registers with this daemon");
		return;
	}
	ctl_hold(r);
	r->be->ops->gruu_rotate(r->be->ctx, ctl_seconds(r, "--grace", GRACE_S), rotated, r);
}
