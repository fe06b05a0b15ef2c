/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/rig.h"

enum fl_file_format rig_format;

struct fl_flow_log a_log(uint32_t interval)
{
	struct fl_flow_log l = {.id = LOG_ID,
				.account_id = "123456789012",
				.region = "eu-central-1",
				.format = FORMAT,
				.interval = interval,
				.file_format = rig_format,
				.bucket = "flow-logs",
				.publish_every_s = 60};

	return l;
}

void rig_deliver(struct rig *r)
{
	struct fl_delivery_conf conf = {r->t.fd, &r->log, 1, fl_clock_sim(&r->now)};
	int e;

	conf.identities = r->identities;
	e = fl_delivery_open(&r->d, &conf);

	if (e)
		fail_msg("%s", fl_error_text(e));
}

void rig_open(struct rig *r, struct temp t, struct fl_flow_log log, uint64_t quota, uint64_t segment)
{
	*r = (struct rig){.t = t, .log = log, .now = {BASE * FL_NS_PER_S, FL_NS_PER_S}};
	if (fl_mkdirs(t.fd, "journal", 0750))
		fail_msg("mkdir");
	r->journalfd = openat(t.fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fl_journal_open(&r->j, r->journalfd, &(struct fl_journal_conf){quota, segment}))
		fail_msg("%s", fl_error_text(-EINVAL));
	rig_deliver(r);
}

void rig_close(struct rig *r)
{
	fl_delivery_close(&r->d);
	fl_journal_close(&r->j);
	close(r->journalfd);
}

int rig_run(struct rig *r, int64_t now, bool flush)
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

size_t flows_in(unsigned i, uint32_t w)
{
	if (i == 0)
		return 20 + w % 5;
	if (i == 1)
		return w % 3 && w % 10 < 5 ? 7 : 0;
	return w < 4 ? 0 : 3;
}

struct fl_flow *flows_of(unsigned i, uint32_t w, uint32_t length)
{
	/* The same keys come again in the next windows. */
	struct fl_flow *f = make_flows(flows_in(i, w), i, length * 1000);

	for (size_t k = 0; k < flows_in(i, w); k++)
		f[k].packets = 1 + f[k].packets % 100000 + w;
	return f;
}

void append(struct fl_journal *j, uint32_t w, uint32_t length, uint32_t flags)
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

void expect(struct lines *l, uint32_t from, uint32_t to, uint32_t length, bool seen[3])
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

void check_store(const struct temp *t, const struct lines *want, const char *what)
{
	struct lines got = {0};

	lines_of_store(&got, t->path, false, NULL);
	if (!lines_equal(&got, want, what))
		fail();
	lines_free(&got);
}

struct sum {
	struct fl_key key;
	unsigned iface, action, tcp;
	uint32_t interval;
	uint64_t packets, bytes;
	int64_t first, last;
};

/* Another way to the same: one list, searched from its start for each flow. */
void expect_merged(struct lines *l, uint32_t windows, uint32_t missing_from, uint32_t missing_to)
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

int rig_as_parquet(void **state)
{
	rig_format = FL_FILE_PARQUET;
	return 0;
}

int rig_as_text(void **state)
{
	rig_format = FL_FILE_TEXT;
	return 0;
}
