/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file by rows: what is read, and the sentence for what is not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/config.h"
#include "cli/options.h"

struct conf {
	struct fl_config *config;
	const char *store;
	uint64_t size, window;
	bool inner;
	const char *const *exclude;
};

static const struct fl_option options[] = {
    {"config", 'c', NULL, FL_OPT_CONFIG, "FILE", NULL, NULL, "F.", offsetof(struct conf, config)},
    {"store", 's', "store", FL_OPT_STRING, "DIR", "./d", NULL, "S.", offsetof(struct conf, store)},
    {"journal-size", 0, "journal.max_size", FL_OPT_SIZE, "SIZE", "1GiB", NULL, "J.", offsetof(struct conf, size)},
    {"window", 'w', "window", FL_OPT_DURATION, "TIME", "60s", NULL, "W.", offsetof(struct conf, window)},
    {"inner", 0, "inner", FL_OPT_FLAG, NULL, NULL, NULL, "I.", offsetof(struct conf, inner)},
    {"exclude", 0, "interfaces.exclude", FL_OPT_LIST, "P", NULL, NULL, "E.", offsetof(struct conf, exclude)},
    {0},
};
static const struct fl_command command = {.name = "test", .options = options};

static void errors(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: good */
	} rows[] = {
	    {"", NULL},
	    {"# nothing\n", NULL},
	    {"---\n", NULL},
	    {"store: /x\njournal:\n  max_size: 64MiB\n", NULL},
	    {"flow_logs: []\n", NULL},
	    {"store: /x\njournal:\n  max_siez: 1\n",
	     "f.yaml:3: unknown key journal.max_siez; did you mean journal.max_size?"},
	    {"jurnal:\n  max_size: 1\n", "f.yaml:1: unknown key jurnal; did you mean journal.max_size?"},
	    {"flow_log: []\n", "f.yaml:1: unknown key flow_log; did you mean flow_logs?"},
	    {"completely_else: 1\n", "f.yaml:1: unknown key completely_else; flowlog run --help lists the keys"},
	    {"store: a\nstore: b\n", "f.yaml:2: store is set twice (first in line 1)"},
	    {"interfaces:\n  exclude: [a, b]\n  exclude: [c]\n",
	     "f.yaml:3: interfaces.exclude is set twice (first in line 2)"},
	    {"interfaces: {exclude: [a, b], exclude: [c]}\n",
	     "f.yaml:1: interfaces.exclude is set twice (first in line 1)"},
	    {"store:\n", "f.yaml:1: store has no value; give one or leave the line out"},
	    {"store: [a]\n", "f.yaml:1: store takes one value, not a list"},
	    {"store: {a: b}\n", "f.yaml:1: store takes a value, not a section"},
	    {"journal: 5\n", "f.yaml:1: journal is a section; its keys stand indented below it"},
	    {"interfaces:\n  exclude: [[a]]\n", "f.yaml:2: interfaces.exclude is a list of plain values"},
	    {"- a\n", "f.yaml:1: the file is not a list of keys and values"},
	    {"store: &a x\n", "f.yaml:1: anchors (&name) are not read here"},
	    {"store: *a\n", "f.yaml:1: aliases (*name) are not read here; write the value out"},
	    {"store: \"a\\0b\"\n", "f.yaml:1: a value with a NUL character"},
	    {"store: a\n---\nstore: b\n", "f.yaml:2: a second document in the file"},
	    {"flow_logs:\n- interval: 60\n", "f.yaml:2: a flow log needs a destination"},
	    {"flow_logs:\n- destination: b1b/AWSLogs/x\n",
	     "f.yaml:2: destination b1b/AWSLogs/x: the prefix must not have a part named AWSLogs, "
	     "\".\", \"..\" or nothing"},
	    {"flow_logs:\n- destination: bbb/../x\n",
	     "f.yaml:2: destination bbb/../x: the prefix must not have a part named AWSLogs, "
	     "\".\", \"..\" or nothing"},
	    {"flow_logs:\n- destination: Up\n",
	     "f.yaml:2: destination Up: \"Up\" is no bucket name (3 to 63 lower-case letters, "
	     "digits, hyphens and dots)"},
	    {"flow_logs:\n- destination: arn:aws:logs:us-east-1:1:log-group:x\n",
	     "f.yaml:2: destination arn:aws:logs:us-east-1:1:log-group:x: only S3 buckets are "
	     "destinations here (arn:aws:s3:::bucket/prefix)"},
	    {"flow_logs:\n- destination: bbb\n  interval: 61\n",
	     "f.yaml:3: interval 61: 60 or 600 seconds, as AWS has it"},
	    {"flow_logs:\n- destination: bbb\n  traffic_type: all\n",
	     "f.yaml:3: traffic_type all: ALL, ACCEPT or REJECT"},
	    {"flow_logs:\n- destination: bbb\n  trafic_type: ALL\n",
	     "f.yaml:3: unknown key trafic_type of a flow log; did you mean traffic_type?"},
	    {"flow_logs:\n- destination: bbb\n  id: fl-1\n",
	     "f.yaml:3: id \"fl-1\" is no flow log id (fl- and 17 hexadecimal digits)"},
	    {"flow_logs:\n- destination: bbb\n- destination: bbb\n", "f.yaml:3: flow log fl-"},
	    {"flow_logs:\n- destination: bbb\n  format: ${srcadr}\n", "f.yaml:3: format: "},
	    {"flow_logs:\n- destination: bbb\n  format: ${tgw-id} ${action}\n", "f.yaml:3: format: "},
	    {"flow_logs:\n- destination: bbb\n  format: tgw-default\n  interval: 600\n",
	     "f.yaml:2: interval 600: a transit gateway's flow log has 60 seconds"},
	    {"flow_logs:\n- destination: bbb\n  format: tgw-default\n  traffic_type: ACCEPT\n",
	     "f.yaml:2: traffic_type: a transit gateway's flow log has none"},
	    {"flow_logs:\n- destination: bbb\n  lost_apart: yes\n", "f.yaml:3: lost_apart yes: true or false"},
	    {"flow_logs: x\n", "f.yaml:1: flow_logs is a list; [] for none"},
	    {"store: [\n", "f.yaml:"},
	    {"store: \xff\n", "f.yaml:"},
	};

	(void)state;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct fl_config *c = NULL;
		int r = fl_config_parse(&c, options, "f.yaml", rows[i].text, strlen(rows[i].text));

		if (!rows[i].want && r)
			fail_msg("%s: %s", rows[i].text, fl_error_text(r));
		if (rows[i].want && (r != -EBADMSG || strncmp(fl_error_text(r), rows[i].want, strlen(rows[i].want))))
			fail_msg("%s: %d %s", rows[i].text, r, r ? fl_error_text(r) : "was read");
		fl_config_free(&c);
	}
}

