/* server.h - what the socket and the requests share; only for this folder. */
#ifndef SBC_CTL_SERVER_H
#define SBC_CTL_SERVER_H

#include "sbc/ctl/proto.h"
#include "sbc/ctl/req.h"

enum { CTL_REQUESTS, CTL_MALFORMED, CTL_DENIED, CTL_TOO_MANY, CTL_STALLED, CTL_OVERRUN, CTL_COUNTS };

struct ctl_client {
	struct list node;
	struct ctl_server *server;
	uv_pipe_t pipe;
	uv_shutdown_t shutdown;
	struct proto proto;
	struct ctl_req *req;  /* running */
	struct timer timer;   /* of the request, of the queue */
	enum ctl_role role;
	uint32_t uid;
	bool closing, finished, waiting;
	/* the answer on its way: sent slice by slice as the client takes it */
	struct text out, err;
	size_t out_at;
	int code;
	bool answering;
};

struct ctl_trial_job;
/* Changes that are taken back unless somebody keeps them (trial.c). */
struct ctl_trial {
	struct db_trial now;
	struct timer timer;
	struct ctl_trial_job *job; /* reading or taking back; lives until the store has answered */
	enum reason failed;        /* its time is over, and it could not be taken back */
	char text[320];
};
#define CTL_TRIAL_MAX_S 86400
void ctl_trial_start(struct ctl_server *s);
void ctl_trial_stop(struct ctl_server *s);
void ctl_trial_news(struct ctl_server *s, const struct db_trial *now);
/* for the answer to the change that began or prolonged it */
void ctl_trial_say(struct ctl_req *r);

struct ctl_server {
	struct ctl_backend be;
	struct log log;
	uv_pipe_t pipe;
	char *path; /* own */
	struct list clients, reqs, followers;
	unsigned n_clients;
	gid_t group[4]; /* of each role; -1: there is none */
	uint64_t counts[CTL_COUNTS];
	struct metric_set metrics;
	struct ctl_log_revert reverts[LOG_AREAS];
	struct ctl_trial trial;
	bool closing, pipe_closed;
	loop_fn *closed;
	void *closed_arg;
	char read_buf[65536]; /* between on_alloc and on_read of one turn */
};

void ctl_client_send(struct ctl_client *c, char kind, struct str text, int code);
/* The whole answer; takes out and err over. The request is the client's no longer. */
void ctl_client_answer(struct ctl_client *c, struct text *out, struct text *err, int code);
void ctl_client_finish(struct ctl_client *c);
void ctl_client_close(struct ctl_client *c);

/* c->proto holds a whole request: runs it. */
void ctl_req_start(struct ctl_client *c);
/* r->client was set to NULL. */
void ctl_req_client_gone(struct ctl_req *r);

#endif
