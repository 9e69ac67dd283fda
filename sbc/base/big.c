/* big.c - malloc for small arrays, a mapping each for large ones. */
#include "sbc/base/big.h"

#include <stdlib.h>
#include <sys/mman.h>

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void *big_alloc(size_t bytes)
{
	return bytes < BIG_BYTES ? calloc(1, bytes ? bytes : 1) : map(bytes);
}

void *big_grow(void *p, size_t bytes, size_t more)
{
	void *grown;

	if (more < BIG_BYTES) {
		grown = realloc(p, more);
		if (grown)
			memset((char *)grown + bytes, 0, more - bytes);
		return grown;
	}
	if (bytes >= BIG_BYTES) {
		grown = mremap(p, bytes, more, MREMAP_MAYMOVE);
		return grown == MAP_FAILED ? NULL : grown;
	}
	grown = map(more);
	if (!grown)
		return NULL;
	memcpy(grown, p, bytes);
	free(p);
	return grown;
}

void big_free(void *p, size_t bytes)
{
	if (p && bytes >= BIG_BYTES)
		munmap(p, bytes);
	else
		free(p);
}
