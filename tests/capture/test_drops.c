/* SPDX-License-Identifier: Apache-2.0 */
/* Which number means REJECT: kernels differ, and some do not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <bpf/btf.h>

#include "capture/ebpf.h"

static struct btf *kernel(const char *name, const char *const *reasons, int first)
{
	struct btf *btf = btf__new_empty();

	assert_non_null(btf);
	assert_true(btf__add_enum(btf, "unrelated", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_DROP_REASON_NETFILTER_DROP", 77), 0);
	if (name)
		assert_true(btf__add_enum(btf, name, 4) > 0);
	for (; name && *reasons; reasons++)
		assert_int_equal(btf__add_enum_value(btf, *reasons, first++), 0);
	return btf;
}

static void names_are_looked_up(void **state)
{
	static const char *const reasons[] = {"SKB_CONSUMED", "SKB_DROP_REASON_NO_SOCKET",
					      "SKB_DROP_REASON_NETFILTER_DROP", NULL};
	struct fl_kcause *causes = calloc(FL_K_CAUSES, sizeof *causes);
	struct btf *btf = kernel("skb_drop_reason", reasons, 5);

	(void)state;
	assert_int_equal(fl_ebpf_resolve_reasons(causes, btf), 7);
	assert_string_equal(causes[5].name, "SKB_CONSUMED");
	assert_string_equal(causes[6].name, "NO_SOCKET");
	assert_string_equal(causes[7].name, "NETFILTER_DROP");
	assert_string_equal(causes[FL_K_CAUSES - 1].name, "OTHER");
	btf__free(btf);
	free(causes);
}

/* Reasons beyond the table, or below it, are no place to write to. */
static void numbers_out_of_bounds(void **state)
{
	static const char *const reasons[] = {"SKB_DROP_REASON_A", "SKB_DROP_REASON_B",
					      "SKB_DROP_REASON_NETFILTER_DROP", NULL};
	static const int first[] = {-2, FL_K_CAUSES - 2, 1 << 30};
	struct fl_kcause *causes = calloc(FL_K_CAUSES, sizeof *causes);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct btf *btf = kernel("skb_drop_reason", reasons, first[i]);

		assert_int_equal(fl_ebpf_resolve_reasons(causes, btf), i ? -1 : 0);
		btf__free(btf);
	}
	assert_string_equal(causes[FL_K_CAUSES - 1].name, "OTHER");
	free(causes);
}

/* Linux 5.15 knows no reasons, 5.17 none of the packet filter. */
static void a_kernel_that_does_not_say(void **state)
{
	static const char *const reasons[] = {"SKB_DROP_REASON_NO_SOCKET", NULL};
	struct fl_kcause *causes = calloc(FL_K_CAUSES, sizeof *causes);
	const char *const names[] = {NULL, "skb_drop_reason"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct btf *btf = kernel(names[i], reasons, 2);

		assert_int_equal(fl_ebpf_resolve_reasons(causes, btf), -1);
		btf__free(btf);
	}
	free(causes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_looked_up),
	    cmocka_unit_test(numbers_out_of_bounds),
	    cmocka_unit_test(a_kernel_that_does_not_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
