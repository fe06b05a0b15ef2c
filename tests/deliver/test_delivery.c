/* SPDX-License-Identifier: Apache-2.0 */
/* What delivery makes of windows: names, lines, merged intervals, labels, and the file sink. */
#include "deliver/rig.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ---- names ---- */

static void golden_names(void **state)
{
	struct fl_flow_log l = a_log(60);
	struct fl_position from = {1, 64}, to = {2, 128};
	char key[FL_KEY_MAX];

	assert_int_equal(fl_object_key(&l, BASE, 0, from, to, 0, key), 0);
	assert_string_equal(key, "AWSLogs/123456789012/vpcflowlogs/eu-central-1/2025/01/01/"
				 "123456789012_vpcflowlogs_eu-central-1_fl-0123456789abcdef0_"
				 "20250101T0000Z_463da9a4.log.gz");
	assert_int_equal(fl_object_time(strrchr(key, '/') + 1, LOG_ID), BASE);
	assert_int_equal(fl_object_time(strrchr(key, '/') + 1, "fl-0"), -1);
	l.per_hour = true;
	strcpy(l.prefix, "/my/folder/");
	assert_int_equal(fl_object_key(&l, BASE + 16 * 3600 + 20 * 60, 0, from, to, 0, key), 0);
	assert_non_null(
	    strstr(key, "my/folder/AWSLogs/123456789012/vpcflowlogs/eu-central-1/2025/01/01/16/123456789012_"));
	assert_non_null(strstr(key, "_20250101T1620Z_"));
	l.hive = true;
	assert_int_equal(fl_object_key(&l, BASE, 0, from, to, 0, key), 0);
	assert_int_equal(strncmp(key,
				 "my/folder/AWSLogs/aws-account-id=123456789012/"
				 "aws-service=vpcflowlogs/aws-region=eu-central-1/"
				 "year=2025/month=01/day=01/hour=00/123456789012_vpcflowlogs_",
				 140),
			 0);
	l.per_hour = false;
	l.file_format = FL_FILE_PARQUET;
	assert_int_equal(fl_object_key(&l, BASE, 0, from, to, 0, key), 0);
	assert_string_equal(key + strlen(key) - 12, ".log.parquet");
	assert_int_equal(fl_object_time(strrchr(key, '/') + 1, LOG_ID), BASE);
	l.file_format = FL_FILE_TEXT;
	assert_int_equal(fl_object_key(&l, BASE, 0, from, to, 0, key), 0);
	assert_non_null(strstr(key, "/day=01/123456789012_vpcflowlogs_"));
}

/* ---- windows to files ---- */

static void windows_become_files(void **state)
{
	struct rig r;
	struct lines want = {0};
	bool seen[3] = {false};
	struct fl_delivery_stats st;
	size_t files;
	struct lines got = {0};

	rig_open(&r, temp_new(), a_log(60), 1 << 20, 0);
	for (uint32_t w = 0; w < 8; w++) {
		append(r.j, w, 60, 0);
		/* A reader sees the window before it is delivered, and the same after. */
		expect(&want, w, w + 1, 60, seen);
		check_store(&r.t, &want, "before");
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), 0);
		check_store(&r.t, &want, "after");
		fl_delivery_stats(r.d, 0, &st);
		assert_int_equal(st.objects, w + 1);
		assert_int_equal(st.undelivered_windows, 0);
		assert_int_equal(st.newest_end, BASE + (w + 1) * 60);
	}
	assert_int_equal(st.records, want.n);
	lines_of_store(&got, r.t.path, false, &files);
	assert_int_equal(files, 8);
	lines_free(&got);
	lines_free(&want);
	rig_close(&r);
	temp_remove(&r.t);
}

static void skipdata_beside_flows(void **state)
{
	struct rig r;
	struct lines want = {0};
	bool seen[3] = {false};

	rig_open(&r, temp_new(), a_log(60), 1 << 20, 0);
	append(r.j, 0, 60, 0);
	append(r.j, 1, 60, FL_WINDOW_SKIPDATA); /* has flows */
	append(r.j, 2, 60, 0);
	append(r.j, 3, 60, FL_WINDOW_SKIPDATA); /* has none: SKIPDATA instead of NODATA */
	expect(&want, 0, 3, 60, seen);
	seen[1] = false;
	expect(&want, 3, 4, 60, seen);
	expect_status(&want, 1, BASE + 60, BASE + 119, "SKIPDATA");
	expect_status(&want, 1, BASE + 180, BASE + 239, "SKIPDATA");
	lines_sort(&want);
	check_store(&r.t, &want, "journal");
	assert_int_equal(rig_run(&r, BASE + 240, false), 0);
	check_store(&r.t, &want, "files");
	lines_free(&want);
	rig_close(&r);
	temp_remove(&r.t);
}

