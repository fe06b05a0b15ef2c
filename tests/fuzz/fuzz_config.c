/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file's reader. */
#include <stdlib.h>

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
