/* SPDX-License-Identifier: Apache-2.0 */
#include "query/functions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/mem.h"
#include "flow/flow.h"

#define ARGS_MAX 2

/* A row's arguments: text, or a number; what is null has no call. */
struct argument {
	struct fl_str text;
	int64_t number;
};
struct answer {
	bool null, yes;
	char text[64];
	const char *error; /* the statement ends with this sentence */
	/* cidr_match: the network of the row before, as text mostly the same */
	struct fl_cidr cidr;
	char cidr_text[64];
};

static void cidr_match(const struct argument *a, struct answer *ret)
{
	struct fl_addr address;
	bool v6;

	if (a[1].text.n >= sizeof ret->cidr_text) {
		ret->error = "cidr_match: the second argument is no network such as 10.0.0.0/8";
		return;
	}
	if (strlen(ret->cidr_text) != a[1].text.n || memcmp(ret->cidr_text, a[1].text.p, a[1].text.n) != 0) {
		*ret->cidr_text = '\0';
		if (fl_cidr_parse(a[1].text.p, a[1].text.n, &ret->cidr)) {
			ret->error = "cidr_match: the second argument is no network such as 10.0.0.0/8";
			return;
		}
		memcpy(ret->cidr_text, a[1].text.p, a[1].text.n);
		ret->cidr_text[a[1].text.n] = '\0';
	}
	ret->null = fl_addr_parse(a[0].text.p, a[0].text.n, &address, &v6) < 0;
	/* As filters: an IPv4 network does not mean what was written as IPv6. */
	ret->yes = !ret->null && fl_cidr_has(&ret->cidr, &address) && !(v6 && fl_cidr_is_v4(&ret->cidr));
}

static void is_private(const struct argument *a, struct answer *ret)
{
	struct fl_addr address;
	bool v6;

	ret->null = fl_addr_parse(a[0].text.p, a[0].text.n, &address, &v6) < 0;
	ret->yes = !ret->null && fl_addr_is_private(&address, v6);
}

static void protocol_name(const struct argument *a, struct answer *ret)
{
	const char *name = a[0].number >= 0 && a[0].number <= UINT8_MAX ? fl_protocol_name((uint8_t)a[0].number) : NULL;

	if (name)
		snprintf(ret->text, sizeof ret->text, "%s", name);
	else
		snprintf(ret->text, sizeof ret->text, "%lld", (long long)a[0].number);
}

static void service_of(const struct argument *a, struct answer *ret)
{
	const char *name = NULL;

	if (a[0].number >= 0 && a[1].number >= 0 && a[1].number <= UINT8_MAX)
		name = fl_service_name((unsigned)a[1].number, (uint64_t)a[0].number);
	ret->null = !name;
	if (name)
		snprintf(ret->text, sizeof ret->text, "%s", name);
}

/* records.md 2.1: the OR of the flags of a window; SYN and ACK together are an answered opening. */
static void tcp_flags_text(const struct argument *a, struct answer *ret)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
	size_t n = 0;

	ret->null = a[0].number < 0 || a[0].number > UINT8_MAX;
	ret->text[0] = '\0';
	for (size_t i = 0; !ret->null && i < FL_ARRAY_LEN(names); i++)
		if (a[0].number >> i & 1)
			n += (size_t)snprintf(ret->text + n, sizeof ret->text - n, "%s%s", n ? "|" : "", names[i]);
}

static const struct function {
	const char *name;
	void (*call)(const struct argument *a, struct answer *ret);
	int type[ARGS_MAX]; /* enum fl_duck_type: VARCHAR or BIGINT; 0: no such argument */
	int returns;        /* VARCHAR or BOOLEAN */
} functions[] = {
    {"cidr_match", cidr_match, {FL_DUCK_VARCHAR, FL_DUCK_VARCHAR}, FL_DUCK_BOOLEAN},
    {"is_private", is_private, {FL_DUCK_VARCHAR}, FL_DUCK_BOOLEAN},
    {"protocol_name", protocol_name, {FL_DUCK_BIGINT}, FL_DUCK_VARCHAR},
    {"service_of", service_of, {FL_DUCK_BIGINT, FL_DUCK_BIGINT}, FL_DUCK_VARCHAR},
    {"tcp_flags_text", tcp_flags_text, {FL_DUCK_BIGINT}, FL_DUCK_VARCHAR},
};

/* False: the row has a null. */
static bool arguments_of(const struct fl_duckdb *d, const struct function *f, const fl_duck *vector, idx_t row,
			 struct argument *ret)
{
	for (size_t i = 0; i < ARGS_MAX && f->type[i]; i++) {
		if (!fl_duck_valid(d->vector_get_validity(vector[i]), row))
			return false;
		if (f->type[i] == FL_DUCK_BIGINT) {
			ret[i].number = ((int64_t *)d->vector_get_data(vector[i]))[row];
		} else {
			struct fl_duck_string *s = (struct fl_duck_string *)d->vector_get_data(vector[i]) + row;

			ret[i].text = (struct fl_str){d->string_t_data(s), d->string_t_length(*s)};
		}
	}
	return true;
}

static void on_call(fl_duck info, fl_duck input, fl_duck output)
{
	const struct fl_duckdb *d = fl_duckdb_loaded();
	const struct function *f = d->scalar_function_get_extra_info(info);
	idx_t n = d->data_chunk_get_size(input);
	fl_duck vector[ARGS_MAX];
	struct answer answer = {0};
	uint64_t *validity;

	for (size_t i = 0; i < ARGS_MAX && f->type[i]; i++)
		vector[i] = d->data_chunk_get_vector(input, i);
	d->vector_ensure_validity_writable(output);
	validity = d->vector_get_validity(output);
	for (idx_t row = 0; row < n; row++) {
		struct argument a[ARGS_MAX];

		answer.null = !arguments_of(d, f, vector, row, a);
		if (!answer.null)
			f->call(a, &answer);
		if (answer.error) {
			d->scalar_function_set_error(info, answer.error);
			return;
		}
		if (answer.null)
			validity[row / 64] &= ~(UINT64_C(1) << (row % 64));
		else if (f->returns == FL_DUCK_BOOLEAN)
			((bool *)d->vector_get_data(output))[row] = answer.yes;
		else
			d->vector_assign_string_element_len(output, row, answer.text, strlen(answer.text));
	}
}

static int register_one(const struct fl_duckdb *d, fl_duck connection, const struct function *f)
{
	fl_duck made = d->create_scalar_function(), type;
	int r;

	if (!made)
		return -ENOMEM;
	d->scalar_function_set_name(made, f->name);
	for (size_t i = 0; i < ARGS_MAX && f->type[i]; i++) {
		type = d->create_logical_type(f->type[i]);
		d->scalar_function_add_parameter(made, type);
		d->destroy_logical_type(&type);
	}
	type = d->create_logical_type(f->returns);
	d->scalar_function_set_return_type(made, type);
	d->destroy_logical_type(&type);
	d->scalar_function_set_extra_info(made, (void *)(uintptr_t)f, NULL);
	d->scalar_function_set_special_handling(made); /* nulls are ours to see: an address that is none is null, too */
	d->scalar_function_set_function(made, on_call);
	r = d->register_scalar_function(connection, made) ? fl_fail(-EIO, "DuckDB takes no function %s", f->name) : 0;
	d->destroy_scalar_function(&made);
	return r;
}

int fl_query_functions_register(const struct fl_duckdb *d, fl_duck connection)
{
	int r = 0;

	for (size_t i = 0; !r && i < FL_ARRAY_LEN(functions); i++)
		r = register_one(d, connection, &functions[i]);
	return r;
}
