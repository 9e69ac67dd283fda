/* crypt.c - SRTP contexts on libsrtp (crypt.h).
 *
 * Happy path: one call of libsrtp per packet. Its template stream holds the keys; each SSRC is a clone of it with an
 * index and a replay window of its own.
 *
 * Opening. When a packet is not authentic, the key before is tried while the change is fresh (RFC 4568 7.1.4 leaves
 * open when the far end begins with the new one). When several in a row are not, and the policy is `auto`, the other
 * values the rollover counter may have are tried: one ahead, 0 after a renegotiation, that of the key before. Who sends
 * forged packets makes us try once in 8, 16, 32 ... packets, then once in 64. A try that fails changes nothing.
 *
 * Sealing. The index follows the sequence numbers as they come. Sources that begin another sequence (a gateway that
 * changes the far end of a call and keeps its SSRC) would go back in the index: after three packets in a row that do,
 * all that follow are renumbered to go on where the last one was.
 *
 * What can go wrong: no memory for a clone: the packet is dropped as CRYPT_BAD and the next one tries again.
 * Owner: the relay; a crypt is freed when no worker can see it any more.
 */
#include "media/crypt.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <srtp2/srtp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "media/crypt_types.h"
#include "sbc/base/be.h"

#define WINDOW 128        /* packets, RFC 3711 3.3.2: at least 64 */
#define TRY_AFTER 8       /* packets in a row that are not authentic */
#define TRY_EVERY 64
#define BEFORE_PACKETS 64 /* packets of the new key in a row, then the one before is not tried any more */
#define SEQS 4            /* SSRCs at a time whose numbers may be shifted */
#define STRAYS 3          /* packets in a row that go back: another sequence */

const struct crypt_suite_info crypt_suites[CRYPT_SUITES] = {
    [CRYPT_NONE] = {"none", NULL, 0},
    [CRYPT_CM128_80] = {"AES_CM_128_HMAC_SHA1_80", "AES_128_CM_HMAC_SHA1_80", 30},
    [CRYPT_CM128_32] = {"AES_CM_128_HMAC_SHA1_32", "AES_128_CM_HMAC_SHA1_32", 30},
    [CRYPT_CM256_80] = {"AES_256_CM_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80", 46},
    [CRYPT_CM256_32] = {"AES_256_CM_HMAC_SHA1_32", "AES_CM_256_HMAC_SHA1_32", 46},
    [CRYPT_GCM128] = {"AEAD_AES_128_GCM", NULL, 28},
    [CRYPT_GCM256] = {"AEAD_AES_256_GCM", NULL, 44},
};

/* the numbers of one SSRC that is sealed */
struct seq {
	uint32_t ssrc;
	uint16_t top;   /* highest that was sent */
	uint16_t shift; /* added to what comes */
	uint16_t stray; /* what would follow the last one that went back */
	uint8_t strays; /* in a row */
	bool used;
};

struct crypt {
	srtp_t srtp;     /* own */
	srtp_t fresh;    /* own: the same from index 0, to be tried; NULL: not needed yet */
	uint32_t ssrc;   /* of the last packet that was good: it has a stream */
	uint32_t failed; /* in a row */
	uint32_t good;   /* in a row without the key before */
	uint16_t n_ssrcs;
	uint8_t next_seq; /* entry of seq[] that goes next */
	bool seals, heard;
	_Atomic bool may_restart;
	_Atomic uint8_t guess; /* enum crypt_guess */
	_Atomic uint64_t shifted; /* ssrc << 16 | shift of the last source whose numbers are; 0: none */
	struct seq seq[SEQS];
	struct crypt_key key;
};

bool crypt_start(void)
{
	srtp_err_status_t err = srtp_init();

	/* when it ran before, it has tested everything again and refuses to load its debug module twice */
	return (err == srtp_err_status_ok || err == srtp_err_status_bad_param) && crypt_types_install();
}

/* --- sessions of libsrtp --- */

/* as it stands in packets: a number of mki_len bytes */
static void mki_of(const struct crypt_key *k, uint8_t mki[CRYPT_MKI_MAX])
{
	memset(mki, 0, CRYPT_MKI_MAX);
	for (unsigned i = 0; i < 8 && i < k->mki_len && k->mki_len <= CRYPT_MKI_MAX; i++)
		mki[k->mki_len - 1u - i] = (uint8_t)(k->mki >> (8 * i));
}

