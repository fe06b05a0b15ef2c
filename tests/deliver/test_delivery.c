/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/lines.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "deliver/faults.h"
#include "deliver/log.h"

#define BASE 1735689600 /* 2025-01-01 00:00:00 */

static enum fl_file_format file_format; /* of the flow logs of a test */

static struct fl_flow_log a_log(uint32_t interval)
{
	struct fl_flow_log l = {.id = LOG_ID,
				.account_id = "123456789012",
				.region = "eu-central-1",
				.format = FORMAT,
				.interval = interval,
				.file_format = file_format,
				.bucket = "flow-logs",
				.publish_every_s = 60};

	return l;
}

struct rig {
	struct temp t;
	int journalfd;
	struct fl_journal *j;
	struct fl_clock_sim now;
	struct fl_flow_log log;
	struct fl_delivery *d;
	struct fl_identities *identities;
};

static void rig_deliver(struct rig *r)
{
	struct fl_delivery_conf conf = {r->t.fd, &r->log, 1, fl_clock_sim(&r->now)};
	int e;

	conf.identities = r->identities;
	e = fl_delivery_open(&r->d, &conf);

	if (e)
		fail_msg("%s", fl_error_text(e));
}

static void rig_open(struct rig *r, struct temp t, struct fl_flow_log log, uint64_t quota, uint64_t segment)
{
	*r = (struct rig){.t = t, .log = log, .now = {BASE * FL_NS_PER_S, FL_NS_PER_S}};
	if (fl_mkdirs(t.fd, "journal", 0750))
		fail_msg("mkdir");
	r->journalfd = openat(t.fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fl_journal_open(&r->j, r->journalfd, &(struct fl_journal_conf){quota, segment}))
		fail_msg("%s", fl_error_text(-EINVAL));
	rig_deliver(r);
}

static void rig_close(struct rig *r)
{
	fl_delivery_close(&r->d);
	fl_journal_close(&r->j);
	close(r->journalfd);
}

/* The clock goes to the end of the window with it. */
static int rig_run(struct rig *r, int64_t now, bool flush)
{
	uint32_t wait;
	int e;

	r->now.monotonic +=
	    now > (int64_t)(r->now.realtime / FL_NS_PER_S) ? (uint64_t)now * FL_NS_PER_S - r->now.realtime : 0;
	r->now.realtime = (uint64_t)now * FL_NS_PER_S;
	e = fl_delivery_run(r->d, flush, &wait);
	if (e < 0)
		fail_msg("%s", fl_error_text(e));
	return e;
}

/* What interface i has in window w: interface 1 is silent at first, every third window and in the
 * second half of ten minutes, interface 2 always, until 4. */
static size_t flows_in(unsigned i, uint32_t w)
{
	if (i == 0)
		return 20 + w % 5;
	if (i == 1)
		return w % 3 && w % 10 < 5 ? 7 : 0;
	return w < 4 ? 0 : 3;
}

static struct fl_flow *flows_of(unsigned i, uint32_t w, uint32_t length)
{
	/* The same keys come again in the next windows. */
	struct fl_flow *f = make_flows(flows_in(i, w), i, length * 1000);

	for (size_t k = 0; k < flows_in(i, w); k++)
		f[k].packets = 1 + f[k].packets % 100000 + w;
	return f;
}

static void append(struct fl_journal *j, uint32_t w, uint32_t length, uint32_t flags)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fl_flow *flows = flows_of(i, w, length);
		struct fl_frame f = make_frame(i, w, BASE, length, flows, flows_in(i, w));

		f.window.flags = i == 1 ? flags : 0;
		assert_in_range(fl_journal_append(j, &f), 0, FL_JOURNAL_DUPLICATE);
		free(flows);
	}
	assert_int_equal(fl_journal_commit(j, w, BASE + (int64_t)w * length, length), 0);
}

/* Lines of windows [from, to) with an interval as long as the window. seen: interfaces that have
 * had a record. */
static void expect(struct lines *l, uint32_t from, uint32_t to, uint32_t length, bool seen[3])
{
	for (uint32_t w = from; w < to; w++)
		for (unsigned i = 0; i < 3; i++) {
			struct fl_flow *f = flows_of(i, w, length);
			int64_t start = BASE + (int64_t)w * length;
			size_t n = flows_in(i, w);

			for (size_t k = 0; k < n; k++)
				expect_line(l, i, &f[k].key, f[k].packets, f[k].bytes, start + f[k].first_ms / 1000,
					    start + f[k].last_ms / 1000, f[k].tcp, f[k].action);
			if (!n && seen[i])
				expect_status(l, i, start, start + length - 1, "NODATA");
			seen[i] |= n > 0;
			free(f);
		}
	lines_sort(l);
}

static void check_store(const struct temp *t, const struct lines *want, const char *what)
{
	struct lines got = {0};

	lines_of_store(&got, t->path, false, NULL);
	if (!lines_equal(&got, want, what))
		fail();
	lines_free(&got);
}

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