static void traffic_types(void **state)
{
	struct lines all = {0}, got[2] = {0};
	bool seen[3] = {false};
	size_t ok = 0, nodata = 0;

	for (unsigned k = 0; k < 2; k++) {
		struct fl_flow_log log = a_log(60);
		struct rig r;

		log.traffic = k ? FL_TRAFFIC_REJECT : FL_TRAFFIC_ACCEPT;
		rig_open(&r, temp_new(), log, 1 << 20, 0);
		for (uint32_t w = 0; w < 6; w++)
			append(r.j, w, 60, 0);
		lines_of_store(&got[k], r.t.path, false, NULL);
		assert_int_equal(rig_run(&r, BASE + 360, false), 0);
		check_store(&r.t, &got[k], k ? "reject" : "accept");
		for (size_t i = 0; i < got[k].n; i++) {
			ok += strstr(got[k].line[i], k ? " REJECT " : " ACCEPT ") != NULL;
			nodata += strstr(got[k].line[i], " NODATA") != NULL;
		}
		rig_close(&r);
		temp_remove(&r.t);
	}
	expect(&all, 0, 6, 60, seen);
	for (size_t i = 0; i < all.n; i++)
		ok -= strstr(all.line[i], " OK") != NULL;
	assert_int_equal(ok, 0);
	assert_true(got[0].n && got[1].n && nodata);
	lines_free(&all);
	lines_free(&got[0]);
	lines_free(&got[1]);
}

/* Five minutes to a file when nobody is in a hurry. */
static void publish_cycle(void **state)
{
	struct fl_flow_log log = a_log(60);
	struct fl_delivery_stats st;
	struct rig r;

	log.publish_every_s = 300;
	rig_open(&r, temp_new(), log, 1 << 20, 0);
	for (uint32_t w = 0; w < 12; w++) {
		append(r.j, w, 60, 0);
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), 0);
		fl_delivery_stats(r.d, 0, &st);
		assert_int_equal(st.objects, (w + 1) / 5);
		assert_int_equal(st.undelivered_windows, (w + 1) % 5);
	}
	/* No more windows come: what waits goes out all the same. */
	assert_int_equal(rig_run(&r, BASE + 1000, false), 0);
	fl_delivery_stats(r.d, 0, &st);
	assert_int_equal(st.objects, 3);
	append(r.j, 20, 60, 0);
	assert_int_equal(rig_run(&r, BASE + 1260, true), 0);
	fl_delivery_stats(r.d, 0, &st);
	assert_int_equal(st.objects, 4);
	rig_close(&r);
	temp_remove(&r.t);
}

/* Windows an hour back: what was open goes out, and so do they. */
static void clock_set_back(uint32_t interval)
{
	struct rig r;
	struct lines got = {0};
	struct fl_delivery_stats st;
	size_t files;

	rig_open(&r, temp_new(), a_log(interval), 1 << 20, 0);
	for (uint32_t w = 0; w < 3; w++) {
		append_window(r.j, 1, w, BASE, 60, 10);
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), 0);
	}
	for (uint32_t w = 3; w < 30; w++) {
		append_window(r.j, 1, w, BASE - 7200, 60, 10);
		assert_int_equal(rig_run(&r, BASE - 7200 + (w + 1) * 60, false), 0);
	}
	fl_delivery_stats(r.d, 0, &st);
	assert_int_equal(st.undelivered_windows, 0);
	lines_of_store(&got, r.t.path, false, &files);
	assert_int_equal(got.n, st.records);
	assert_true(files >= (interval == 60 ? 30u : 4u));
	lines_free(&got);
	rig_close(&r);
	temp_remove(&r.t);
}

static void clock_goes_back(void **state)
{
	clock_set_back(60);
	clock_set_back(600);
}

/* Why a flow was rejected, where a record can say it: not by rules that are not in force, and not in the same record as
 * what was rejected for another reason. */
