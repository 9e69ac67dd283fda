/* relay_up.c - from workers up to the signalling thread: datagrams that are no media (DTLS), and digits.
 *
 * Happy path: a worker finds DTLS from where its program allows, puts a copy in its ring and posts to the loop, unless that is
 * on its way already. The loop empties all rings and tells whoever listens at the pair.
 *
 * Bounds: a ring has RELAY_UP_SLOTS datagrams, of one pair RELAY_UP_PAIR; what is more is dropped, and DTLS says it again. A
 * pair that expects a hello before its program takes one of it, and no other thing.
 *
 * The post outlives the relay when it comes after its end: then it frees itself.
 */
#include "media/relay_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "media/dtls.h"
#include "media/rtp.h"
#include "sbc/loop/loop.h"

#define RELAY_UP_SLOTS 64 /* a power of two */
#define RELAY_UP_PAIR 16  /* a flight that is repeated, message by message, and a bit */

struct relay_up_slot {
	struct relay_pair *pair;
	struct addr from;
	uint16_t n;
	uint8_t sock;
	bool event; /* d[0], of n ms */
	uint8_t d[DTLS_DATAGRAM_MAX];
};

/* One writer (its worker) and one reader (signalling). */
struct relay_up {
	alignas(64) _Atomic uint32_t head; /* read so far */
	alignas(64) _Atomic uint32_t tail; /* written so far */
	struct relay_up_slot slot[RELAY_UP_SLOTS];
};

struct relay_post {
	struct loop *loop;
	struct relay *relay;  /* NULL: it has gone; signalling */
	_Atomic bool posted;
};

/* Who listens at a pair, and the hello that came before. Signalling. */
struct relay_ear {
	relay_listen_fn *fn;
	void *ctx;
	relay_event_fn *on_event;
	void *event_ctx;
	struct addr from;
	uint16_t n; /* of d; 0: none came */
	uint8_t sock;
	uint8_t d[DTLS_DATAGRAM_MAX];
};

/* --- workers --- */

static void told(void *arg);

/* the next slot of the ring; NULL: there is none for that pair */
static struct relay_up_slot *room_for(struct relay_worker *w, const struct relay_pair *p)
{
	struct relay_up *up = w->up;
	uint32_t tail;

	if (!up)
		return NULL;
	tail = atomic_load_explicit(&up->tail, memory_order_relaxed);
	if (tail - atomic_load_explicit(&up->head, memory_order_acquire) == RELAY_UP_SLOTS ||
	    atomic_load_explicit(&p->up, memory_order_relaxed) >= RELAY_UP_PAIR)
		return NULL;
	return &up->slot[tail % RELAY_UP_SLOTS];
}

static void send_up(struct relay_worker *w, struct relay_pair *p)
{
	struct relay_post *post = w->relay->post;

	atomic_fetch_add_explicit(&p->up, 1, memory_order_relaxed);
	atomic_store_explicit(&w->up->tail, atomic_load_explicit(&w->up->tail, memory_order_relaxed) + 1, memory_order_release);
	if (!atomic_exchange(&post->posted, true) && loop_post_any(post->loop, told, post) < 0)
		atomic_store(&post->posted, false); /* the next one tries again */
}

bool relay_up_event(struct relay_worker *w, struct relay_pair *p, uint8_t event, uint16_t ms)
{
	struct relay_up_slot *s = room_for(w, p);

	if (!s)
		return false;
	s->pair = p;
	s->event = true;
	s->d[0] = event;
	s->n = ms;
	send_up(w, p);
	return true;
}

bool relay_up_put(struct relay_worker *w, struct relay_pair *p, unsigned sock, const uint8_t *d, size_t n, const struct addr *from)
{
	struct relay_up_slot *s = n <= DTLS_DATAGRAM_MAX ? room_for(w, p) : NULL;

	if (!s)
		return false;
	s->event = false;
	s->pair = p;
	s->from = *from;
	s->n = (uint16_t)n;
	s->sock = (uint8_t)sock;
	if (n)
		memcpy(s->d, d, n);
	send_up(w, p);
	return true;
}

/* --- the signalling thread --- */

