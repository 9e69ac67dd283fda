/* password.c - the passwords that get trunks stolen: short ones, the extension itself, a few thousand calls to
 * expensive places later. "300/300" is the classic.
 */
#include "sbc/auth/password.h"

static const char *const common[] = {"password", "passw0rd", "passwort", "secret", "geheim", "letmein", "welcome", "admin",
    "asterisk", "freepbx", "freeswitch", "kamailio", "postern", "trunk", "telefon", "telephone", "voip", "sip", "qwerty",
    "qwertz", "abcdef", "abc123", "123456", "654321", "111111", "000000", "changeme", "default", "test", "demo"};

static struct str lower(struct str s, char *text)
{
	for (size_t i = 0; i < s.n; i++)
		text[i] = chr_lower(s.p[i]);
	return str_n(text, s.n);
}

/* How much is left when every common word and every run of one character is taken out. */
static size_t own_part(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n;) {
		size_t skip = 0;

		for (size_t k = 0; k < ARRAY_LEN(common); k++) {
			struct str w = str_z(common[k]);

			if (w.n > skip && str_prefix(str_from(s, i), w))
				skip = w.n;
		}
		if (i >= 2 && s.p[i] == s.p[i - 1] && s.p[i] == s.p[i - 2])
			skip = skip ? skip : 1;
		if (i >= 2 && s.p[i] - s.p[i - 1] == 1 && s.p[i - 1] - s.p[i - 2] == 1) /* 123, abc */
			skip = skip ? skip : 1;
		n += skip == 0;
		i += skip ? skip : 1;
	}
	return n;
}

static unsigned kinds(struct str s)
{
	char seen[PASSWORD_MAX];
	unsigned n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (n && memchr(seen, s.p[i], n))
			continue;
		seen[n++] = s.p[i];
	}
	return n;
}

const char *password_weak(struct str password, struct str user, const struct str *names, unsigned n_names)
{
	char text[PASSWORD_MAX], word[PASSWORD_MAX];
	struct str p;

	if (password.n > PASSWORD_MAX)
		return "it is longer than 128 characters";
	for (size_t i = 0; i < password.n; i++)
		if ((unsigned char)password.p[i] < ' ' || password.p[i] == 0x7f)
			return "it holds a control character";
	p = lower(password, text);
	if (user.n && user.n <= sizeof(word) && str_eq(p, lower(user, word)))
		return "it is the user name";
	if (password.n < PASSWORD_MIN)
		return "it is shorter than 12 characters";
	if (user.n >= 3 && user.n <= sizeof(word) && str_find(p, lower(user, word)) >= 0 && password.n - user.n < 8)
		return "it is little more than the user name";
	for (unsigned i = 0; i < n_names; i++)
		if (names[i].n >= 3 && names[i].n <= sizeof(word) && str_find(p, lower(names[i], word)) >= 0 &&
		    password.n - names[i].n < 8)
			return "it is little more than the trunk's name or number";
	if (kinds(p) < 6)
		return "it is made of a few characters only";
	if (own_part(p) < 8)
		return "it is made of words and rows that everybody tries first";
	return NULL;
}

void password_make(struct rng *rng, struct buf *ret)
{
	rng_put_token(rng, ret, 24);
}
