/* password.h - is a password fit to guard a trunk (PWD-01)? */
#ifndef SBC_AUTH_PASSWORD_H
#define SBC_AUTH_PASSWORD_H

#include "sbc/base/buf.h"
#include "sbc/base/rng.h"

#define PASSWORD_MIN 12
#define PASSWORD_MAX 128

/* NULL: it is; else what is wrong with it (static text). user: of the credential; names: other words that must not be
 * in it, as the trunk's name and its numbers. */
const char *password_weak(struct str password, struct str user, const struct str *names, unsigned n_names);
/* 24 characters, 120 bits. */
void password_make(struct rng *rng, struct buf *ret);

#endif