static void policy_of(const struct crypt_key *k, srtp_policy_t *p, srtp_master_key_t *master, srtp_master_key_t **keys,
    uint8_t mki[CRYPT_MKI_MAX])
{
	memset(p, 0, sizeof(*p));
	switch (k->suite) {
	case CRYPT_CM128_32:
		srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&p->rtp);
		break;
	case CRYPT_CM256_80:
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&p->rtp);
		break;
	case CRYPT_CM256_32:
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(&p->rtp);
		break;
	case CRYPT_GCM128:
		srtp_crypto_policy_set_aes_gcm_128_16_auth(&p->rtp);
		break;
	case CRYPT_GCM256:
		srtp_crypto_policy_set_aes_gcm_256_16_auth(&p->rtp);
		break;
	default:
		srtp_crypto_policy_set_rtp_default(&p->rtp);
		break;
	}
	p->rtcp = p->rtp;
	/* a short tag is for RTP alone (RFC 4568 6.2.2) */
	if (k->suite == CRYPT_CM128_32)
		srtp_crypto_policy_set_rtp_default(&p->rtcp);
	else if (k->suite == CRYPT_CM256_32)
		srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&p->rtcp);
	mki_of(k, mki);
	*master = (srtp_master_key_t){.key = (unsigned char *)(uintptr_t)k->key, .mki_id = k->mki_len ? mki : NULL,
	    .mki_size = k->mki_len};
	*keys = master;
	p->keys = keys;
	p->num_master_keys = 1;
	p->window_size = WINDOW;
}

static srtp_t session_new(const struct crypt_key *k, bool seals)
{
	uint8_t mki[CRYPT_MKI_MAX];
	srtp_master_key_t master, *keys;
	srtp_policy_t p;
	srtp_t s;

	policy_of(k, &p, &master, &keys, mki);
	p.ssrc.type = seals ? ssrc_any_outbound : ssrc_any_inbound;
	return srtp_create(&s, &p) ? NULL : s;
}

/* a stream for that SSRC whose counter begins at roc. false: no memory */
static bool stream_at(struct crypt *c, uint32_t ssrc, uint32_t roc)
{
	uint8_t mki[CRYPT_MKI_MAX];
	srtp_master_key_t master, *keys;
	srtp_policy_t p;

	policy_of(&c->key, &p, &master, &keys, mki);
	p.ssrc = (srtp_ssrc_t){.type = ssrc_specific, .value = ssrc};
	return !srtp_add_stream(c->srtp, &p) && !srtp_set_stream_roc(c->srtp, ssrc, roc);
}

static void stream_drop(struct crypt *c, uint32_t ssrc)
{
	/* the order of the bytes it wants is not the same in all versions */
	if (srtp_remove_stream(c->srtp, htonl(ssrc)))
		(void)srtp_remove_stream(c->srtp, ssrc);
}

/* false: there is no stream of that SSRC */
static bool stream_roc(const struct crypt *c, uint32_t ssrc, uint32_t *ret_roc)
{
	return c && srtp_get_stream_roc(c->srtp, ssrc, ret_roc) == srtp_err_status_ok;
}

struct crypt *crypt_new(const struct crypt_key *key, bool seals)
{
	struct crypt *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->key = *key;
	c->seals = seals;
	c->srtp = session_new(key, seals);
	if (!c->srtp) {
		crypt_free(c);
		return NULL;
	}
	return c;
}

void crypt_free(struct crypt *c)
{
	if (!c)
		return;
	if (c->srtp)
		srtp_dealloc(c->srtp);
	if (c->fresh)
		srtp_dealloc(c->fresh);
	OPENSSL_cleanse(&c->key, sizeof(c->key));
	free(c);
}

void crypt_renegotiated_any(struct crypt *c)
{
	atomic_store_explicit(&c->may_restart, true, memory_order_relaxed);
}

enum crypt_guess crypt_guess_any(const struct crypt *c)
{
	return (enum crypt_guess)atomic_load_explicit(&c->guess, memory_order_relaxed);
}

/* --- packets --- */

