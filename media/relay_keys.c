/* relay_keys.c - the keys of programs: made, kept while they stay the same, handed from worker to worker.
 *
 * Happy path: a program names two keys, as plain values. Those that the program before it had go on as they are, with
 * their indices and replay windows: nothing restarts because of a hold or a refresh. A new key of the far end has the one
 * before beside it for a while. Keys belong to programs; when the last program with a key is freed, so is the key.
 *
 * A key is used by one worker: the one of the pair that packets come in at. When a stream moves to a pair of another
 * worker, the programs that used the key there are stopped, and the key notes that worker's epoch: the new worker takes it
 * once that one has been at its quiet point. Packets in between are dropped (srtp_unusable); usually there is none.
 *
 * A key that comes back - a change that failed, a stream that was away for a moment - is the one that was there, with its
 * indices: no index may be used twice (RFC 3711 9.1). So the key before stays beside a new one, and a pair without a program
 * keeps the keys of the last one.
 *
 * What can go wrong: no memory; then the program that is published stays.
 */
#include <stdlib.h>

#include "media/relay_impl.h"

struct relay_pair *relay_feeder(const struct relay_pair *out)
{
	return out && !list_empty(&out->feeders) ? container_of(out->feeders.next, struct relay_pair, feeds) : NULL;
}

static struct relay_keys *keys_of(const struct relay_pair *in)
{
	const struct relay_prog *g = in ? atomic_load_explicit(&in->prog, memory_order_relaxed) : NULL;

	return g ? g->keys : NULL;
}

static struct relay_key *ref(struct relay_key *k)
{
	if (k)
		k->refs++;
	return k;
}

static void unref(struct relay_key *k)
{
	if (!k || --k->refs)
		return;
	crypt_free(k->c);
	explicit_bzero(&k->key, sizeof(k->key));
	free(k);
}

static bool same_key(const struct relay_key *k, const struct crypt_key *want)
{
	return k && memcmp(&k->key, want, sizeof(*want)) == 0;
}

static struct relay_key *key_new(const struct crypt_key *want, bool seals, struct relay_worker *worker)
{
	struct relay_key *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->c = crypt_new(want, seals);
	if (!k->c) {
		free(k);
		return NULL;
	}
	k->key = *want;
	k->refs = 1;
	k->worker = worker;
	return k;
}

static struct relay_worker *worker_of(const struct relay_pair *p)
{
	struct relay *r = p->range->relay;

	return r->n_workers ? &r->worker[p->worker] : NULL;
}

void relay_keys_free(struct relay_keys *k)
{
	if (!k)
		return;
	unref(k->open);
	unref(k->open_before);
	unref(k->seal);
	unref(k->seal_before);
	unref(k->open_rtcp);
	unref(k->seal_rtcp);
	free(k);
}

/* Reports with keys of their own (RFC 5764 5.1.2): made by a handshake, so there is none that comes back. NULL: none, or no
 * memory. */
static struct relay_key *rtcp_key(struct relay_key *had, const struct crypt_key *want, bool seals, struct relay_worker *w)
{
	if (want->suite == CRYPT_NONE)
		return NULL;
	return same_key(had, want) ? ref(had) : key_new(want, seals, w);
}

enum reason relay_keys_make(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog,
    struct relay_keys **ret)
{
	const struct relay_keys *had = keys_of(in), *fed = keys_of(relay_feeder(out));
	struct relay_worker *w = worker_of(in);
	struct relay_keys *k;

