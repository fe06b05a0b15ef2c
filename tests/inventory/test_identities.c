/* SPDX-License-Identifier: Apache-2.0 */
/* The history of discovered identities: what holds when, across restarts, torn lines and the ceiling. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "inventory/inventory.h"

#define A "eni-0000000000000000a"
#define B "eni-0000000000000000b"

static char store[64];
static int dirfd;

static int make_store(void **state)
{
	(void)state;
	snprintf(store, sizeof store, "/tmp/fl-identities-XXXXXX");
	assert_non_null(mkdtemp(store));
	dirfd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd < 0;
}

static int remove_store(void **state)
{
	char command[128];

	(void)state;
	close(dirfd);
	snprintf(command, sizeof command, "rm -rf %s", store);
	return system(command);
}

static void set(struct fl_identity_log *l, const char *eni, const char *name, const char *team, int64_t at_ms)
{
	struct fl_label_buf labels = {.n = 0};
	struct fl_identity who = {.since = 0};

	if (team)
		fl_label_add(&labels, "Team", team);
	snprintf(who.interface_id, sizeof who.interface_id, "%s", eni);
	snprintf(who.name, sizeof who.name, "%s", name);
	snprintf(who.kind, sizeof who.kind, "container");
	snprintf(who.device, sizeof who.device, "veth1");
	who.labels = (struct fl_labels){labels.text, labels.n};
	assert_int_equal(fl_identity_log_set(l, &who, at_ms), 0);
}

static const char *name_at(struct fl_identities *i, const char *eni, int64_t start, int64_t length)
{
	const struct fl_identity *e = fl_identities_at(i, eni, start, length);

	return e ? e->name : "-";
}

static const char *team_at(struct fl_identities *i, const char *eni, int64_t start)
{
	const struct fl_identity *e = fl_identities_at(i, eni, start, 60);
	const char *team = e ? fl_label_value(&e->labels, "Team") : NULL;

	return team ? team : "-";
}

static off_t size_of_file(void)
{
	struct stat st;

	return fstatat(dirfd, FL_IDENTITIES_FILE, &st, 0) ? -1 : st.st_size;
}

static void open_log(struct fl_identity_log **l)
{
	assert_int_equal(fl_identity_log_new(l, dirfd), 0);
}

static void what_held_when(void **state)
{
	static const char nobody[1][22], only_b[1][22] = {B};
	struct fl_identity_log *l;
	struct fl_identities *i;
	size_t at = 0;
	off_t size;

	(void)state;
	open_log(&l);
	assert_int_equal(fl_identities_new(&i, store), 0);
	assert_int_equal(size_of_file(), -1); /* nothing to say makes no file */
	assert_null(fl_identities_at(i, A, 60, 60));
	set(l, A, "web", "blue", 90500);
	assert_string_equal(name_at(i, A, 0, 60), "-");
	assert_string_equal(name_at(i, A, 60, 60), "web"); /* the window it came in */
	assert_string_equal(name_at(i, A, 60, 30), "-");
	assert_string_equal(name_at(i, A, 120, 60), "web");
	assert_string_equal(team_at(i, A, 120), "blue");
	size = size_of_file();
	set(l, A, "web", "blue", 99000);
	assert_int_equal(size_of_file(), size); /* no news */
	set(l, A, "shop", "red", 130000);
	assert_string_equal(team_at(i, A, 120), "blue"); /* a change counts from the next window on */
	assert_string_equal(team_at(i, A, 180), "red");
	set(l, B, "other", NULL, 180000);
	assert_string_equal(name_at(i, B, 180, 60), "other");
	assert_string_equal(team_at(i, B, 180), "-");
	assert_int_equal(fl_identity_log_only(l, only_b, 1, 250000), 0);
	assert_string_equal(name_at(i, A, 240, 60), "shop");
	assert_string_equal(name_at(i, A, 300, 60), "-");
	assert_null(fl_identities_now(i, A));
	assert_string_equal(fl_identities_now(i, B)->name, "other");
	assert_string_equal(fl_identities_next(i, &at)->name, "other");
	assert_null(fl_identities_next(i, &at));
	fl_identity_log_free(&l);
	/* Another life. What it finds again is no news; what ended stays in the past. */
	open_log(&l);
	set(l, B, "other", NULL, 400000);
	assert_string_equal(name_at(i, B, 360, 60), "other");
	set(l, A, "next", "green", 400000);
	assert_string_equal(team_at(i, A, 120), "blue");
	assert_string_equal(name_at(i, A, 300, 60), "-");
	assert_string_equal(team_at(i, A, 420), "green");
	assert_int_equal(fl_identity_log_only(l, nobody, 0, 500000), 0);
	fl_identities_refresh(i);
	assert_null(fl_identities_next(i, (size_t[]){0}));
	assert_string_equal(team_at(i, A, 420), "green");
	/* The clock was set back: the newer word still stands at the end. */
	set(l, A, "late", NULL, 450000);
	assert_string_equal(fl_identities_at(i, A, 600, 60)->name, "late");
	fl_identities_free(&i);
	fl_identity_log_free(&l);
}