static void flow_logs(void **state)
{
	static const char text[] =
	    "flow_logs:\n"
	    "  - id: fl-0123456789abcdef0\n    destination: "
	    "arn:aws:s3:::my-bucket/a/b/\n    interval: 60\n"
	    "    traffic_type: REJECT\n    hive: true\n    per_hour: true\n    file_format: parquet\n "
	    "   format: ${version} ${srcaddr}\n"
	    "  - destination: other\n";
	struct fl_config *c = NULL;
	const struct fl_flow_log *logs;
	size_t n;

	(void)state;
	assert_int_equal(fl_config_parse(&c, options, "f", text, sizeof text - 1), 0);
	logs = fl_config_flow_logs(c, &n);
	assert_int_equal(n, 2);
	assert_string_equal(logs[0].id, "fl-0123456789abcdef0");
	assert_string_equal(logs[0].bucket, "my-bucket");
	assert_string_equal(logs[0].prefix, "a/b");
	assert_int_equal(logs[0].interval, 60);
	assert_int_equal(logs[0].traffic, FL_TRAFFIC_REJECT);
	assert_true(logs[0].hive && logs[0].per_hour);
	assert_int_equal(logs[0].file_format, FL_FILE_PARQUET);
	assert_int_equal(logs[1].file_format, FL_FILE_TEXT);
	assert_string_equal(logs[0].format, "${version} ${srcaddr}");
	assert_int_equal(logs[1].interval, 600);
	assert_int_equal(strlen(logs[1].id), 20);
	assert_string_equal(logs[1].format, "default");
	fl_config_free(&c);
	assert_int_equal(fl_config_parse(&c, options, "f", "flow_logs: []", 13), 0);
	assert_non_null(fl_config_flow_logs(c, &n));
	assert_int_equal(n, 0);
	fl_config_free(&c);
	assert_int_equal(fl_config_parse(&c, options, "f", "store: x", 8), 0);
	assert_null(fl_config_flow_logs(c, &n));
	fl_config_free(&c);
}

