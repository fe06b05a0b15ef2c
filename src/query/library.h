/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we call of DuckDB's C API (1.4 and later), by our own declarations, resolved with dlopen.
 * Handles are opaque pointers there as here; the calls are listed once in FL_DUCKDB_CALLS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t idx_t;
typedef void *fl_duck; /* any of the API's opaque handles */
typedef void (*fl_duck_free_fn)(void *data);

/* Passed by value into some calls, so its size is part of the interface: six words. */
struct fl_duck_result {
	idx_t counts[3];
	void *columns;
	char *error;
	void *internal;
};

/* A string of a vector: up to 12 bytes inline, longer ones behind a pointer; always read through
 * the library. */
struct fl_duck_string {
	uint32_t length;
	char prefix[4];
	char *pointer;
};
struct fl_duck_hugeint {
	uint64_t lower;
	int64_t upper;
};
struct fl_duck_interval {
	int32_t months, days;
	int64_t micros;
};
struct fl_duck_list {
	uint64_t offset, length;
};

enum fl_duck_type { /* the API's numbers, the same since 1.0 */
		    FL_DUCK_BOOLEAN = 1,
		    FL_DUCK_TINYINT,
		    FL_DUCK_SMALLINT,
		    FL_DUCK_INTEGER,
		    FL_DUCK_BIGINT,
		    FL_DUCK_UTINYINT,
		    FL_DUCK_USMALLINT,
		    FL_DUCK_UINTEGER,
		    FL_DUCK_UBIGINT,
		    FL_DUCK_FLOAT,
		    FL_DUCK_DOUBLE,
		    FL_DUCK_TIMESTAMP,
		    FL_DUCK_DATE,
		    FL_DUCK_TIME,
		    FL_DUCK_INTERVAL,
		    FL_DUCK_HUGEINT,
		    FL_DUCK_VARCHAR,
		    FL_DUCK_BLOB,
		    FL_DUCK_DECIMAL,
		    FL_DUCK_TIMESTAMP_S,
		    FL_DUCK_TIMESTAMP_MS,
		    FL_DUCK_TIMESTAMP_NS,
		    FL_DUCK_ENUM,
		    FL_DUCK_LIST,
		    FL_DUCK_STRUCT,
		    FL_DUCK_MAP,
		    FL_DUCK_UUID,
		    FL_DUCK_UNION,
		    FL_DUCK_BIT,
		    FL_DUCK_TIME_TZ,
		    FL_DUCK_TIMESTAMP_TZ,
		    FL_DUCK_UHUGEINT,
		    FL_DUCK_ARRAY,
		    FL_DUCK_ANY,
		    FL_DUCK_BIGNUM,
		    FL_DUCK_SQLNULL,
		    FL_DUCK_TYPE_N
};
enum fl_duck_statement { FL_DUCK_STATEMENT_SELECT = 1, FL_DUCK_STATEMENT_EXPLAIN = 4 };
enum fl_duck_pending { FL_DUCK_PENDING_READY, FL_DUCK_PENDING_MORE, FL_DUCK_PENDING_ERROR, FL_DUCK_PENDING_NO_TASKS };
#define FL_DUCK_RESULT_ROWS 3 /* duckdb_result_return_type: there are rows to show */