struct sum {
	struct fl_key key;
	unsigned iface, action, tcp;
	uint32_t interval;
	uint64_t packets, bytes;
	int64_t first, last;
};

/* Another way to the same: one list, searched from its start for each flow. */
static void expect_merged(struct lines *l, uint32_t windows, uint32_t missing_from, uint32_t missing_to)
{
	struct sum *sum = calloc(100000, sizeof *sum);
	size_t n = 0;

	for (uint32_t w = 0; w < windows; w++)
		for (unsigned i = 0; i < 3 && !(w >= missing_from && w < missing_to); i++) {
			struct fl_flow *f = flows_of(i, w, 60);

			for (size_t k = 0; k < flows_in(i, w); k++) {
				size_t at = 0;
				int64_t start = (BASE + w * 60ll) * 1000;

				while (at < n && !(sum[at].iface == i && sum[at].interval == w / 10 &&
						   sum[at].action == f[k].action &&
						   !memcmp(&sum[at].key, &f[k].key, sizeof f[k].key)))
					at++;
				if (at == n)
					sum[n++] = (struct sum){.key = f[k].key,
								.iface = i,
								.action = f[k].action,
								.interval = w / 10,
								.first = INT64_MAX};
				sum[at].packets += f[k].packets;
				sum[at].bytes += f[k].bytes;
				sum[at].tcp |= f[k].tcp;
				sum[at].first = FL_MIN(sum[at].first, start + (int64_t)f[k].first_ms);
				sum[at].last = FL_MAX(sum[at].last, start + (int64_t)f[k].last_ms);
			}
			free(f);
		}
	for (size_t i = 0; i < n; i++)
		expect_line(l, sum[i].iface, &sum[i].key, sum[i].packets, sum[i].bytes, sum[i].first / 1000,
			    sum[i].last / 1000, sum[i].tcp, sum[i].action);
	free(sum);
	lines_sort(l);
}

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

/* ---- a crash at every system call ---- */

static uint32_t closed_windows(const struct temp *t)
{
	uint32_t w = 0;
	int fd = openat(t->fd, "closed", O_RDONLY);

	if (fd >= 0 && pread(fd, &w, sizeof w, 0) != sizeof w)
		w = 0;
	close(fd);
	return w;
}

/* As the engine does: a window is appended until it is known to be closed. */
static void script(struct temp t, uint32_t interval, uint32_t windows)
{
	struct rig r;
	uint32_t w = closed_windows(&t);
	int fd = openat(t.fd, "closed", O_RDWR | O_CREAT, 0600);

	rig_open(&r, t, a_log(interval), 128 << 10, 16 << 10);
	for (; w < windows; w++) {
		uint32_t next = w + 1;
		struct fl_faults kept;

		append(r.j, w, 60, 0);
		kept = fl_faults;
		fl_faults = (struct fl_faults){0};
		if (pwrite(fd, &next, sizeof next, 0) != sizeof next)
			_exit(9);
		fl_faults = kept;
		if (rig_run(&r, BASE + (w + 1) * 60, false))
			_exit(8);
	}
	if (rig_run(&r, BASE + windows * 60, true))
		_exit(8);
	rig_close(&r);
	close(fd);
}

/* Exit status of the script in a process of its own. */
static int run_script(struct temp t, uint32_t interval, uint32_t windows, unsigned die_at, bool torn)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fl_faults = (struct fl_faults){.die_at = die_at, .torn = torn};
		script(t, interval, windows);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void crash_everywhere(uint32_t interval, uint32_t windows, bool torn, unsigned step)
{
	unsigned crashes = 0;
	int status = FL_FAULTS_DIED;

	for (unsigned n = 1; status == FL_FAULTS_DIED; n += step) {
		struct temp t = temp_new();
		struct lines want = {0}, got = {0};
		bool seen[3] = {false};
		char what[64];

		status = run_script(t, interval, windows, n, torn);
		assert_true(status == 0 || status == FL_FAULTS_DIED);
		snprintf(what, sizeof what, "%s at call %u", torn ? "torn" : "killed", n);
		/* What a reader sees now are whole windows, once. */
		if (interval == 60) {
			uint32_t k = closed_windows(&t);

			lines_of_store(&got, t.path, false, NULL);
			expect(&want, 0, k, 60, seen);
			if (got.n > want.n)
				expect(&want, k, k + 1, 60,
				       seen); /* committed, but the script did not note it any more */
			/* Before the flow log's file is there, there is nothing to read. */
			if (got.n && !lines_equal(&got, &want, what))
				fail();
			lines_free(&want);
			lines_free(&got);
		}
		assert_int_equal(run_script(t, interval, windows, 0, false), 0);
		memset(seen, 0, sizeof seen);
		if (interval == 60)
			expect(&want, 0, windows, 60, seen);
		else
			expect_merged(&want, windows, 0, 0);
		check_store(&t, &want, what);
		lines_free(&want);
		temp_remove(&t);
		crashes += status == FL_FAULTS_DIED;
	}
	print_message("%u crashes\n", crashes);
	assert_true(crashes > 25);
}

