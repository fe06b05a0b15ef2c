/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on what flow logs hold: cidr_match, is_private, protocol_name, tcp_flags_text, service_of. */
#pragma once

#include "query/library.h"

int fl_query_functions_register(const struct fl_duckdb *d, fl_duck connection);
