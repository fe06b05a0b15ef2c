/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's benchmark: bench-journal [DIRECTORY [FLOWS [ROUNDS [RULES]]]] (default /dev/shm, 500000, 5, 0). RULES: so
 * many rules decided, and stand beside the flows: one for what goes out, the others for what comes in by its peer.
 * Appends ROUNDS windows of FLOWS flows, reads them, turns them into .log.gz objects; then
 * compresses the same text alone with ISA-L and libdeflate, the floor. CPU seconds of this process;
 * best round.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "deliver/deliver.h"

#define BASE 1735689600

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, fl_error_text(r));
	exit(1);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static int order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct fl_key));
}

/* As a host sees them: one side is one of a few addresses, the other anything; most flows are
 * small. */
static struct fl_flow *make(size_t n, uint64_t seed)
{
	struct fl_flow *f = calloc(n, sizeof *f);

	for (size_t i = 0; i < n; i++) {
		uint64_t r = fl_mum(seed + i + 1, 0x9e3779b97f4a7c15ull), q = fl_mum(r ^ i, 0xd1342543de82ef95ull);
		uint8_t here[4] = {10, 20, (uint8_t)(r % 4), (uint8_t)(r >> 8 & 31)};
		uint8_t there[4] = {(uint8_t)(1 + q % 200), (uint8_t)(q >> 8), (uint8_t)(q >> 16), (uint8_t)(q >> 24)};
		bool out = r >> 40 & 1;

		f[i].key.src = fl_addr_v4(out ? here : there);
		f[i].key.dst = fl_addr_v4(out ? there : here);
		f[i].key.sport = out ? (uint16_t)(32768 + (q >> 32) % 28000) : 443;
		f[i].key.dport = out ? 443 : (uint16_t)(32768 + (q >> 32) % 28000);
		f[i].key.proto = r >> 41 & 7 ? 6 : 17;
		f[i].key.dirfam = out ? FL_DIR_EGRESS : FL_DIR_INGRESS;
		f[i].packets = 1 + (r >> 48 & 3 ? (r >> 50) % 20 : (r >> 50) % 5000);
		f[i].bytes = f[i].packets * (40 + (q >> 48) % 1400);
		f[i].first_ms = (uint32_t)((q >> 20) % 60000);
		f[i].last_ms = f[i].first_ms + (uint32_t)((r >> 20) % (60000 - f[i].first_ms));
		f[i].tcp = f[i].key.proto == 6 ? 0x1b : 0;
	}
	qsort(f, n, sizeof *f, order);
	return f;
}

static double isal(const char *text, size_t n, uint8_t *out, size_t cap, size_t *ret)
{
	static uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
	struct isal_zstream z;
	double t = cpu();

	isal_deflate_init(&z);
	z.gzip_flag = IGZIP_GZIP;
	z.level = 1;
	z.level_buf = level_buf;
	z.level_buf_size = sizeof level_buf;
	z.end_of_stream = 1;
	z.next_in = (uint8_t *)text;
	z.avail_in = (uint32_t)n;
	z.next_out = out;
	z.avail_out = (uint32_t)cap;
	if (isal_deflate(&z))
		exit(1);
	*ret = z.total_out;
	return cpu() - t;
}

static double deflate_with(int level, const char *text, size_t n, uint8_t *out, size_t cap, size_t *ret)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	double t = cpu();

	*ret = libdeflate_gzip_compress(c, text, n, out, cap);
	t = cpu() - t;
	libdeflate_free_compressor(c);
	return t;
}

static void floors(struct fl_flow *flows, size_t n, const struct fl_eni *eni)
{
	struct fl_buf text = FL_BUF(1u << 30);
	struct fl_format *f = NULL;
	struct fl_encoder *e = NULL;
	size_t cap, out;
	uint8_t *gz;
	double t = cpu(), s;

	must(fl_format_parse(&f, FL_LOG_VPC, "default"), "format");
	must(fl_encoder_new(&e, f, FL_OUTPUT_TEXT), "encoder");
	must(fl_encoder_set_eni(e, eni), "encoder");
	for (unsigned round = 0; round < 2; round++) {
		fl_buf_reset(&text);
		t = cpu();
		for (size_t i = 0; i < n; i++) {
			struct fl_flow_line l = {&flows[i].key,
						 flows[i].packets,
						 flows[i].bytes,
						 BASE + flows[i].first_ms / 1000,
						 BASE + flows[i].last_ms / 1000,
						 flows[i].tcp,
						 flows[i].action};

			must(fl_encode_line(e, &l, &text), "encode");
		}
		t = cpu() - t;
	}
	printf("floor: text alone            %6.2f M records/s  %.1f bytes/record\n", (double)n / t / 1e6,
	       (double)text.len / (double)n);
	cap = text.len + (1u << 20);
	gz = malloc(cap);
	memset(gz, 1, cap);
	s = isal(text.data, text.len, gz, cap, &out);
	s = isal(text.data, text.len, gz, cap, &out);
	printf("floor: ISA-L 1 of that text  %6.2f M records/s  %.1f bytes/record\n", (double)n / s / 1e6,
	       (double)out / (double)n);
	printf("floor: text + ISA-L 1        %6.2f M records/s\n", (double)n / (s + t) / 1e6);
	for (int level = 1; level <= 6; level += level == 1 ? 3 : 2) {
		s = deflate_with(level, text.data, text.len, gz, cap, &out);
		printf("floor: libdeflate %d of it    %6.2f M records/s  %.1f bytes/record\n", level,
		       (double)n / s / 1e6, (double)out / (double)n);
	}
	free(gz);
	fl_buf_free(&text);
	fl_encoder_free(&e);
	fl_format_free(&f);
}

