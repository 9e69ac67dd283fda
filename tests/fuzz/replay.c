/* replay.c - runs a fuzz target over the files of the folders it is given, as a plain test.
 *
 * Each file is given whole and, for the first kilobyte, cut behind each byte; always in a block of its exact
 * size, so that AddressSanitizer sees the first byte read too far. Fails when there is nothing to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void run(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int run_file(const char *path)
{
	static const size_t max = 1 << 20;
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	size_t n;

	if (!f)
		return -1;
	p = malloc(max);
	if (!p)
		abort();
	n = fread(p, 1, max, f);
	fclose(f);
	for (size_t cut = 0; cut < n && cut < 1024; cut++)
		run(p, cut);
	run(p, n);
	free(p);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned files = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *d;

		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((d = readdir(dir))) {
			char path[4096];

			if (d->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], d->d_name);
			if (run_file(path) < 0) {
				perror(path);
				return 1;
			}
			files++;
		}
		closedir(dir);
	}
	printf("%u inputs\n", files);
	return files ? 0 : 1;
}