static void reasons_are_delivered(uint32_t interval)
{
	static const struct fl_ground grounds[] = {
	    {.rule = "block-public-access", .opinion = FL_OPINION_REJECT, .reason = FL_REASON_BPA},
	    {.drop = "NETFILTER_DROP", .rule = "sg-1/inbound/sgr-1", .opinion = FL_OPINION_ACCEPT},
	};
	struct fl_flow_log log = a_log(interval);
	struct lines got = {0};
	struct rig r;
	unsigned blocked = 0, others = 0;

	log.format = "${interface-id} ${packets} ${bytes} ${action} ${reject-reason}";
	rig_open(&r, temp_new(), log, 1 << 20, 0);
	for (uint32_t w = 0; w < 10; w++) {
		struct fl_flow *flows = make_flows(3, 1, 60000);
		struct fl_frame f = make_frame(0, w, BASE, 60, flows, 3);
		const uint16_t ground[3] = {1, (uint16_t)(w % 2 ? 1 : 2), 1};

		flows[0].action = flows[1].action = FL_ACTION_REJECT;
		flows[2].action = FL_ACTION_ACCEPT; /* a rule's opinion rejects nobody */
		for (unsigned i = 0; i < 3; i++) {
			flows[i].packets = 1;
			flows[i].bytes = 50;
		}
		f.window.flags = FL_WINDOW_POLICY | FL_WINDOW_VERDICTS;
		f.grounds = grounds;
		f.n_grounds = 2;
		f.ground = ground;
		assert_int_equal(fl_journal_append(r.j, &f), 0);
		assert_int_equal(fl_journal_commit(r.j, w, f.window.start, 60), 0);
		free(flows);
	}
	rig_run(&r, BASE + 1200, true);
	lines_of_store(&got, r.t.path, false, NULL);
	for (size_t i = 0; i < got.n; i++) {
		if (strstr(got.line[i], " REJECT BPA")) {
			assert_non_null(strstr(got.line[i], " - REJECT BPA"));
			blocked += (unsigned)atoi(strchr(got.line[i], ' '));
		} else if (strstr(got.line[i], "ACCEPT") || strstr(got.line[i], "REJECT")) {
			assert_null(strstr(got.line[i], " - ACCEPT"));
			assert_non_null(strstr(got.line[i], "T -"));
			others += (unsigned)atoi(strchr(got.line[i], ' '));
		}
	}
	assert_int_equal(blocked, 10 + 5);
	assert_int_equal(others, 10 + 5);
	assert_int_equal(got.n, interval == 60 ? 30 : 4);
	lines_free(&got);
	rig_close(&r);
	temp_remove(&r.t);
}

static void reasons(void **state)
{
	(void)state;
	reasons_are_delivered(60);
	reasons_are_delivered(600);
}

/* ---- 600 seconds ---- */

/* Every line of a file ends in the five minutes of its name. */
static void check_slots(const struct temp *t, size_t *ret_slots)
{
	struct fl_store *s = NULL;
	char before[32] = "";

	*ret_slots = 0;
	assert_int_equal(fl_store_open(&s, t->path, NULL), 0);
	for (size_t i = 0; i < fl_store_file_count(s); i++) {
		const char *name = strrchr(fl_store_file(s, i), '/') + 1;
		int64_t slot = fl_object_time(name, LOG_ID);
		struct lines l = {0};
		struct stat st;

		*ret_slots += strncmp(strstr(name, "_2025"), before, 15) != 0;
		snprintf(before, sizeof before, "%.15s", strstr(name, "_2025"));
		lines_of_object(&l, fl_store_file(s, i));
		assert_true(l.n > 0);
		for (size_t k = 0; k < l.n; k++) {
			char *p = l.line[k];
			long long end;

			for (unsigned field = 0; field < 9; field++)
				p = strchr(p, ' ') + 1;
			end = strtoll(p, NULL, 10);
			assert_in_range(end, slot, slot + 299);
		}
		lines_free(&l);
		assert_int_equal(stat(fl_store_file(s, i), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0640);
	}
	fl_store_close(&s);
}

static void ten_minutes_are_merged(void **state)
{
	struct rig r;
	struct lines want = {0};
	struct fl_delivery_stats st;
	size_t slots;

	rig_open(&r, temp_new(), a_log(600), 1 << 20, 0);
	for (uint32_t w = 0; w < 30; w++) {
		append(r.j, w, 60, 0);
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), 0);
		fl_delivery_stats(r.d, 0, &st);
		assert_int_equal(st.undelivered_windows, (w + 1) % 10);
		/* A restart in the middle of an interval changes nothing. */
		if (w % 7 == 3) {
			fl_delivery_close(&r.d);
			rig_deliver(&r);
		}
	}
	expect_merged(&want, 30, 0, 0);
	check_store(&r.t, &want, "merged");
	check_slots(&r.t, &slots);
	assert_int_equal(slots, 6);
	lines_free(&want);
	rig_close(&r);
	temp_remove(&r.t);
}