static void crash_at_every_call(void **state)
{
	crash_everywhere(60, 3, false, 1);
}

static void crash_in_every_write(void **state)
{
	crash_everywhere(60, 6, true, 1);
}

static void crash_while_merging(void **state)
{
	crash_everywhere(600, 20, false, 4);
}

/* ---- a full disk ---- */

static void full_disk_for_a_while(void **state)
{
	struct rig r;
	struct lines want = {0};
	bool seen[3] = {false};
	struct fl_delivery_stats st;

	rig_open(&r, temp_new(), a_log(60), 1 << 20, 0);
	for (uint32_t w = 0; w < 12; w++) {
		fl_faults.full = w >= 3 && w < 7;
		append(r.j, w, 60, 0); /* metering goes on */
		expect(&want, w, w + 1, 60, seen);
		assert_int_equal(rig_run(&r, BASE + (w + 1) * 60, false), fl_faults.full ? FL_DELIVERY_RETRY : 0);
		fl_delivery_stats(r.d, 0, &st);
		assert_int_equal(st.undelivered_windows, fl_faults.full ? w - 2 : 0);
		assert_int_equal(*st.last_error != 0, fl_faults.full);
		check_store(&r.t, &want, "full disk");
	}
	assert_true(st.failures >= 4);
	assert_int_equal(st.lost_flows, 0);
	lines_free(&want);
	rig_close(&r);
	temp_remove(&r.t);
}

/* Longer than the journal holds: what is gone is SKIPDATA, counted to the packet; the rest is there
 * once. */
static void full_disk_for_too_long(uint32_t interval)
{
	struct rig r;
	struct lines got = {0}, want = {0};
	struct fl_delivery_stats st;
	bool seen[3] = {false};
	size_t ok = 0, skips = 0, all_ok = 0;
	uint64_t packets = 0, got_packets = 0;
	uint32_t windows = 120;

	rig_open(&r, temp_new(), a_log(interval), 64 << 10, 16 << 10);
	for (uint32_t w = 0; w < windows; w++) {
		fl_faults.full = w >= 5 && w < 100;
		append(r.j, w, 60, 0);
		rig_run(&r, BASE + (w + 1) * 60, false);
	}
	assert_int_equal(rig_run(&r, BASE + windows * 60, true), 0);
	fl_delivery_stats(r.d, 0, &st);
	assert_true(st.lost_flows > 100);
	assert_true(st.lost_delivery.packets > 0);
	lines_of_store(&got, r.t.path, false, NULL);
	for (size_t i = 0; i < got.n; i++) {
		unsigned long long p;
		long long start, end;

		if (strstr(got.line[i], " SKIPDATA")) {
			assert_int_equal(sscanf(got.line[i], "%*s - - - - - - - %lld %lld", &start, &end), 2);
			assert_int_equal((start - BASE) % interval, 0);
			assert_int_equal(end - start, interval - 1);
			skips++;
		}
		if (strstr(got.line[i], " OK")) {
			assert_int_equal(sscanf(got.line[i], "%*s %*s %*s %*s %*s %*s %llu", &p), 1);
			got_packets += p;
			ok++;
		}
		assert_true(!i || strcmp(got.line[i], got.line[i - 1])); /* nothing twice */
	}
	expect(&want, 0, windows, 60, seen);
	for (size_t i = 0; i < want.n; i++) {
		unsigned long long p;

		if (strstr(want.line[i], " OK")) {
			assert_int_equal(sscanf(want.line[i], "%*s %*s %*s %*s %*s %*s %llu", &p), 1);
			packets += p;
			all_ok++;
		}
	}
	assert_int_equal(got_packets + st.lost_delivery.packets + st.lost_quota.packets, packets);
	if (interval == 60)
		assert_int_equal(ok + st.lost_flows, all_ok);
	assert_true(skips >= 3 * (interval == 60 ? 10u : 1u));
	lines_free(&want);
	lines_free(&got);
	rig_close(&r);
	temp_remove(&r.t);
}

static void journal_runs_over(void **state)
{
	full_disk_for_too_long(60);
}

static void journal_runs_over_while_merging(void **state)
{
	full_disk_for_too_long(600);
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

/* The same as Parquet. */
static int as_parquet(void **state)
{
	file_format = FL_FILE_PARQUET;
	return 0;
}

static int as_text(void **state)
{
	file_format = FL_FILE_TEXT;
	return 0;
}
#define BOTH(test)                                                                                                     \
	cmocka_unit_test(test),                                                                                        \
	{                                                                                                              \
#test "_as_parquet", test, as_parquet, as_text, NULL                                                   \
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
	    BOTH(crash_at_every_call),
	    cmocka_unit_test(crash_in_every_write),
	    cmocka_unit_test(crash_while_merging),
	    cmocka_unit_test(full_disk_for_a_while),
	    cmocka_unit_test(journal_runs_over),
	    cmocka_unit_test(journal_runs_over_while_merging),
	    cmocka_unit_test(keys_stay_inside),
	    cmocka_unit_test(retention),
	    cmocka_unit_test(last_tenth_of_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
