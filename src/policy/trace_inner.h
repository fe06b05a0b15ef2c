/* SPDX-License-Identifier: Apache-2.0 */
/* Inside policy/: what the parts of a trace share. */
#pragma once

#include "policy/filter.h"
#include "policy/trace.h"

/* "at" of the step: the noun's name and id. */
void step_at(struct fl_step *s, const struct fl_noun *noun);
void step_text(struct fl_step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void step_fix(struct fl_step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void step_block(struct fl_step *s, enum fl_cause cause);
/* Text of an address; ret holds FL_ADDR_TEXT_MAX + 1. */
const char *addr_text(const struct fl_addr *a, bool v6, char ret[FL_ADDR_TEXT_MAX + 1]);
const char *cidr_text(const struct fl_cidr *c, bool v6, char ret[FL_ADDR_TEXT_MAX + 5]);

void explain_group(struct fl_step *step, const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s);
/* ports from..to as destination instead of the subject's; from 0: the subject's own. needed: those that must pass. */
struct port_range {
	uint16_t from, to;
};
void explain_acl(struct fl_step *step, const struct fl_filter *f, enum fl_dir dir, const struct fl_subject *s,
		 const struct port_range *needed, const struct port_range *wished);