/* ---- labels ---- */

static void become(struct fl_identity_log *l, const char *team, int64_t at_s)
{
	struct fl_label_buf labels = {.n = 0};
	struct fl_identity who = {.kind = "container", .name = "web-1", .device = "veth1"};
	struct fl_eni e = make_eni(1);

	fl_label_add(&labels, "Team", team);
	memcpy(who.interface_id, e.interface_id, sizeof who.interface_id);
	who.labels = (struct fl_labels){labels.text, labels.n};
	assert_int_equal(fl_identity_log_set(l, &who, at_s * 1000), 0);
}

/* The team of interface 1 is blue from the first window, red from the fourth, and from the eighth on it is nobody's.
 * Its traffic is in windows 1, 2 and 4. */
static void check_teams(uint32_t interval, const char *const *want)
{
	static const char none[1][22];
	struct fl_flow_log log = a_log(interval);
	struct fl_identity_log *l;
	struct lines got = {0};
	unsigned seen = 0;
	struct rig r;

	log.format = "${interface-id} ${start} ${end} ${interface-tag} ${instance-tag-2} ${asg-tag} ${log-status}";
	log.enrich.tag_key[2] = log.enrich.tag_key[1] = log.enrich.tag_key[4] = "Team";
	rig_open(&r, temp_new(), log, 1 << 20, 0);
	fl_delivery_close(&r.d);
	assert_int_equal(fl_identities_new(&r.identities, r.t.path), 0);
	rig_deliver(&r);
	assert_int_equal(fl_identity_log_new(&l, r.t.fd), 0);
	become(l, "blue", BASE + 10);
	become(l, "red", BASE + 130);
	assert_int_equal(fl_identity_log_only(l, none, 0, (BASE + 400) * 1000ll), 0);
	fl_identity_log_free(&l);
	for (uint32_t w = 0; w < 10; w++)
		append(r.j, w, 60, 0);
	assert_int_equal(rig_run(&r, BASE + 700, true), 0);
	lines_of_store(&got, r.t.path, false, NULL);
	for (size_t i = 0; i < got.n; i++) {
		char eni[32], team[16], instance[16], asg[16];
		long start, end;
		struct fl_eni e = make_eni(1);

		assert_int_equal(
		    sscanf(got.line[i], "%31s %ld %ld %15s %15s %15s", eni, &start, &end, team, instance, asg), 6);
		assert_string_equal(team, instance);
		assert_string_equal(asg, "-");
		if (strcmp(eni, e.interface_id) != 0) {
			assert_string_equal(team, "-");
			continue;
		}
		seen |= 1u << (start - BASE) / 60;
		if (interval == 60)
			assert_string_equal(team, want[(start - BASE) / 60]);
		else
			assert_string_equal(team, *want);
	}
	assert_int_equal(seen & (interval == 60 ? 0x16 : 2), interval == 60 ? 0x16 : 2);
	lines_free(&got);
	rig_close(&r);
	fl_identities_free(&r.identities);
	temp_remove(&r.t);
}

static void labels_of_their_time(void **state)
{
	static const char *const by_window[] = {"blue", "blue", "blue", "red", "red", "red", "red", "-", "-", "-"},
				 *const merged[] = {"red"};

	check_teams(60, by_window);
	check_teams(600, merged);
}

/* ---- the file sink ---- */

