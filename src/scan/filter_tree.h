/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room "scan": what a filter is made of. */
#pragma once

#include "scan/filter.h"

enum fl_filter_kind {
	FL_FILTER_AND,
	FL_FILTER_OR,
	FL_FILTER_NOT,
	FL_FILTER_RANGE, /* number within [first, last]; none when first > last */
	FL_FILTER_CIDR,  /* address */
	FL_FILTER_TEXT,  /* text or code */
	FL_FILTER_IS_NULL,
};

/* How an address that has the mapped IPv4 form must have been written. */
enum fl_filter_form { FL_FORM_ANY, FL_FORM_V4, FL_FORM_V6 };

struct fl_filter {
	enum fl_filter_kind kind;
	uint32_t nodes; /* of the tree that begins here */
	uint32_t depth;
	/* AND, OR (two and more, none of the same kind), NOT (one) */
	struct fl_filter **child;
	uint32_t n, cap;
	/* conditions */
	char *column;
	struct fl_column_def def; /* name is column */
	bool negated;             /* RANGE: outside; a null is on neither side. IS_NULL: is not */
	enum fl_filter_form form; /* CIDR */
	uint64_t first, last;
	struct fl_cidr cidr;
	char *text; /* ended by NUL, which may also stand inside */
	size_t text_n;
};

/* "123": digits only, no zero in front, at most UINT64_MAX. */
bool fl_filter_parse_number(const char *text, size_t n, uint64_t *ret);

/* For tests: "scalar", "avx2", "avx512". False: this machine cannot. */
bool fl_filter_bound_kernel(struct fl_filter_bound *f, const char *name);