	*ret = NULL;
	if ((prog->open.suite == CRYPT_NONE && prog->seal.suite == CRYPT_NONE && prog->open_rtcp.suite == CRYPT_NONE &&
	        prog->seal_rtcp.suite == CRYPT_NONE) ||
	    !in->range->relay->n_workers)
		return REASON_NONE;
	if (!had)
		had = in->rest ? in->rest : keys_of(prog->in_before);
	if (!fed)
		fed = in->rest ? in->rest : keys_of(relay_feeder(prog->out_before));
	k = calloc(1, sizeof(*k));
	if (!k)
		return REASON_NO_MEMORY;
	if (prog->open.suite != CRYPT_NONE) {
		if (had && same_key(had->open, &prog->open) && !prog->renew) {
			k->open = ref(had->open);
			k->open_before = ref(had->open_before);
			crypt_renegotiated_any(k->open->c);
		} else if (had && same_key(had->open_before, &prog->open) && !prog->renew) {
			k->open = ref(had->open_before);
			k->open_before = ref(had->open);
		} else {
			k->open = key_new(&prog->open, false, w);
			k->open_before = had ? ref(had->open) : NULL;
		}
	}
	if (prog->seal.suite != CRYPT_NONE) {
		if (fed && same_key(fed->seal, &prog->seal)) {
			k->seal = ref(fed->seal);
			k->seal_before = ref(fed->seal_before);
		} else if (fed && same_key(fed->seal_before, &prog->seal)) {
			k->seal = ref(fed->seal_before);
			k->seal_before = ref(fed->seal);
		} else {
			k->seal = key_new(&prog->seal, true, w);
			k->seal_before = fed ? ref(fed->seal) : NULL;
		}
	}
	k->open_rtcp = rtcp_key(had ? had->open_rtcp : NULL, &prog->open_rtcp, false, w);
	k->seal_rtcp = rtcp_key(fed ? fed->seal_rtcp : NULL, &prog->seal_rtcp, true, w);
	if ((prog->open.suite != CRYPT_NONE && !k->open) || (prog->seal.suite != CRYPT_NONE && !k->seal) ||
	    (prog->open_rtcp.suite != CRYPT_NONE && !k->open_rtcp) || (prog->seal_rtcp.suite != CRYPT_NONE && !k->seal_rtcp)) {
		relay_keys_free(k);
		return REASON_NO_MEMORY;
	}
	*ret = k;
	return REASON_NONE;
}

void relay_keys_rest(struct relay_pair *in)
{
	const struct relay_keys *had = keys_of(in);
	struct relay_keys *k = had ? calloc(1, sizeof(*k)) : NULL;

	if (!k) /* without memory a far end has to live with what a new context does */
		return;
	*k = (struct relay_keys){ref(had->open), ref(had->open_before), ref(had->seal), ref(had->seal_before), ref(had->open_rtcp),
	    ref(had->seal_rtcp)};
	relay_keys_free(in->rest);
	in->rest = k;
}

static bool moves(const struct relay_key *k, const struct relay_worker *to)
{
	return k && k->worker != to;
}

static void hand_over(struct relay_key *k, struct relay_worker *to)
{
	const struct relay_worker *from;

	if (!moves(k, to))
		return;
	from = k->worker;
	k->worker = to;
	atomic_store(&k->after, RELAY_AFTER(from - from->relay->worker, atomic_load(&from->epoch)));
}

void relay_keys_take(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog, struct relay_keys *k)
{
	struct relay_worker *w = worker_of(in);
	struct relay_pair *others[] = {prog->in_before, relay_feeder(out), relay_feeder(prog->out_before)};

	if (!moves(k->open, w) && !moves(k->open_before, w) && !moves(k->seal, w) && !moves(k->seal_before, w) &&
	    !moves(k->open_rtcp, w) && !moves(k->seal_rtcp, w))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (others[i] && others[i] != in && keys_of(others[i]))
			relay_program_clear(others[i]);
	hand_over(k->open, w);
	hand_over(k->open_before, w);
	hand_over(k->seal, w);
	hand_over(k->seal_before, w);
	hand_over(k->open_rtcp, w);
	hand_over(k->seal_rtcp, w);
}

void relay_keys_stats(const struct relay_pair *p, struct media_stats *ret)
{
	const struct relay_keys *in = keys_of(p), *out = keys_of(relay_feeder(p));

	if (in && in->open) {
		ret->rx_suite = in->open->key.suite;
		ret->rx_guess = (uint8_t)crypt_guess_any(in->open->c);
	}
	if (out && out->seal)
		ret->tx_suite = out->seal->key.suite;
}
