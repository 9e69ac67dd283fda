/* file.c - small files of the kernel (file.h). */
#include "sbc/base/file.h"

#include <fcntl.h>
#include <unistd.h>

struct str file_head(const char *path, char *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return STR_NONE;
	n = read(fd, text, cap);
	close(fd);
	return str_n(text, n > 0 ? (size_t)n : 0);
}
