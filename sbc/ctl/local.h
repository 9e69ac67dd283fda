/* local.h - commands that the client answers itself; only for this folder. */
#ifndef SBC_CTL_LOCAL_H
#define SBC_CTL_LOCAL_H

#include "sbc/ctl/print.h"
#include "sbc/ctl/table.h"

struct local {
	struct ctl_args args;
	struct ctl_global global;
	struct print_opts view;
	struct text out, err;
	json_t *data; /* own */
	int code;
	/* version of the running daemon into ret, "" when it cannot be reached */
	void (*daemon_version)(struct local *l, char *ret, size_t cap);
};

typedef void local_handler(struct local *l);
/* NULL for commands of the daemon */
local_handler *local_find(enum ctl_cmd_id id);

#endif
