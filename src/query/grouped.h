/* SPDX-License-Identifier: Apache-2.0 */
/* The table function flowlog_groups(): groups of the statement in hand (push.h), made when DuckDB first asks. */
#pragma once

#include "query/push.h"

struct fl_grouped {
	struct fl_query_table *table;
	const struct fl_push *push; /* of the statement in hand; NULL: there are no groups to read */
	uint64_t memory;            /* bytes */
	/* The groups are more than memory holds, or a sum more than a number: the statement is DuckDB's after all. */
	bool too_large;
};
/* g must live as long as the connection. */
int fl_grouped_register(struct fl_grouped *g, fl_duck connection);
