/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog fields: the field reference, from record/fields.def. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "record/record.h"

enum { AS_TABLE, AS_JSON, AS_MARKDOWN };

struct conf {
	int kind, output;
};

static const char *const types[] = {[FL_TYPE_INT32] = "int32", [FL_TYPE_INT64] = "int64", [FL_TYPE_TEXT] = "text"};

static int add_json(const struct fl_field *f, struct fl_buf *out)
{
	struct fl_json j = FL_JSON(out);
	int r;

	fl_json_object(&j);
	fl_json_kstr(&j, "name", f->name);
	fl_json_kstr(&j, "column", f->column);
	fl_json_ku64(&j, "version", f->version);
	fl_json_kstr(&j, "type", types[f->type]);
	fl_json_kbool(&j, "default", f->in_default);
	fl_json_kstr(&j, "source", f->source);
	fl_json_kstr(&j, "help", f->help);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_buf_adds(out, "\n");
}

static int add_markdown(const struct fl_field *f, struct fl_buf *out)
{
	return fl_buf_printf(out, "| `%s` | %u | %s | %s | %s | %s |\n", f->name, f->version, types[f->type],
			     f->in_default ? "yes" : "", f->source, f->help);
}

static int add_row(const struct fl_field *f, struct fl_grid *g)
{
	int r = fl_grid_adds(g, f->name);

	r = r ? r : fl_grid_addf(g, "%u", f->version);
	r = r ? r : fl_grid_adds(g, types[f->type]);
	r = r ? r : fl_grid_adds(g, f->in_default ? "yes" : "");
	r = r ? r : fl_grid_adds(g, f->source);
	return r ? r : fl_grid_adds(g, f->help);
}

static int run(void *conf, int argc, char **argv)
{
	static const char *const heads[] = {"FIELD", "VERSION", "TYPE", "DEFAULT", "VALUE COMES FROM", "MEANING"};
	const struct conf *c = conf;
	struct fl_print p;
	int r;

	if (argc) {
		fprintf(stderr, "flowlog fields: %s: fields takes no operands\n", argv[0]);
		return 2;
	}
	r = fl_print_begin(&p, heads, FL_ARRAY_LEN(heads));
	if (!r && c->output == AS_MARKDOWN)
		r = fl_buf_adds(&p.out, "| field | version | type | in the default format | value "
					"comes from | meaning |\n|---|---|---|---|---|---|\n");
	for (unsigned i = 0; !r && i < fl_field_count((enum fl_log_kind)c->kind); i++) {
		const struct fl_field *f = fl_field_at((enum fl_log_kind)c->kind, i);

		r = c->output == AS_TABLE  ? add_row(f, &p.grid)
		    : c->output == AS_JSON ? add_json(f, &p.out)
					   : add_markdown(f, &p.out);
	}
	if (!r)
		r = c->output == AS_TABLE ? fl_print_table(&p) : fl_print_flush(&p);
	fl_print_end(&p);
	if (r)
		fprintf(stderr, "flowlog fields: %s\n", fl_error_text(r));
	return r ? 1 : 0;
}

static const struct fl_option options[] = {
    {"kind", 0, NULL, FL_OPT_ENUM, "KIND", "vpc", "vpc|tgw", "Fields of VPC or of transit gateway flow logs.",
     offsetof(struct conf, kind)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "table", "table|json|markdown",
     "Form of the list; json is one object a line.", offsetof(struct conf, output)},
    {0},
};

const struct fl_command fl_cmd_fields = {
    .name = "fields",
    .summary = "the fields of a record and where their values come from",
    .synopsis = "[OPTION]...",
    .description = "Lists every field that a format may name: the record version that brought it, "
		   "its type, whether the default format has it, and where "
		   "Flowlog takes its value from. A - there means that the value cannot be known "
		   "here; the field can be asked for and is written as -.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog fields --kind tgw\n  the fields of transit gateway flow logs\n",
};
