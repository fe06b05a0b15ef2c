/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"

#define OUT_MAX (256u << 20)

unsigned fl_print_width(void)
{
	struct winsize size = {0};

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	return size.ws_col ? size.ws_col : 80;
}

int fl_print_begin(struct fl_print *p, const char *const *heads, size_t n)
{
	int r;

	*p = (struct fl_print){.out = FL_BUF(OUT_MAX)};
	r = fl_grid_init(&p->grid, n, OUT_MAX);
	for (size_t i = 0; !r && i < n; i++)
		r = fl_grid_adds(&p->grid, heads[i]);
	return r;
}

void fl_print_end(struct fl_print *p)
{
	fl_grid_free(&p->grid);
	fl_buf_free(&p->out);
}

int fl_print_flush(struct fl_print *p)
{
	int r = fl_grid_write(STDOUT_FILENO, p->out.data, p->out.len);

	fl_buf_reset(&p->out);
	return r ? fl_fail(r, "standard output: %s", strerror(-r)) : 0;
}

int fl_print_table(struct fl_print *p)
{
	struct fl_buf after = p->out;
	int r;

	p->out = FL_BUF(OUT_MAX);
	r = fl_grid_print(&p->grid, fl_print_width(), &p->out);
	if (!r && after.len)
		r = fl_buf_add(&p->out, after.data, after.len);
	fl_buf_free(&after);
	fl_grid_free(&p->grid);
	return r ? r : fl_print_flush(p);
}
