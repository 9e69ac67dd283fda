/* event.c - Event and Subscription-State. A header that may stand once is not guessed at when it stands twice. */
#include "sbc/sip/event.h"

#include <errno.h>

#include "sbc/sip/chars.h"

const char *const sip_subwhy_names[SIP_SUBWHYS] = {
    "", "deactivated", "probation", "rejected", "timeout", "giveup", "noresource", "invariant", "other"};

static bool token(struct str s)
{
	return s.n > 0 && sip_all(s, SIP_C_TOKEN);
}

/* The only value of that header: its first word, and its parameters. */
static int single(const struct sip_msg *m, enum sip_hdr_id id, struct str *ret_word, struct str *ret_params)
{
	const struct sip_hdr *h = sip_hdr(m, id);
	struct str word, params;

	if (!h)
		return -ENOENT;
	if (sip_hdr_next(m, h))
		return -EBADMSG;
	params = str_cut(h->value, ';', &word);
	word = str_trim(word);
	if (!token(word))
		return -EBADMSG;
	*ret_word = word;
	*ret_params = params;
	return 0;
}

int sip_event(const struct sip_msg *m, struct sip_event *ret)
{
	struct sip_event e = {0};
	struct str params, id;
	int err = single(m, SIP_H_EVENT, &e.package, &params);

	if (err < 0)
		return err;
	if (sip_param_get(params, S("id"), &id)) {
		if (!token(id))
			return -EBADMSG;
		e.id = id;
	}
	*ret = e;
	return 0;
}

bool sip_event_eq(const struct sip_event *a, const struct sip_event *b)
{
	return str_eq(a->package, b->package) && str_eq(a->id, b->id);
}

void sip_put_event(struct buf *b, const struct sip_event *e)
{
	buf_str(b, e->package);
	if (e->id.n) {
		buf_lit(b, ";id=");
		buf_str(b, e->id);
	}
}

/* true: there is such a parameter and it is a number */
static int seconds(struct str params, struct str name, bool *ret_has, uint32_t *ret)
{
	struct str v;
	int e;

	*ret_has = sip_param_get(params, name, &v);
	if (!*ret_has)
		return 0;
	e = str_u32(v, UINT32_MAX, ret);
	if (e == -ERANGE)
		*ret = UINT32_MAX;
	return e == -EINVAL ? -EBADMSG : 0;
}

int sip_substate(const struct sip_msg *m, struct sip_substate_value *ret)
{
	struct sip_substate_value v = {.state = SIP_SUB_OTHER};
	struct str params, why;
	int err = single(m, SIP_H_SUBSCRIPTION_STATE, &v.state_text, &params);

	if (err < 0)
		return err;
	if (str_ieq(v.state_text, S("active")))
		v.state = SIP_SUB_ACTIVE;
	else if (str_ieq(v.state_text, S("pending")))
		v.state = SIP_SUB_PENDING;
	else if (str_ieq(v.state_text, S("terminated")))
		v.state = SIP_SUB_TERMINATED;
	if (sip_param_get(params, S("reason"), &why)) {
		v.why = SIP_SUBWHY_OTHER;
		for (unsigned i = SIP_SUBWHY_DEACTIVATED; i < SIP_SUBWHY_OTHER; i++)
			if (str_ieq(why, str_z(sip_subwhy_names[i])))
				v.why = (enum sip_subwhy)i;
	}
	err = seconds(params, S("expires"), &v.has_expires, &v.expires_s);
	if (err == 0)
		err = seconds(params, S("retry-after"), &v.has_retry, &v.retry_s);
	if (err < 0)
		return err;
	*ret = v;
	return 0;
}
