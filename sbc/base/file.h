/* file.h - small files of the kernel. */
#ifndef SBC_BASE_FILE_H
#define SBC_BASE_FILE_H

#include "sbc/base/str.h"

/* The beginning of a file of /proc or /sys, in text; empty when it cannot be read. */
struct str file_head(const char *path, char *text, size_t cap);

#endif
