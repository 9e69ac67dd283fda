/* tls.h - certificates while the daemon runs: loading, watching, swapping (only for this folder). */
#ifndef SBC_APP_TLS_H
#define SBC_APP_TLS_H

#include "conf/conf.h"
#include "sbc/ctl/ctl.h"
#include "sbc/net/tls.h"

struct app;
struct app_tls;

/* Loads what the running configuration names, at once: for the start, before there is anybody to wait. NULL with *err.
 * Before the sockets, which take what app_tls_store() says. */
struct app_tls *app_tls_new(struct app *a, struct tls_error *err);
/* In force; borrow. NULL before app_tls_new() has returned. */
struct tls_store *app_tls_store(const struct app *a);
/* closed(arg) on a later turn, or from inside when nothing is under way. */
void app_tls_free(struct app_tls *t, loop_fn *closed, void *arg);

/* ctl_ops */
const struct ctl_tls *app_tls_view(void *ctx);
void app_tls_reload(void *ctx, ctl_done_fn *done, void *arg);

/* For a reload of the configuration file: loads the certificates of c, then `then` on the loop. store NULL: err says
 * why. done and arg are handed through. What `then` takes into force it says by app_tls_conf_taken(). */
typedef void app_tls_then_fn(struct app *a, struct conf *c, struct tls_store *store, const struct tls_error *err,
    ctl_done_fn *done, void *arg);
void app_tls_load_conf(struct app *a, struct conf *c, app_tls_then_fn *then, ctl_done_fn *done, void *arg);
/* a->conf is the new one, and its certificates are these. */
void app_tls_conf_taken(struct app *a, struct tls_store *s);

#endif
