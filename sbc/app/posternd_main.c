/* posternd_main.c - the daemon's command line. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/app/app.h"

static const char usage[] =
    "usage: posternd [-c FILE] [--check] [--version] [--help]\n"
    "\n"
    "The Postern SIP trunk border controller. Runs in the foreground and logs as its configuration says.\n"
    "\n"
    "  -c, --config FILE   configuration (default " CONF_FILE_DEFAULT ")\n"
    "      --check         read the configuration, say what is wrong with it, and leave\n"
    "      --version       print the version\n"
    "  -h, --help          print this\n"
    "\n"
    "Signals: TERM or INT ends it (calls get BYE first), HUP reads the configuration\n"
    "and certificates again.\n"
    "Exit codes: 0 ended as asked, 2 could not start (stderr says why), 64 wrong command line.\n"
    "Manage it with postern(1): postern status, postern trunk list, postern help.\n";

static int check(const char *file)
{
	struct conf_report report;
	struct conf *c = conf_load_file(file, &report);
	char text[4096];
	struct buf b;
	int rc = c ? report.n_warnings ? 1 : 0 : 2;

	for (unsigned i = 0; i < report.n_issues; i++) {
		buf_init(&b, text, sizeof(text) - 1);
		conf_issue_put(&b, &report, &report.issues[i]);
		fputs(buf_z(&b), stdout);
	}
	buf_init(&b, text, sizeof(text) - 1);
	conf_report_put_count(&b, &report);
	printf("%s: %s\n", file, buf_z(&b));
	conf_report_fini(&report);
	conf_unref(c);
	return rc;
}

int main(int argc, char **argv)
{
	const char *file = CONF_FILE_DEFAULT;
	bool only_check = false;
	struct app *a;
	int rc;

	for (int i = 1; i < argc; i++) {
		if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc) {
			file = argv[++i];
		} else if (strcmp(argv[i], "--check") == 0) {
			only_check = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			printf("posternd %s\n", POSTERN_VERSION);
			return 0;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		} else {
			fprintf(stderr, "posternd: unknown argument '%s'\n%s", argv[i], usage);
			return 64;
		}
	}
	if (only_check)
		return check(file);
	/* What a busy second needs is needed again in the next one: it is not given back to the kernel and asked for
	 * again page by page. */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_TOP_PAD, 1 << 20);
	a = calloc(1, sizeof(*a));
	if (!a)
		return 2;
	rc = app_start(a, &(struct app_cfg){.conf_file = file});
	if (rc == 0)
		app_run(a);
	app_stop(a);
	free(a);
	return rc;
}