static void keys_stay_inside(void **state)
{
	static const char *const bad[] = {"../x", "a/../../x", "/x", "a//x", "a/./x", "", "a/", ".."};
	struct temp t = temp_new();
	struct fl_faults none = {0};
	void *s = NULL;
	struct stat st;

	fl_faults = none;
	assert_int_equal(fl_sink_file.open(&s, t.fd, NULL), 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++)
		assert_int_equal(fl_sink_file.put(s, "b", bad[i], "x", 1), -EINVAL);
	assert_int_equal(fl_sink_file.put(s, "..", "x", "x", 1), -EINVAL);
	assert_int_equal(fl_sink_file.put(s, "a/b", "x", "x", 1), -EINVAL);
	/* A link is not followed. */
	assert_int_equal(fl_sink_file.put(s, "b", "d/ok", "x", 1), 0);
	assert_int_equal(symlinkat("/tmp", t.fd, "s3/b/link"), 0);
	assert_true(fl_sink_file.put(s, "b", "link/fl-escaped", "x", 1) < 0);
	assert_int_equal(fl_sink_file.has(s, "b", "d/ok"), 1);
	assert_int_equal(fl_sink_file.has(s, "b", "d/no"), 0);
	assert_int_equal(fl_sink_file.has(s, "c", "d/no"), 0);
	fstatat(t.fd, "s3/b/d", &st, 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	fl_sink_file.close(&s);
	assert_int_equal(fl_sink_file.open(&s, t.fd, "https://x"), -EINVAL);
	temp_remove(&t);
}

static void retention(void **state)
{
	struct temp t = temp_new();
	struct fl_flow_log log = a_log(60), other = a_log(60);
	struct fl_position from = {1, 1}, to = {2, 2};
	char key[10][FL_KEY_MAX], foreign[FL_KEY_MAX], tmp[FL_KEY_MAX + 4];
	void *s = NULL;
	struct stat st;
	int left = 0;

	strcpy(other.id, "fl-00000000000000001");
	assert_int_equal(fl_sink_file.open(&s, t.fd, NULL), 0);
	for (int i = 0; i < 10; i++) {
		fl_object_key(&log, BASE + i * 86400ll, 0, from, to, 0, key[i]);
		assert_int_equal(fl_sink_file.put(s, log.bucket, key[i], "0123456789", 10), 0);
	}
	fl_object_key(&other, BASE, 0, from, to, 0, foreign);
	assert_int_equal(fl_sink_file.put(s, log.bucket, foreign, "0123456789", 10), 0);
	snprintf(tmp, sizeof tmp, "%s.tmp", key[9]);
	assert_int_equal(fl_sink_file.put(s, log.bucket, tmp, "0", 1), 0);
	assert_int_equal(fl_sink_file.retain(s, &log, BASE + 100 * 86400ll), 0); /* no limit */
	for (int i = 0; i < 10; i++)
		assert_int_equal(fl_sink_file.has(s, log.bucket, key[i]), 1);
	assert_int_equal(fl_sink_file.has(s, log.bucket, tmp), 0); /* left behind by a crash */
	log.max_age_s = 5 * 86400;
	assert_int_equal(fl_sink_file.retain(s, &log, BASE + 9 * 86400ll + 300), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(fl_sink_file.has(s, log.bucket, key[i]), i >= 4);
	log.max_bytes = 35;
	assert_int_equal(fl_sink_file.retain(s, &log, BASE + 9 * 86400ll + 300), 0);
	for (int i = 0; i < 10; i++)
		left += fl_sink_file.has(s, log.bucket, key[i]);
	assert_int_equal(left, 3);
	assert_int_equal(fl_sink_file.has(s, log.bucket, key[9]), 1);
	assert_int_equal(fl_sink_file.has(s, log.bucket, foreign), 1);
	/* Days that are empty are gone. */
	assert_true(fstatat(t.fd, "s3/flow-logs/AWSLogs/123456789012/vpcflowlogs/eu-central-1/2025/01/03", &st, 0) < 0);
	fl_sink_file.close(&s);
	temp_remove(&t);
}

static void last_tenth_of_the_disk(void **state)
{
	struct temp t = temp_new();
	char *data = calloc(1, 900 << 10);
	void *s = NULL;

	if (mount("tmpfs", t.path, "tmpfs", 0, "size=1m")) {
		print_message("skipped: mounting a tmpfs needs root: %s\n", strerror(errno));
		free(data);
		temp_remove(&t);
		skip();
	}
	close(t.fd);
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fl_sink_file.open(&s, t.fd, NULL), 0);
	assert_int_equal(fl_sink_file.put(s, "b", "a", data, 500 << 10), 0);
	assert_int_equal(fl_sink_file.put(s, "b", "c", data, 450 << 10), -ENOSPC);
	assert_non_null(strstr(fl_error_text(-ENOSPC), "last 10 %"));
	assert_int_equal(fl_sink_file.has(s, "b", "c"), 0);
	assert_int_equal(fl_sink_file.put(s, "b", "c", data, 300 << 10), 0);
	fl_sink_file.close(&s);
	free(data);
	umount2(t.path, MNT_DETACH);
	temp_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden_names),
	    BOTH(windows_become_files),
	    BOTH(skipdata_beside_flows),
	    cmocka_unit_test(traffic_types),
	    cmocka_unit_test(publish_cycle),
	    cmocka_unit_test(reasons),
	    cmocka_unit_test(clock_goes_back),
	    cmocka_unit_test(ten_minutes_are_merged),
	    cmocka_unit_test(labels_of_their_time),
	    cmocka_unit_test(keys_stay_inside),
	    cmocka_unit_test(retention),
	    cmocka_unit_test(last_tenth_of_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
