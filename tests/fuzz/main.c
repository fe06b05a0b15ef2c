/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of a folder, and over every cut of the small ones: the normal test run needs no
 * fuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define CUTS_MAX 512 /* files up to here are cut everywhere */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* From memory of exactly the length, so that the sanitizer sees a read beyond it. */
static void one(const uint8_t *data, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void file(const char *path)
{
	uint8_t *data = malloc(FILE_MAX);
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f || !data) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, FILE_MAX, f);
	fclose(f);
	one(data, n);
	for (size_t cut = 0; n <= CUTS_MAX && cut < n; cut++)
		one(data, cut);
	free(data);
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
			snprintf(path, sizeof path, "%s/%s", argv[i], d->d_name);
			file(path);
			files++;
		}
		closedir(dir);
	}
	printf("%u files\n", files);
	return files ? 0 : 1;
}
