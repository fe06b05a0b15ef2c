/* SPDX-License-Identifier: Apache-2.0 */
#include "query/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grid.h"
#include "base/json.h"
#include "query/value.h"

#define FLUSH_BYTES (1u << 16)
#define OUT_MAX (1u << 30)
#define GRID_MAX (256u << 20)
#define ROWS_ON_TERMINAL 1000 /* nobody reads more; a pipe gets all */
#define ROWS_MEASURED                                                                                                  \
	4096 /* column widths come from the first rows, so that output begins and memory is                            \
		bounded */
#define COLUMNS_MAX 4096

struct printer {
	const struct fl_duckdb *d;
	int fd;
	struct fl_duck_column *column;
	const char **name;
	size_t columns;
	uint64_t rows;
	struct fl_buf out, cell;
	struct fl_grid grid;
	size_t width; /* of the terminal; 0: not one */
	bool cut;
};

struct form {
	const char *name;
	int (*begin)(struct printer *p);
	int (*row)(struct printer *p, const uint64_t *const *validity, idx_t row);
	int (*end)(struct printer *p);
};

static int flush(struct printer *p)
{
	int r = fl_grid_write(p->fd, p->out.data, p->out.len);

	fl_buf_reset(&p->out);
	return r ? fl_fail(r, "standard output: %s", strerror(-r)) : 0;
}

/* ---- json ---- */

static int json_row(struct printer *p, const uint64_t *const *validity, idx_t row)
{
	int r = fl_buf_adds(&p->out, "{");

	for (size_t i = 0; !r && i < p->columns; i++) {
		struct fl_json j = FL_JSON(&p->out);

		r = i ? fl_buf_adds(&p->out, ",") : 0;
		fl_json_str(&j, p->name[i]);
		r = r ? r : fl_json_done(&j);
		r = r ? r : fl_buf_adds(&p->out, ":");
		if (!r)
			r = fl_duck_valid(validity[i], row) ? fl_duck_print_json(p->d, &p->column[i], row, &p->out)
							    : fl_buf_adds(&p->out, "null");
	}
	return r ? r : fl_buf_adds(&p->out, "}\n");
}

/* ---- csv and text: a line of cells ---- */

/* RFC 4180: quotes around what holds a separator, quotes doubled. An empty string is quoted, NULL
 * is nothing. */
static int csv_cell(struct printer *p, const char *text, size_t n)
{
	int r;

	if (n && !memchr(text, ',', n) && !memchr(text, '"', n) && !memchr(text, '\n', n) && !memchr(text, '\r', n))
		return fl_buf_add(&p->out, text, n);
	r = fl_buf_adds(&p->out, "\"");
	for (size_t i = 0; !r && i < n; i++) {
		r = fl_buf_add(&p->out, text + i, 1);
		if (!r && text[i] == '"')
			r = fl_buf_adds(&p->out, "\"");
	}
	return r ? r : fl_buf_adds(&p->out, "\"");
}

static int line_begin(struct printer *p, bool csv)
{
	int r = 0;

	for (size_t i = 0; !r && i < p->columns; i++) {
		r = i ? fl_buf_adds(&p->out, csv ? "," : " ") : 0;
		if (!r)
			r = csv ? csv_cell(p, p->name[i], strlen(p->name[i])) : fl_buf_adds(&p->out, p->name[i]);
	}
	return r ? r : fl_buf_adds(&p->out, "\n");
}

static int cell_text(struct printer *p, size_t column, idx_t row)
{
	fl_buf_reset(&p->cell);
	return fl_duck_print(p->d, &p->column[column], row, &p->cell);
}

static int line_row(struct printer *p, const uint64_t *const *validity, idx_t row, bool csv)
{
	int r = 0;

	for (size_t i = 0; !r && i < p->columns; i++) {
		r = i ? fl_buf_adds(&p->out, csv ? "," : " ") : 0;
		if (!r && !fl_duck_valid(validity[i], row)) {
			r = csv ? 0 : fl_buf_adds(&p->out, "-");
			continue;
		}
		r = r ? r : cell_text(p, i, row);
		if (!r)
			r = csv ? csv_cell(p, p->cell.data, p->cell.len)
				: fl_buf_add(&p->out, p->cell.data, p->cell.len);
	}
	return r ? r : fl_buf_adds(&p->out, "\n");
}

static int csv_begin(struct printer *p)
{
	return line_begin(p, true);
}

static int csv_row(struct printer *p, const uint64_t *const *validity, idx_t row)
{
	return line_row(p, validity, row, true);
}

static int text_begin(struct printer *p)
{
	return line_begin(p, false);
}

static int text_row(struct printer *p, const uint64_t *const *validity, idx_t row)
{
	return line_row(p, validity, row, false);
}

/* ---- table ---- */

static int table_begin(struct printer *p)
{
	int r = fl_grid_init(&p->grid, p->columns, GRID_MAX);

	for (size_t i = 0; !r && i < p->columns; i++) {
		p->grid.right[i] = fl_duck_is_number(p->column[i].id);
		r = fl_grid_adds(&p->grid, p->name[i]);
	}
	return r;
}

/* Later rows keep the widths of the first ones. */
static int table_spill(struct printer *p)
{
	int r = fl_grid_print(&p->grid, p->width, &p->out);

	fl_buf_reset(&p->grid.text);
	p->grid.cells = 0;
	return r;
}

