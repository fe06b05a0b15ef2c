/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void nested(void **state)
{
	struct fl_buf out = FL_BUF(4096);
	struct fl_json j = FL_JSON(&out);

	(void)state;
	fl_json_object(&j);
	fl_json_kstr(&j, "a", "x\"\\\n\xff");
	fl_json_ku64(&j, "b", UINT64_MAX);
	fl_json_key(&j, "c");
	fl_json_array(&j);
	fl_json_i64(&j, -1);
	fl_json_bool(&j, true);
	fl_json_null(&j);
	fl_json_object(&j);
	fl_json_end_object(&j);
	fl_json_end_array(&j);
	fl_json_kstr(&j, "d", NULL);
	fl_json_end_object(&j);
	assert_int_equal(fl_json_done(&j), 0);
	assert_string_equal(
	    fl_buf_cstr(&out),
	    "{\"a\":\"x\\\"\\\\\\u000a\xef\xbf\xbd\",\"b\":18446744073709551615,\"c\":[-1,true,null,{}],\"d\":null}");
	fl_buf_free(&out);
}

static void ceiling_is_an_error(void **state)
{
	struct fl_buf out = FL_BUF(8);
	struct fl_json j = FL_JSON(&out);

	(void)state;
	fl_json_str(&j, "longer than eight bytes");
	assert_true(fl_json_done(&j) < 0);
	fl_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nested), cmocka_unit_test(ceiling_is_an_error)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
