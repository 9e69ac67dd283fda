/* room.c - the room itself: realms and their addresses, the relay, memory that calls share.
 *
 * One for the process, made before the first call and freed after the last. What goes wrong: a realm that the relay
 * cannot serve, or no memory; then there is no room, and the reason is the relay's.
 */
#include "media/session.h"

#include <stdlib.h>

#define EXCHANGE_CHUNK 4096

static bool realms_copy(struct media *m, const struct media_cfg *cfg)
{
	m->realms = calloc(cfg->n_realms ? cfg->n_realms : 1, sizeof(*m->realms));
	if (!m->realms)
		return false;
	m->n_realms = cfg->n_realms;
	for (unsigned i = 0; i < cfg->n_realms; i++) {
		const struct media_realm_cfg *r = &cfg->realms[i];

		if (!addr_none(&r->ip4))
			m->realms[i].v4 = addr_none(&r->advertise4) ? r->ip4 : r->advertise4;
		if (!addr_none(&r->ip6))
			m->realms[i].v6 = addr_none(&r->advertise6) ? r->ip6 : r->advertise6;
	}
	return true;
}

struct media *media_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason)
{
	struct media *m = calloc(1, sizeof(*m));
	enum reason reason = REASON_NO_MEMORY;

	if (!m)
		goto fail;
	m->env = env;
	m->log = (struct log){.to = env->logger, .area = LOG_MEDIA};
	m->max_streams = cfg->max_streams ? cfg->max_streams : 16;
	if (m->max_streams > 64)
		m->max_streams = 64;
	arena_pool_init(&m->exchanges, EXCHANGE_CHUNK, 256);
	m->text = malloc(MEDIA_TEXT);
	if (!m->text || !realms_copy(m, cfg))
		goto fail;
	m->dtls = dtls_room_new(env, cfg->dtls_workers, cfg->loop != NULL);
	if (!m->dtls)
		goto fail;
	m->relay = relay_new(env, cfg, &reason);
	if (!m->relay)
		goto fail;
	return m;
fail:
	*ret_reason = reason;
	media_free(m);
	return NULL;
}

void media_free(struct media *m)
{
	if (!m)
		return;
	relay_free(m->relay);
	dtls_room_free(m->dtls);
	arena_pool_fini(&m->exchanges);
	free(m->realms);
	free(m->text);
	free(m);
}

const struct addr *media_realm_addr(const struct media *m, unsigned realm, int family)
{
	static const struct addr none = {.sa = {.sa_family = AF_UNSPEC}};

	if (realm >= m->n_realms)
		return &none;
	return family == AF_INET6 ? &m->realms[realm].v6 : &m->realms[realm].v4;
}

bool media_port_use(const struct media *m, unsigned realm, struct media_port_use *ret)
{
	return relay_port_use(m->relay, realm, ret);
}

enum reason media_capture_start(struct media *m)
{
	return relay_capture_start(m->relay);
}

void media_captured(const struct media *m, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx)
{
	relay_captured(m->relay, key, fn, ctx);
}

unsigned media_call_count(const struct media *m)
{
	return m->n_calls;
}

unsigned media_pairs_in_use(const struct media *m)
{
	return relay_pairs_in_use(m->relay);
}