static enum crypt_result result_of(srtp_err_status_t err)
{
	switch (err) {
	case srtp_err_status_ok:
		return CRYPT_OK;
	case srtp_err_status_auth_fail:
	case srtp_err_status_bad_mki:
		return CRYPT_AUTH;
	case srtp_err_status_replay_fail:
	case srtp_err_status_replay_old:
	case srtp_err_status_pkt_idx_old:
		return CRYPT_REPLAY;
	case srtp_err_status_key_expired:
		return CRYPT_OVER;
	default:
		return CRYPT_BAD;
	}
}

/* Is there room for this SSRC? *ret_new: it has no stream yet. */
static bool ssrc_fits(const struct crypt *c, uint32_t ssrc, bool *ret_new)
{
	uint32_t roc;

	*ret_new = !(c->heard && c->ssrc == ssrc) && !stream_roc(c, ssrc, &roc);
	return !*ret_new || c->n_ssrcs < CRYPT_SSRC_MAX;
}

static void ssrc_heard(struct crypt *c, uint32_t ssrc, bool fresh)
{
	c->n_ssrcs = (uint16_t)(c->n_ssrcs + fresh);
	c->ssrc = ssrc;
	c->heard = true;
}

/* libsrtp looks for the MKI of SRTCP before a tag as long as that of SRTP, which it is not with a short one: here the MKI
 * is checked and taken out by us. It stands between the index and the tag. */
static enum crypt_result unprotect_short(srtp_t s, const struct crypt_key *k, uint8_t *d, size_t *n)
{
	enum { TAG = 10 };
	uint8_t mki[CRYPT_MKI_MAX], tag[TAG];
	enum crypt_result r;
	size_t at;
	int len;

	if (*n < (size_t)TAG + k->mki_len)
		return CRYPT_BAD;
	at = *n - TAG - k->mki_len;
	len = (int)(*n - k->mki_len);
	mki_of(k, mki);
	if (memcmp(d + at, mki, k->mki_len) != 0)
		return CRYPT_AUTH;
	memcpy(tag, d + at + k->mki_len, TAG);
	memcpy(d + at, tag, TAG);
	r = result_of(srtp_unprotect_rtcp_mki(s, d, &len, 0));
	if (r == CRYPT_OK) {
		*n = (size_t)len;
	} else {
		memcpy(d + at, mki, k->mki_len);
		memcpy(d + at + k->mki_len, tag, TAG);
	}
	return r;
}

static enum crypt_result unprotect(srtp_t s, const struct crypt_key *k, uint8_t *d, size_t *n, bool rtcp)
{
	int len = (int)*n;
	srtp_err_status_t err;

	if (rtcp && k->mki_len && (k->suite == CRYPT_CM128_32 || k->suite == CRYPT_CM256_32))
		return unprotect_short(s, k, d, n);
	err = rtcp ? srtp_unprotect_rtcp_mki(s, d, &len, k->mki_len != 0) : srtp_unprotect_mki(s, d, &len, k->mki_len != 0);
	if (err == srtp_err_status_ok)
		*n = (size_t)len;
	return result_of(err);
}

/* the key before, while it may still be in use */
static enum crypt_result open_before(struct crypt *c, struct crypt *before, uint32_t ssrc, uint8_t *d, size_t *n, bool rtcp)
{
	enum crypt_result r;
	bool fresh;

	if (!before || c->good >= BEFORE_PACKETS || !ssrc_fits(before, ssrc, &fresh))
		return CRYPT_AUTH;
	r = unprotect(before->srtp, &before->key, d, n, rtcp);
	if (r == CRYPT_OK) {
		ssrc_heard(before, ssrc, fresh);
		c->good = 0;
	}
	return r;
}

static bool guessed(struct crypt *c, enum crypt_guess what)
{
	atomic_store_explicit(&c->guess, (uint8_t)what, memory_order_relaxed);
	return true;
}

/* a stream that was tried with another counter and fits: from here on libsrtp counts by itself */
static bool try_roc(struct crypt *c, uint32_t ssrc, uint32_t roc, uint8_t *d, size_t *n)
{
	enum crypt_result r;

	(void)srtp_set_stream_roc(c->srtp, ssrc, roc);
	r = unprotect(c->srtp, &c->key, d, n, false);
	(void)srtp_set_stream_roc(c->srtp, ssrc, 0);
	return r == CRYPT_OK;
}

