/* view.h - pieces of answers that several commands share. */
#ifndef SBC_CTL_VIEW_H
#define SBC_CTL_VIEW_H

#include "sbc/ctl/req.h"

/* "UP", "DEGRADED", "DOWN", "UNRESOLVED", "DISABLED", "DRAINING"; *ret_level 0..2 */
const char *view_trunk_state(const struct ctl_backend *be, const struct pol_trunk *t, int *ret_level);
json_t *view_trunk(const struct ctl_backend *be, const struct policy *p, const struct pol_trunk *t);
/* all, or those of a realm */
json_t *view_trunks(const struct ctl_backend *be, const struct policy *p, const char *realm);
#define VIEW_TRUNK_COLS 11
extern const struct print_col view_trunk_cols[VIEW_TRUNK_COLS];

/* names of routes, one a line */
void view_route_names(struct ctl_req *r);

#define VIEW_NET_MAX (ADDR_TEXT_MAX + 4)
const char *view_net(const struct addr_net *net, char text[VIEW_NET_MAX]);

/* "PSN-E2104"; "-" */
json_t *view_code(enum reason r);
/* "udp 192.0.2.1:5060" */
json_t *view_peer(uint8_t proto, const struct addr *a);

#endif