static void hear(struct relay_pair *p, const struct relay_up_slot *s)
{
	struct relay_ear *ear = p->ear;

	if (!ear)
		return;
	if (s->event) {
		if (ear->on_event)
			ear->on_event(ear->event_ctx, p, s->d[0], s->n);
		return;
	}
	if (ear->fn) {
		ear->fn(ear->ctx, s->sock, &s->from, s->d, s->n);
	} else if (atomic_load(&p->expects)) {
		ear->from = s->from;
		ear->sock = s->sock;
		ear->n = s->n;
		memcpy(ear->d, s->d, s->n);
		atomic_store(&p->expects, false);
	}
}

static void told(void *arg)
{
	struct relay_post *post = arg;
	struct relay *r = post->relay;

	if (!r) {
		free(post);
		return;
	}
	/* what is put from here on posts again */
	atomic_store(&post->posted, false);
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct relay_up *up = r->worker[i].up;
		uint32_t tail = atomic_load_explicit(&up->tail, memory_order_acquire);
		uint32_t head = atomic_load_explicit(&up->head, memory_order_relaxed);

		for (; head != tail; head++) {
			struct relay_up_slot *s = &up->slot[head % RELAY_UP_SLOTS];

			atomic_fetch_sub_explicit(&s->pair->up, 1, memory_order_relaxed);
			hear(s->pair, s);
			atomic_store_explicit(&up->head, head + 1, memory_order_release);
		}
	}
}

static bool have_ear(struct relay_pair *p)
{
	if (!p->ear)
		p->ear = calloc(1, sizeof(*p->ear));
	return p->ear != NULL;
}

void relay_pair_listen(struct relay_pair *p, relay_listen_fn *fn, void *ctx)
{
	uint16_t n;

	if (!p->range->relay->post || !have_ear(p))
		return;
	p->ear->fn = fn;
	p->ear->ctx = ctx;
	atomic_store(&p->expects, false);
	n = p->ear->n;
	p->ear->n = 0;
	if (fn && n)
		fn(ctx, p->ear->sock, &p->ear->from, p->ear->d, n);
}

void relay_pair_on_event(struct relay_pair *p, relay_event_fn *fn, void *ctx)
{
	if (!p->range->relay->post || !have_ear(p))
		return;
	p->ear->on_event = fn;
	p->ear->event_ctx = ctx;
}

void relay_pair_unlisten(struct relay_pair *p, const void *ctx)
{
	if (p->ear && p->ear->ctx == ctx)
		relay_pair_listen(p, NULL, NULL);
}

void relay_pair_expect(struct relay_pair *p)
{
	if (p->range->relay->post && have_ear(p) && !p->ear->fn && !p->ear->n)
		atomic_store(&p->expects, true);
}

void relay_up_forget(struct relay_pair *p)
{
	atomic_store(&p->expects, false);
	free(p->ear);
	p->ear = NULL;
}

void relay_pair_send(struct relay_pair *p, unsigned sock, const struct addr *to, const uint8_t *d, size_t n)
{
	struct relay_flow *f = atomic_load(&p->flow);

	if (p->fd[sock] < 0 || sendto(p->fd[sock], d, n, MSG_DONTWAIT, &to->sa, addr_len(to)) >= 0)
		return;
	/* the error may be of a packet before: this one has not gone out; once more, then the far end asks again */
	if (sendto(p->fd[sock], d, n, MSG_DONTWAIT, &to->sa, addr_len(to)) < 0 && f)
		atomic_fetch_add_explicit(&f->drops[RELAY_DROP_SEND], 1, memory_order_relaxed);
}

int relay_up_init(struct relay *r, struct loop *loop)
{
	r->post = calloc(1, sizeof(*r->post));
	if (!r->post)
		return -ENOMEM;
	r->post->loop = loop;
	r->post->relay = r;
	for (unsigned i = 0; i < r->n_workers; i++) {
		r->worker[i].up = aligned_alloc(alignof(struct relay_up), sizeof(*r->worker[i].up));
		if (!r->worker[i].up)
			return -ENOMEM; /* relay_up_fini() takes the rest */
		memset(r->worker[i].up, 0, sizeof(*r->worker[i].up));
	}
	return 0;
}

void relay_up_fini(struct relay *r)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		free(r->worker[i].up);
	if (!r->post)
		return;
	r->post->relay = NULL;
	if (!atomic_load(&r->post->posted))
		free(r->post);
	r->post = NULL;
}