static bool try_kept(struct crypt *c, uint32_t ssrc, uint32_t roc, uint8_t *d, size_t *n)
{
	for (uint32_t r = roc; r <= roc + 1; r++) {
		if (r == 0)
			continue; /* where a new stream begins anyway */
		if (!stream_at(c, ssrc, r))
			return false;
		if (try_roc(c, ssrc, r, d, n)) {
			ssrc_heard(c, ssrc, true);
			return guessed(c, CRYPT_GUESS_KEPT);
		}
		stream_drop(c, ssrc);
	}
	return false;
}

static bool try_fresh(struct crypt *c, uint32_t ssrc, uint8_t *d, size_t *n)
{
	if (!c->fresh)
		c->fresh = session_new(&c->key, false);
	if (!c->fresh || unprotect(c->fresh, &c->key, d, n, false) != CRYPT_OK)
		return false;
	srtp_dealloc(c->srtp);
	c->srtp = c->fresh;
	c->fresh = NULL;
	c->n_ssrcs = 0;
	ssrc_heard(c, ssrc, true);
	atomic_store_explicit(&c->may_restart, false, memory_order_relaxed);
	return guessed(c, CRYPT_GUESS_RESTARTED);
}

/* The counter may be another one than the rules say. true: it is, and the packet is open. */
static bool try_others(struct crypt *c, const struct crypt *before, uint32_t ssrc, uint8_t *d, size_t *n)
{
	uint32_t roc, was;

	if (!stream_roc(c, ssrc, &roc))
		return stream_roc(before, ssrc, &was) && try_kept(c, ssrc, was, d, n);
	if (try_roc(c, ssrc, roc + 1, d, n))
		return guessed(c, CRYPT_GUESS_AHEAD);
	return roc > 0 && atomic_load_explicit(&c->may_restart, memory_order_relaxed) && try_fresh(c, ssrc, d, n);
}

enum crypt_result crypt_open_rtp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n)
{
	enum crypt_result r;
	uint32_t ssrc, roc;
	bool fresh;

	if (*n < 12)
		return CRYPT_BAD;
	ssrc = be32(d + 8);
	if (!ssrc_fits(c, ssrc, &fresh))
		return CRYPT_SSRCS;
	if (fresh && c->key.roc == CRYPT_ROC_KEEP && stream_roc(before, ssrc, &roc) && roc > 0 &&
	    try_kept(c, ssrc, roc, d, n)) {
		c->failed = 0;
		return CRYPT_OK;
	}
	r = unprotect(c->srtp, &c->key, d, n, false);
	if (r == CRYPT_OK) {
		ssrc_heard(c, ssrc, fresh);
		c->failed = 0;
		c->good++;
		return r;
	}
	/* a number that the new key had already may be one of the key before: both are asked */
	if (r != CRYPT_AUTH && r != CRYPT_REPLAY)
		return r;
	if (open_before(c, before, ssrc, d, n, false) == CRYPT_OK) {
		c->failed = 0;
		return CRYPT_OK;
	}
	c->failed++;
	if (c->key.roc == CRYPT_ROC_AUTO && c->failed >= TRY_AFTER &&
	    ((c->failed & (c->failed - 1)) == 0 || c->failed % TRY_EVERY == 0) && try_others(c, before, ssrc, d, n)) {
		c->failed = 0;
		return CRYPT_OK;
	}
	return r;
}

enum crypt_result crypt_open_rtcp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n)
{
	enum crypt_result r;
	uint32_t ssrc;
	bool fresh;

	if (*n < 8)
		return CRYPT_BAD;
	ssrc = be32(d + 4);
	if (!ssrc_fits(c, ssrc, &fresh))
		return CRYPT_SSRCS;
	r = unprotect(c->srtp, &c->key, d, n, true);
	if (r == CRYPT_OK)
		ssrc_heard(c, ssrc, fresh);
	else if (r == CRYPT_AUTH && open_before(c, before, ssrc, d, n, true) == CRYPT_OK)
		r = CRYPT_OK;
	return r;
}

static struct seq *seq_of(struct crypt *c, uint32_t ssrc)
{
	for (unsigned i = 0; i < SEQS; i++)
		if (c->seq[i].used && c->seq[i].ssrc == ssrc)
			return &c->seq[i];
	return NULL;
}

/* The first packet of an SSRC: its stream, when the counter of the key before goes on, and its numbers. */
static struct seq *seq_begin(struct crypt *c, struct crypt *before, uint32_t ssrc, uint16_t seq, bool fresh)
{
	struct seq *q = &c->seq[c->next_seq], *was = NULL;
	uint32_t roc;

