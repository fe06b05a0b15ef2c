/* SPDX-License-Identifier: Apache-2.0 */
/* A shared file (~/.aws/config) of any bytes: what is taken can be looked up, and nothing has a name that cannot. */
#include <stdlib.h>
#include <string.h>

#include <stdint.h>

#include "aws/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_ini ini = {0};

	(void)fl_ini_parse(&ini, "f", (const char *)data, n);
	for (size_t i = 0; i < ini.n; i++) {
		const struct fl_ini_entry *e = &ini.entries[i];

		if (!fl_ini_has(&ini, e->section) || (*e->name && !fl_ini_get(&ini, e->section, e->name)))
			abort();
	}
	fl_ini_free(&ini);
	return 0;
}