static uint16_t *decide(const struct fl_flow *flows, size_t n, size_t rules, struct fl_ground *table)
{
	uint16_t *ground = calloc(n, sizeof *ground);

	for (size_t i = 0; i < rules; i++) {
		snprintf(table[i].rule, sizeof table[i].rule, "sg-0123456789abcdef0/inbound/sgr-%017zx", i);
		table[i].opinion = FL_OPINION_ACCEPT;
	}
	for (size_t i = 0; i < n; i++)
		ground[i] = fl_key_dir(&flows[i].key) == FL_DIR_EGRESS || rules == 1
				? 1
				: (uint16_t)(2 + flows[i].key.src.b[13] % (rules - 1));
	return ground;
}

static void figure(const char *what, double best, size_t n, double bytes)
{
	printf("%s %6.2f M/s", what, (double)n / best / 1e6);
	if (bytes > 0)
		printf("  %.1f bytes each", bytes / (double)n);
	printf("\n");
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "/dev/shm";
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 500000, rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
	size_t rules = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	static struct fl_ground table[FL_GROUNDS_MAX];
	char path[256];
	struct fl_flow_log log = {.id = "fl-0123456789abcdef0",
				  .account_id = "123456789012",
				  .region = "us-east-1",
				  .interval = 60,
				  .bucket = "b",
				  .publish_every_s = 60};
	struct fl_delivery_conf conf = {.logs = &log, .n_logs = 1, .clock = fl_clock_system};
	struct fl_eni eni = {
	    .account_id = "123456789012", .interface_id = "eni-0a1b2c3d4e5f60718", .region = "us-east-1"};
	struct fl_flow *flows = make(n, 1);
	uint16_t *ground = rules && rules <= FL_GROUNDS_MAX ? decide(flows, n, rules, table) : NULL;
	double append = 1e9, read = 1e9, deliver = 1e9, t;
	struct fl_delivery_stats st, before = {0};
	struct fl_journal_stats js;
	struct fl_journal *j = NULL;
	struct fl_delivery *d = NULL;
	struct fl_reader *r = NULL;
	struct fl_frame got;
	uint32_t wait;
	int dir, journal;

	snprintf(path, sizeof path, "%s/fl-bench-XXXXXX", where);
	dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	if (dir < 0)
		must(-errno, path);
	must(fl_mkdirs(dir, "journal", 0750), path);
	journal = openat(dir, "journal", O_RDONLY | O_DIRECTORY);
	must(fl_journal_open(&j, journal, &(struct fl_journal_conf){.quota_bytes = 256u << 20}), "journal");
	conf.statefd = dir;
	must(fl_delivery_open(&d, &conf), "delivery");
	must(fl_reader_open(&r, journal, (struct fl_position){0}), "reader");
	for (uint32_t w = 0; w < rounds; w++) {
		struct fl_frame f = {.window = {.window = w, .start = BASE + w * 60, .length = 60},
				     .eni = eni,
				     .flows = flows,
				     .n_flows = n,
				     .grounds = table,
				     .n_grounds = (uint32_t)(ground ? rules : 0),
				     .ground = ground};
		size_t seen = 0;
		int what;

		t = cpu();
		must(fl_journal_append(j, &f), "append");
		must(fl_journal_commit(j, w, f.window.start, 60), "commit");
		append = FL_MIN(append, cpu() - t);
		t = cpu();
		while ((what = fl_reader_next(r, &got)) == 1)
			seen += got.n_flows;
		must(what, "reading");
		read = FL_MIN(read, cpu() - t);
		if (seen != n)
			must(-EIO, "not all was read");
		t = cpu();
		must(fl_delivery_run(d, false, &wait), "delivery");
		deliver = FL_MIN(deliver, cpu() - t);
		fl_delivery_stats(d, 0, &st);
		if (st.records - before.records != n)
			must(-EIO, "not all was delivered");
		before = st;
	}
	fl_journal_stats(j, &js);
	printf("%zu windows of %zu flows in %s\n", rounds, n, where);
	figure("append + commit (flows)      ", append, n, (double)js.bytes / (double)rounds);
	figure("read (flows)                 ", read, n, 0);
	figure("journal -> .log.gz (records) ", deliver, n, (double)st.bytes / (double)rounds);
	floors(flows, n, &eni);
	fl_reader_close(&r);
	fl_delivery_close(&d);
	fl_journal_close(&j);
	free(flows);
	free(ground);
	close(dir);
	close(journal);
	nftw(path, visit, 32, FTW_DEPTH | FTW_PHYS);
	return 0;
}
