/* report.h - collecting issues while a file is read; only for this folder. */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include "conf/scan.h"
#include "sbc/base/arena.h"

struct conf_report_own {
	struct arena_pool pool;
	struct arena *arena;
	char *text; /* own: copy of the file, slices of it are the source lines */
};

struct issues {
	struct conf_report_own *own; /* NULL: no memory, issues are counted only */
	const char *file;
	struct str text; /* own->text */
	struct conf_issue *list;
	unsigned n, errors, warnings;
	unsigned oom; /* something could not be kept */
};

void issues_init(struct issues *is, struct str text, const char *file);
/* Sorts, and hands everything over. */
void issues_finish(struct issues *is, struct conf_report *ret);

#endif