static void write_file(const char *text)
{
	assert_int_equal(fl_mkdirs(dirfd, "inventory", 0700), 0);
	assert_int_equal(fl_file_write_atomic(dirfd, FL_IDENTITIES_FILE, text, strlen(text), 0600, false), 0);
}

static void lines_that_are_none(void **state)
{
	struct fl_identity_log *l;
	struct fl_identities *i;

	(void)state;
	write_file("\nnull\n[]\n{\"at\":\"x\"}\n{\"at\":1000}\n{\"at\":1000,\"eni\":\"eni-far-too-long-for-an-"
		   "interface\",\"name\":\"x\"}\n"
		   "{\"at\":1000,\"eni\":\"" A
		   "\",\"name\":\"web\",\"kind\":\"container\",\"device\":\"v\",\"labels\":{\"Team\":1,\"B\":"
		   "\"c\"}}\n{\"at\":61000,\"eni\":\"" B "\",\"gone\":true}\n{\"at\":62000,\"eni\":\"" A
		   "\",\"name\":\"torn");
	assert_int_equal(fl_identities_new(&i, store), 0);
	assert_string_equal(name_at(i, A, 60, 60), "web");
	assert_string_equal(fl_label_value(&fl_identities_now(i, A)->labels, "B"), "c");
	assert_null(fl_label_value(&fl_identities_now(i, A)->labels, "Team"));
	/* The next life writes it anew, without what was torn. */
	open_log(&l);
	set(l, A, "db", NULL, 120000);
	assert_string_equal(name_at(i, A, 60, 60), "web");
	assert_string_equal(name_at(i, A, 120, 60), "db");
	fl_identity_log_free(&l);
	fl_identities_free(&i);
	write_file("");
	assert_int_equal(fl_identities_new(&i, store), 0);
	assert_null(fl_identities_at(i, A, 60, 60));
	fl_identities_free(&i);
}

static void the_oldest_are_dropped(void **state)
{
	struct fl_identity_log *l;
	struct fl_identities *i;
	char name[32];

	(void)state;
	write_file("");
	open_log(&l);
	set(l, B, "steady", "blue", 1000);
	for (int64_t k = 1; k <= FL_IDENTITIES_MAX + 100; k++) {
		snprintf(name, sizeof name, "c%d", (int)k);
		set(l, A, name, NULL, k * 60000);
	}
	assert_int_equal(fl_identities_new(&i, store), 0);
	assert_string_equal(name_at(i, A, 60 * 60, 60), "-");
	snprintf(name, sizeof name, "c%d", FL_IDENTITIES_MAX);
	assert_string_equal(name_at(i, A, FL_IDENTITIES_MAX * 60, 60), name);
	snprintf(name, sizeof name, "c%d", FL_IDENTITIES_MAX / 2);
	assert_string_equal(name_at(i, A, FL_IDENTITIES_MAX / 2 * 60, 60), name);
	assert_string_equal(team_at(i, B, FL_IDENTITIES_MAX * 60), "blue"); /* what holds is kept */
	fl_identities_free(&i);
	fl_identity_log_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_held_when),
	    cmocka_unit_test(lines_that_are_none),
	    cmocka_unit_test(the_oldest_are_dropped),
	};

	return cmocka_run_group_tests(tests, make_store, remove_store);
}