/* X(returns, name without "duckdb_", arguments). Calls that return int return 0 for success. */
#define FL_DUCKDB_CALLS(X)                                                                                             \
	X(const char *, library_version, (void))                                                                       \
	X(int, create_config, (fl_duck *))                                                                             \
	X(int, set_config, (fl_duck, const char *, const char *))                                                      \
	X(void, destroy_config, (fl_duck *))                                                                           \
	X(int, open_ext, (const char *, fl_duck *, fl_duck, char **))                                                  \
	X(void, close, (fl_duck *))                                                                                    \
	X(int, connect, (fl_duck, fl_duck *))                                                                          \
	X(void, disconnect, (fl_duck *))                                                                               \
	X(void, interrupt, (fl_duck))                                                                                  \
	X(void, free, (void *))                                                                                        \
	X(int, query, (fl_duck, const char *, struct fl_duck_result *))                                                \
	X(void, destroy_result, (struct fl_duck_result *))                                                             \
	X(const char *, result_error, (struct fl_duck_result *))                                                       \
	X(int, result_return_type, (struct fl_duck_result))                                                            \
	X(idx_t, column_count, (struct fl_duck_result *))                                                              \
	X(const char *, column_name, (struct fl_duck_result *, idx_t))                                                 \
	X(fl_duck, column_logical_type, (struct fl_duck_result *, idx_t))                                              \
	X(fl_duck, fetch_chunk, (struct fl_duck_result))                                                               \
	X(idx_t, extract_statements, (fl_duck, const char *, fl_duck *))                                               \
	X(const char *, extract_statements_error, (fl_duck))                                                           \
	X(int, prepare_extracted_statement, (fl_duck, fl_duck, idx_t, fl_duck *))                                      \
	X(int, prepared_statement_type, (fl_duck))                                                                     \
	X(void, destroy_extracted, (fl_duck *))                                                                        \
	X(const char *, prepare_error, (fl_duck))                                                                      \
	X(void, destroy_prepare, (fl_duck *))                                                                          \
	X(int, pending_prepared_streaming, (fl_duck, fl_duck *))                                                       \
	X(const char *, pending_error, (fl_duck))                                                                      \
	X(int, execute_pending, (fl_duck, struct fl_duck_result *))                                                    \
	X(int, pending_execute_task, (fl_duck))                                                                        \
	X(void, destroy_pending, (fl_duck *))                                                                          \
	X(fl_duck, create_logical_type, (int))                                                                         \
	X(void, destroy_logical_type, (fl_duck *))                                                                     \
	X(int, get_type_id, (fl_duck))                                                                                 \
	X(uint8_t, decimal_scale, (fl_duck))                                                                           \
	X(int, decimal_internal_type, (fl_duck))                                                                       \
	X(int, enum_internal_type, (fl_duck))                                                                          \
	X(char *, enum_dictionary_value, (fl_duck, idx_t))                                                             \
	X(idx_t, struct_type_child_count, (fl_duck))                                                                   \
	X(char *, struct_type_child_name, (fl_duck, idx_t))                                                            \
	X(idx_t, array_type_array_size, (fl_duck))                                                                     \
	X(void, destroy_data_chunk, (fl_duck *))                                                                       \
	X(fl_duck, data_chunk_get_vector, (fl_duck, idx_t))                                                            \
	X(idx_t, data_chunk_get_size, (fl_duck))                                                                       \
	X(void, data_chunk_set_size, (fl_duck, idx_t))                                                                 \
	X(fl_duck, vector_get_column_type, (fl_duck))                                                                  \
	X(void *, vector_get_data, (fl_duck))                                                                          \
	X(uint64_t *, vector_get_validity, (fl_duck))                                                                  \
	X(void, vector_ensure_validity_writable, (fl_duck))                                                            \
	X(void, vector_assign_string_element_len, (fl_duck, idx_t, const char *, idx_t))                               \
	X(fl_duck, list_vector_get_child, (fl_duck))                                                                   \
	X(fl_duck, struct_vector_get_child, (fl_duck, idx_t))                                                          \
	X(fl_duck, array_vector_get_child, (fl_duck))                                                                  \
	X(uint32_t, string_t_length, (struct fl_duck_string))                                                          \
	X(const char *, string_t_data, (struct fl_duck_string *))                                                      \
	X(fl_duck, create_table_function, (void))                                                                      \
	X(void, destroy_table_function, (fl_duck *))                                                                   \
	X(void, table_function_set_name, (fl_duck, const char *))                                                      \
	X(void, table_function_set_extra_info, (fl_duck, void *, fl_duck_free_fn))                                     \
	X(void, table_function_set_bind, (fl_duck, void (*)(fl_duck info)))                                            \
	X(void, table_function_set_init, (fl_duck, void (*)(fl_duck info)))                                            \
	X(void, table_function_set_local_init, (fl_duck, void (*)(fl_duck info)))                                      \
	X(void, table_function_set_function, (fl_duck, void (*)(fl_duck info, fl_duck chunk)))                         \
	X(void, table_function_supports_projection_pushdown, (fl_duck, bool))                                          \
	X(int, register_table_function, (fl_duck, fl_duck))                                                            \
	X(void *, bind_get_extra_info, (fl_duck))                                                                      \
	X(void, bind_add_result_column, (fl_duck, const char *, fl_duck))                                              \
	X(void, bind_set_error, (fl_duck, const char *))                                                               \
	X(void *, init_get_extra_info, (fl_duck))                                                                      \
	X(void, init_set_init_data, (fl_duck, void *, fl_duck_free_fn))                                                \
	X(idx_t, init_get_column_count, (fl_duck))                                                                     \
	X(idx_t, init_get_column_index, (fl_duck, idx_t))                                                              \
	X(void, init_set_max_threads, (fl_duck, idx_t))                                                                \
	X(void, init_set_error, (fl_duck, const char *))                                                               \
	X(void *, function_get_init_data, (fl_duck))                                                                   \
	X(void *, function_get_local_init_data, (fl_duck))                                                             \
	X(void, function_set_error, (fl_duck, const char *))                                                           \
	X(fl_duck, create_scalar_function, (void))                                                                     \
	X(void, destroy_scalar_function, (fl_duck *))                                                                  \
	X(void, scalar_function_set_name, (fl_duck, const char *))                                                     \
	X(void, scalar_function_add_parameter, (fl_duck, fl_duck))                                                     \
	X(void, scalar_function_set_return_type, (fl_duck, fl_duck))                                                   \
	X(void, scalar_function_set_extra_info, (fl_duck, void *, fl_duck_free_fn))                                    \
	X(void *, scalar_function_get_extra_info, (fl_duck))                                                           \
	X(void, scalar_function_set_special_handling, (fl_duck))                                                       \
	X(void, scalar_function_set_function, (fl_duck, void (*)(fl_duck info, fl_duck input, fl_duck output)))        \
	X(void, scalar_function_set_error, (fl_duck, const char *))                                                    \
	X(int, register_scalar_function, (fl_duck, fl_duck))

struct fl_duckdb {
	void *handle;
#define FL_DUCKDB_MEMBER(returns, name, args) returns(*name) args;
	FL_DUCKDB_CALLS(FL_DUCKDB_MEMBER)
#undef FL_DUCKDB_MEMBER
};

/* -ENOENT: nowhere found (the sentence says how to get it); -EINVAL: found and not usable. The
 * library stays loaded until the process ends: it has threads and exit handlers of its own. */
int fl_duckdb_load(struct fl_duckdb *ret);
/* The library that was loaded: its callbacks get handles only, and need its calls to look into them. */
const struct fl_duckdb *fl_duckdb_loaded(void);

static inline bool fl_duck_valid(const uint64_t *validity, idx_t row)
{
	return !validity || (validity[row / 64] >> (row % 64) & 1);
}
