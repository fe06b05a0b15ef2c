/* SPDX-License-Identifier: Apache-2.0 */
/* Output of the commands that show lists: a grid fitted to the terminal, or bytes as they are. */
#pragma once

#include "base/grid.h"
#include "base/mem.h"

struct fl_print {
	struct fl_grid grid;
	struct fl_buf out;
};

int fl_print_begin(struct fl_print *p, const char *const *heads, size_t n);
void fl_print_end(struct fl_print *p);
int fl_print_table(struct fl_print *p); /* the grid and then what is in out; the grid is empty after it */
int fl_print_flush(struct fl_print *p); /* out to standard output */
unsigned fl_print_width(void);          /* of the terminal on standard output; 0: none */