	c->next_seq = (uint8_t)((c->next_seq + 1) % SEQS);
	*q = (struct seq){.ssrc = ssrc, .used = true, .top = (uint16_t)(seq - 1)};
	if (fresh && c->key.roc == CRYPT_ROC_KEEP && stream_roc(before, ssrc, &roc)) {
		was = seq_of(before, ssrc);
		if (was)
			*q = *was;
		/* this very packet may be the first after a wrap */
		roc += was && (uint16_t)(seq + was->shift) < was->top && (int16_t)(seq + was->shift - was->top) > 0;
		if (roc > 0 && stream_at(c, ssrc, roc))
			ssrc_heard(c, ssrc, true);
	}
	return q;
}

/* Does this packet go back in the sequence, and is it of another one by now? The shift is set then. */
static void seq_stray(struct seq *q, uint16_t seq)
{
	q->strays = (uint8_t)(q->strays && seq == q->stray ? q->strays + 1 : 1);
	q->stray = (uint16_t)(seq + 1);
	if (q->strays < STRAYS)
		return;
	q->shift = (uint16_t)(q->top + 1 - seq);
	q->strays = 0;
}

enum crypt_result crypt_seal_rtp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n, size_t cap)
{
	enum crypt_result r = CRYPT_REPLAY;
	uint16_t in, out, shift;
	int len = (int)*n;
	uint32_t ssrc, roc;
	struct seq *q;
	bool fresh;

	if (*n < 12 || *n + CRYPT_TAIL > cap)
		return CRYPT_BAD;
	ssrc = be32(d + 8);
	in = (uint16_t)be16(d + 2);
	if (!ssrc_fits(c, ssrc, &fresh))
		return CRYPT_SSRCS;
	q = seq_of(c, ssrc);
	if (!q) {
		q = seq_begin(c, before, ssrc, in, fresh);
		fresh = fresh && !stream_roc(c, ssrc, &roc);
	}
	shift = q->shift;
	do {
		out = (uint16_t)(in + q->shift);
		if ((int16_t)(out - q->top) > -WINDOW) {
			be16_put(d + 2, out);
			r = result_of(srtp_protect_mki(c->srtp, d, &len, c->key.mki_len != 0, 0));
			if (r != CRYPT_REPLAY)
				break;
		}
		if (shift != q->shift)
			return r; /* where it goes on was used: cannot be, top is the highest */
		seq_stray(q, in);
	} while (shift != q->shift);
	if (r != CRYPT_OK)
		return r;
	/* a counter that was set for the first packet must not stay set: libsrtp would not see the next wrap */
	if (c->key.roc == CRYPT_ROC_KEEP)
		(void)srtp_set_stream_roc(c->srtp, ssrc, 0);
	if ((int16_t)(out - q->top) > 0) {
		q->top = out;
		q->strays = 0;
	}
	if (q->shift)
		atomic_store_explicit(&c->shifted, (uint64_t)ssrc << 16 | q->shift, memory_order_relaxed);
	ssrc_heard(c, ssrc, fresh);
	*n = (size_t)len;
	return CRYPT_OK;
}

bool crypt_shift_any(const struct crypt *c, uint32_t *ret_ssrc, uint16_t *ret_shift)
{
	uint64_t v = atomic_load_explicit(&c->shifted, memory_order_relaxed);

	*ret_ssrc = (uint32_t)(v >> 16);
	*ret_shift = (uint16_t)v;
	return v != 0;
}

enum crypt_result crypt_seal_rtcp(struct crypt *c, uint8_t *d, size_t *n, size_t cap)
{
	enum crypt_result r;
	int len = (int)*n;
	uint32_t ssrc;
	bool fresh;

	if (*n < 8 || *n + CRYPT_TAIL > cap)
		return CRYPT_BAD;
	ssrc = be32(d + 4);
	if (!ssrc_fits(c, ssrc, &fresh))
		return CRYPT_SSRCS;
	r = result_of(srtp_protect_rtcp_mki(c->srtp, d, &len, c->key.mki_len != 0, 0));
	if (r == CRYPT_OK) {
		ssrc_heard(c, ssrc, fresh);
		*n = (size_t)len;
	}
	return r;
}
