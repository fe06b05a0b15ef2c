/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file's reader. Without libFuzzer the seeds named on the command line are replayed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/config.h"

static const struct fl_option options[] = {
	{"store", 's', "store", FL_OPT_STRING, "DIR", "./d", NULL, "S.", 0},
	{"journal-size", 0, "journal.max_size", FL_OPT_SIZE, "SIZE", "1GiB", NULL, "J.", 0},
	{"exclude", 0, "interfaces.exclude", FL_OPT_LIST, "P", NULL, NULL, "E.", 0},
	{0},
};

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	struct fl_config *c = NULL;
	size_t values = 0, logs = 0;

	if (fl_config_parse(&c, options, "fuzz.yaml", (const char *)data, n))
		return 0;
	fl_config_values(c, &values);
	fl_config_flow_logs(c, &logs);
	if (values > FL_CONFIG_VALUES_MAX * 2 || logs > FL_CONFIG_FLOW_LOGS_MAX)
		abort();
	fl_config_free(&c);
	return 0;
}

#ifndef FL_LIBFUZZER
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_CONFIG_BYTES_MAX);

		if (fl_file_read(AT_FDCWD, argv[i], &text))
			return 1;
		LLVMFuzzerTestOneInput((const unsigned char *)text.data, text.len);
	}
	printf("%d seeds\n", argc - 1);
	return argc < 2;
}
#endif