/* A transit gateway's flow log, and what AWS does not document: each switch makes another flow log. */
static void kinds_and_switches(void **state)
{
	struct fl_config *c = NULL;
	const struct fl_flow_log *logs;
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 16);
	size_t n;

	(void)state;
	fl_buf_adds(&text, "flow_logs:\n- {destination: bbb, format: tgw-default}\n- {destination: bbb}\n");
	for (size_t i = 0; i < FL_ENRICH_SWITCH_N; i++)
		fl_buf_printf(&text, "- {destination: bbb, %s: true}\n", fl_enrich_switches[i].key);
	assert_int_equal(fl_config_parse(&c, options, "f", text.data, text.len), 0);
	logs = fl_config_flow_logs(c, &n);
	assert_int_equal(n, 2 + FL_ENRICH_SWITCH_N); /* none is "there twice" */
	assert_int_equal(logs[0].interval, 60);
	assert_int_equal(logs[1].interval, 600);
	for (size_t i = 0; i < FL_ENRICH_SWITCH_N; i++)
		for (size_t k = 0; k < FL_ENRICH_SWITCH_N; k++)
			assert_int_equal(fl_enrich_get(&logs[2 + i].enrich, k), i == k);
	fl_config_free(&c);
}

static void ceilings(void **state)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4u << 20);
	struct fl_config *c = NULL;

	(void)state;
	while (text.len <= FL_CONFIG_BYTES_MAX)
		fl_buf_adds(&text, "# a comment that goes on and on\n");
	assert_int_equal(fl_config_parse(&c, options, "f", text.data, text.len), -EBADMSG);
	fl_buf_reset(&text);
	fl_buf_adds(&text, "interfaces:\n  exclude: [");
	for (unsigned i = 0; i < 2 * FL_CONFIG_VALUES_MAX; i++)
		fl_buf_adds(&text, "a,");
	fl_buf_adds(&text, "]\n");
	assert_int_equal(fl_config_parse(&c, options, "f", text.data, text.len), -EBADMSG);
	assert_non_null(strstr(fl_error_text(-EBADMSG), "too many values"));
	fl_buf_reset(&text);
	for (unsigned i = 0; i < 100000; i++)
		fl_buf_adds(&text, "[");
	assert_int_equal(fl_config_parse(&c, options, "f", text.data, text.len), -EBADMSG);
	assert_null(c);
}

static void precedence(void **state)
{
	static const char text[] =
	    "window: 10s\nstore: file\ninterfaces:\n  exclude: [a, b]\njournal: {max_size: 5MiB}\n";
	char path[] = "/tmp/fl-config-XXXXXX";
	char *argv[] = {(char *)"--config", path, (char *)"--window=1s", (char *)"--exclude", (char *)"z"};
	char *only_file[] = {(char *)"-c", path};
	char *missing[] = {(char *)"-c", (char *)"/nonexistent.yaml"};
	int fd = mkstemp(path), argc = 5;
	struct conf conf = {0};

	(void)state;
	assert_int_equal(fl_write_all(fd, text, sizeof text - 1), 0);
	close(fd);
	setenv("FL_STORE", "environment", 1);
	assert_int_equal(fl_opt_parse(&command, &conf, &argc, argv), 0);
	assert_int_equal(argc, 0);
	assert_string_equal(conf.store, "environment");
	assert_int_equal(conf.window, 1000000000ull);
	assert_int_equal(conf.size, 5u << 20);
	assert_string_equal(conf.exclude[0], "z");
	assert_null(conf.exclude[1]);
	fl_opt_release(&command, &conf);
	unsetenv("FL_STORE");
	memset(&conf, 0, sizeof conf);
	argc = 2;
	assert_int_equal(fl_opt_parse(&command, &conf, &argc, only_file), 0);
	assert_string_equal(conf.store, "file");
	assert_string_equal(conf.exclude[1], "b");
	assert_null(conf.exclude[2]);
	fl_opt_release(&command, &conf);
	memset(&conf, 0, sizeof conf);
	argc = 2;
	assert_int_equal(fl_opt_parse(&command, &conf, &argc, missing), -EBADMSG);
	fl_opt_release(&command, &conf);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(fl_write_all(fd, "\nwindow: 5 parsecs\n", 19), 0);
	close(fd);
	argc = 2;
	memset(&conf, 0, sizeof conf);
	assert_int_equal(fl_opt_parse(&command, &conf, &argc, only_file), -EBADMSG);
	assert_non_null(strstr(fl_error_text(-EBADMSG), ":2: window: "));
	fl_opt_release(&command, &conf);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(errors), cmocka_unit_test(flow_logs),
					   cmocka_unit_test(kinds_and_switches), cmocka_unit_test(ceilings),
					   cmocka_unit_test(precedence)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
