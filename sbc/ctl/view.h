/* view.h - pieces of answers that several commands share. */
#ifndef SBC_CTL_VIEW_H
#define SBC_CTL_VIEW_H

#include "sbc/ctl/req.h"
#include "sbc/net/locate.h"

/* "UP", "DEGRADED", "DOWN", "UNRESOLVED", "DISABLED", "DRAINING"; *ret_level 0..2 */
const char *view_trunk_state(const struct ctl_backend *be, const struct pol_trunk *t, int *ret_level);
json_t *view_trunk(const struct ctl_backend *be, const struct policy *p, const struct pol_trunk *t);
/* all, or those of a realm */
json_t *view_trunks(const struct ctl_backend *be, const struct policy *p, const char *realm);
#define VIEW_TRUNK_COLS 11
extern const struct print_col view_trunk_cols[VIEW_TRUNK_COLS];

/* names of routes, one a line */
void view_route_names(struct ctl_req *r);

/* "+49301234500..+49301234599", or one number */
void view_range(struct buf *b, const struct db_number *n);
/* "acme", "acme@2", "acme@2*10": where a route leads. Reading: BAD_VALUE, NO_SUCH; on the store thread. */
void view_via(struct text *t, const struct db_rows *rows, const struct db_route_via *via);
enum reason view_read_via(struct db_handle *h, struct str s, struct db_route_via *ret, struct db_err *err);
/* "+49*", "112", "*"; what: its name for the error. BAD_VALUE; *ret borrows v. */
enum reason view_read_pattern(const char *what, struct str v, struct str *ret, struct db_err *err);

#define VIEW_NET_MAX (ADDR_TEXT_MAX + 4)
const char *view_net(const struct addr_net *net, char text[VIEW_NET_MAX]);

/* "PSN-E2104"; "-" */
json_t *view_code(enum reason r);
/* "udp 192.0.2.1:5060" */
json_t *view_peer(uint8_t proto, const struct addr *a);

/* Reads "sip:host:port;transport=tls", "sips:host", "host", "host:port"; NULL, or what is wrong with it. */
const char *view_dest(struct str s, struct locate_dest *ret);
/* Which transports and families the realm has listeners for. */
void view_realm_can(const struct ctl_backend *be, unsigned realm, struct locate_dest *ret);
/* a row for each address of a plan */
json_t *view_plan(const struct locate_plan *p);
/* "naptr, 3 servers, 4 addresses, asked again in 250 s" */
void view_plan_head(struct text *t, const struct locate_plan *p, int64_t now_us);
/* NULL: no TLS */
const struct ctl_tls *view_tls(const struct ctl_backend *be);
/* "in 83 d", "2 d ago" */
void view_expiry(struct text *t, int64_t not_after_us, int64_t now_us);
/* 0 well, 1 within warn_days, 2 within a week or over */
int view_expiry_level(int64_t not_after_us, int64_t now_us, unsigned warn_days);
/* Everything that `status` finds; trunks as view_trunks() made them. */
void view_findings(struct ctl_req *r, const json_t *trunks);
/* findings of `status` about certificates */
void view_tls_findings(struct ctl_req *r);
/* findings about what we register at providers */
void view_reg_findings(struct ctl_req *r);
/* finding of `status` about changes on trial */
void view_trial_finding(struct ctl_req *r);
void view_unconfirmed(struct ctl_req *r); /* findings: numbers that their provider did not confirm */
void view_reg_numbers(struct ctl_req *r, const struct pol_trunk *t); /* how each is registered (auth=numbers) */
/* findings of `status` about names */
void view_dns_findings(struct ctl_req *r);

#endif
