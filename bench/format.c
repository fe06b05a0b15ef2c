/* SPDX-License-Identifier: Apache-2.0 */
/* Records formatted a second of one core: flows of a window through fl_encode_line, per format and output.
 *   build/bench/bench_format [MILLIONS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "meter/meter.h"
#include "record/record.h"

#define FLOWS 65536
#define OUT_BYTES (1u << 20)

static uint64_t random_number(void)
{
	static uint64_t x = 0x2545f4914f6cdd1d;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static struct fl_flow *make_flows(unsigned v6_percent)
{
	struct fl_flow *f = calloc(FLOWS, sizeof *f);

	for (size_t i = 0; f && i < FLOWS; i++) {
		uint64_t a = random_number(), b = random_number();

		f[i].key.src = fl_addr_v4((const uint8_t *)&a);
		f[i].key.dst = fl_addr_v4((const uint8_t *)&a + 4);
		if (random_number() % 100 < v6_percent) {
			memcpy(f[i].key.src.b, (uint64_t[]){0xb80d0120, a}, 16);
			memcpy(f[i].key.dst.b, (uint64_t[]){0xb80d0120, b}, 16);
			f[i].key.dirfam = FL_KEY_V6;
		}
		f[i].key.sport = (uint16_t)b;
		f[i].key.dport = b >> 20 & 1 ? 443 : 53;
		f[i].key.proto = b >> 20 & 1 ? 6 : 17;
		f[i].packets = 1 + (b >> 24) % (b >> 60 ? 8 : 5000);
		f[i].bytes = f[i].packets * (40 + (b >> 32) % 1400);
		f[i].first_ms = (b >> 40) % 60000;
		f[i].last_ms = 59999;
	}
	return f;
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int measure(const char *format, enum fl_output output, const struct fl_flow *flows, size_t total,
		   const char *what)
{
	struct fl_buf out FL_CLEANUP(fl_buf_free) = FL_BUF(OUT_BYTES + 2 * FL_RECORD_MAX);
	struct fl_encoder *e FL_CLEANUP(fl_encoder_free) = NULL;
	struct fl_format *f FL_CLEANUP(fl_format_free) = NULL;
	struct fl_eni eni = {.account_id = "123456789010", .interface_id = "eni-0123456789abcdef0"};
	uint64_t bytes = 0;
	double began;

	if (fl_format_parse(&f, FL_LOG_VPC, format) || fl_encoder_new(&e, f, output) || fl_encoder_set_eni(e, &eni))
		return 1;
	began = cpu_seconds();
	for (size_t i = 0; i < total; i++) {
		const struct fl_flow *flow = &flows[i % FLOWS];
		struct fl_flow_line line = {
		    .key = &flow->key,
		    .packets = flow->packets,
		    .bytes = flow->bytes,
		    .start = 1735689600 + flow->first_ms / 1000,
		    .end = 1735689600 + flow->last_ms / 1000,
		    .tcp = flow->tcp,
		    .action = flow->action,
		};

		if (fl_encode_line(e, &line, &out))
			return 1;
		if (out.len > OUT_BYTES) {
			bytes += out.len;
			fl_buf_reset(&out);
		}
	}
	bytes += out.len;
	printf("| %s | %.1f | %.1f |\n", what, (double)total / (cpu_seconds() - began) / 1e6,
	       (double)bytes / (double)total);
	return 0;
}

int main(int argc, char **argv)
{
	size_t total = (argc > 1 ? strtoul(argv[1], NULL, 10) : 20) * 1000000;
	struct fl_flow *v4 = make_flows(0), *mixed = make_flows(10);
	int r;

	if (!v4 || !mixed)
		return 1;
	printf("| records | million a CPU second | bytes a record |\n|---|---|---|\n");
	r = measure("default", FL_OUTPUT_TEXT, v4, total, "default, text, IPv4") ||
	    measure("default", FL_OUTPUT_TEXT, mixed, total, "default, text, one in ten IPv6") ||
	    measure("v5-all", FL_OUTPUT_TEXT, v4, total, "v5-all, text, IPv4") ||
	    measure("default", FL_OUTPUT_CSV, v4, total, "default, csv, IPv4") ||
	    measure("default", FL_OUTPUT_JSON, v4, total, "default, json, IPv4");
	free(v4);
	free(mixed);
	return r;
}
