/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of bad input, a row a text. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "inventory/network_build.h"

struct problem_row {
	const char *text, *path, *say;
	bool fatal;
	size_t n;         /* problems in all; 0: 1 */
	const char *file; /* NULL: x.json */
};

static inline void check_problems(const struct problem_row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		const char *file = rows[i].file ? rows[i].file : "x.json";
		struct fl_network *net;
		const struct fl_problem *p;
		size_t n;
		bool found = false;

		assert_int_equal(fl_network_from_text(&net, file, rows[i].text, strlen(rows[i].text)), 0);
		p = fl_network_problems(net, &n);
		for (size_t j = 0; j < n; j++)
			found = found || (!strcmp(p[j].path, rows[i].path) && strstr(p[j].text, rows[i].say) &&
					  p[j].fatal == rows[i].fatal && !strcmp(p[j].file, file));
		if (!found || n != (rows[i].n ? rows[i].n : 1)) {
			print_error("%s\nwanted: %s: %s\n", rows[i].text, rows[i].path, rows[i].say);
			for (size_t j = 0; j < n; j++)
				print_error("   got: %s: %s%s\n", p[j].path, p[j].text, p[j].fatal ? " (fatal)" : "");
			fail();
		}
		fl_network_free(&net);
	}
}