static int table_row(struct printer *p, const uint64_t *const *validity, idx_t row)
{
	int r = 0;

	if (p->width && p->rows >= ROWS_ON_TERMINAL) {
		p->cut = true;
		return 0;
	}
	for (size_t i = 0; !r && i < p->columns; i++) {
		if (!fl_duck_valid(validity[i], row)) {
			r = fl_grid_adds(&p->grid, "NULL");
			continue;
		}
		r = cell_text(p, i, row);
		r = r ? r : fl_grid_add(&p->grid, p->cell.data ? p->cell.data : "", p->cell.len);
	}
	return r || fl_grid_rows(&p->grid) < ROWS_MEASURED ? r : table_spill(p);
}

static int table_end(struct printer *p)
{
	int r = table_spill(p);

	if (!r && p->cut)
		r = fl_buf_printf(&p->out, "(the first %d rows; a pipe, -o csv or LIMIT shows others)\n",
				  ROWS_ON_TERMINAL);
	return r;
}

/* EXPLAIN draws its own picture, lines and all. */
static int plan_row(struct printer *p, const uint64_t *const *validity, idx_t row)
{
	int r = fl_duck_valid(validity[1], row) ? cell_text(p, 1, row) : 0;

	return r ? r : fl_buf_add(&p->out, p->cell.data, p->cell.len);
}

static int nothing(struct printer *p)
{
	(void)p;
	return 0;
}

static const struct form forms[] = {
    {"table", table_begin, table_row, table_end},
    {"text", text_begin, text_row, nothing},
    {"json", nothing, json_row, nothing},
    {"csv", csv_begin, csv_row, nothing},
};

static const struct form plan = {"plan", nothing, plan_row, nothing};

static const struct form *find_form(const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(forms); i++)
		if (!strcmp(forms[i].name, name))
			return &forms[i];
	return NULL;
}

int fl_query_output_known(const char *output)
{
	return find_form(output) ? 0 : fl_fail(-EINVAL, "output %s is not one of table, text, json, csv", output);
}

static int describe(struct printer *p, struct fl_duck_result *result)
{
	int r = 0;

	p->columns = p->d->column_count(result);
	if (!p->columns || p->columns > COLUMNS_MAX)
		return fl_fail(-E2BIG, "a result of %zu columns cannot be shown", p->columns);
	p->column = calloc(p->columns, sizeof *p->column);
	p->name = calloc(p->columns, sizeof *p->name);
	if (!p->column || !p->name)
		return -ENOMEM;
	for (size_t i = 0; !r && i < p->columns; i++) {
		p->name[i] = p->d->column_name(result, i);
		p->column[i].type = p->d->column_logical_type(result, i);
		p->column[i].id = p->d->get_type_id(p->column[i].type);
		r = fl_duck_printable(p->d, p->column[i].type, p->name[i]);
	}
	return r;
}

static int print_chunk(struct printer *p, const struct form *form, fl_duck chunk)
{
	const uint64_t **validity = calloc(p->columns, sizeof *validity);
	idx_t n = p->d->data_chunk_get_size(chunk);
	int r = validity ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < p->columns; i++) {
		p->column[i].vector = p->d->data_chunk_get_vector(chunk, i);
		validity[i] = p->d->vector_get_validity(p->column[i].vector);
	}
	for (idx_t row = 0; !r && !p->cut && row < n; row++) {
		r = form->row(p, validity, row);
		p->rows++;
		if (!r && p->out.len >= FLUSH_BYTES)
			r = flush(p);
	}
	free(validity);
	return r;
}

static void release(struct printer *p)
{
	for (size_t i = 0; p->column && i < p->columns; i++)
		p->d->destroy_logical_type(&p->column[i].type);
	free(p->column);
	free(p->name);
	fl_buf_free(&p->out);
	fl_buf_free(&p->cell);
	fl_grid_free(&p->grid);
}

int fl_query_print(const struct fl_duckdb *d, struct fl_duck_result *result, const char *output, int fd,
		   const volatile sig_atomic_t *stop)
{
	const struct form *form = find_form(output);
	struct printer p = {.d = d, .fd = fd, .out = FL_BUF(OUT_MAX), .cell = FL_BUF(OUT_MAX)};
	struct winsize size;
	int r = describe(&p, result);

	if (isatty(fd) && !ioctl(fd, TIOCGWINSZ, &size))
		p.width = size.ws_col ? size.ws_col : 80;
	if (!r && form == forms && p.columns == 2 && !strcmp(p.name[0], "explain_key"))
		form = &plan;
	if (!r)
		r = form->begin(&p);
	while (!r && !*stop && !p.cut) {
		fl_duck chunk = d->fetch_chunk(*result);

		if (!chunk)
			break;
		r = d->data_chunk_get_size(chunk) ? print_chunk(&p, form, chunk) : 0;
		d->destroy_data_chunk(&chunk);
	}
	if (!r && !*stop && d->result_error(result) && *d->result_error(result))
		r = fl_fail(-EIO, "%s", d->result_error(result));
	if (!r)
		r = form->end(&p);
	if (!r)
		r = flush(&p);
	release(&p);
	return r;
}
