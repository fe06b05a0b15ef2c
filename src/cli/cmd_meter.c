/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog meter: capture files to flow log records, offline and without privilege. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "capture/capture.h"
#include "cli/cli.h"
#include "meter/meter.h"
#include "record/record.h"

#define BATCH 64
#define OUT_BYTES (1u << 20)
#define LOCALS_MAX 256

struct conf {
	const char *format, *ledger;
	const char *const *local;
	uint64_t interval, memory_limit;
	int output;
	bool inner;
};

struct run {
	const struct conf *conf;
	struct fl_cidr local[LOCALS_MAX];
	size_t n_local;
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_fragments *fragments;
	struct fl_meter *meter;
	struct fl_buf out;
	struct fl_obs batch[BATCH];
	size_t n;
	struct fl_ledger ledger;
	bool warned_link;
};

static int flush(struct run *r)
{
	int result = fl_write_all(STDOUT_FILENO, r->out.data, r->out.len);

	fl_buf_reset(&r->out);
	return result ? fl_fail(result, "standard output: %s", strerror(-result)) : 0;
}

static int write_flow(void *ctx, const struct fl_flow *f, int64_t window_start)
{
	struct run *r = ctx;
	struct fl_flow_line line = {
		.key = &f->key,
		.packets = f->packets,
		.bytes = f->bytes,
		.start = window_start + f->first_ms / 1000,
		.end = window_start + f->last_ms / 1000,
		.tcp = f->tcp,
		.action = f->action,
	};
	int result = fl_encode_line(r->encoder, &line, &r->out);

	r->ledger.recorded.packets += f->packets;
	r->ledger.recorded.bytes += f->bytes;
	return !result && r->out.len > OUT_BYTES - 2 * FL_RECORD_MAX ? flush(r) : result;
}

struct window_ctx {
	struct run *run;
	int64_t start;
};

static int each_flow(void *ctx, const struct fl_flow *f)
{
	struct window_ctx *w = ctx;

	return write_flow(w->run, f, w->start);
}

static int on_window(void *ctx, uint32_t window, const struct fl_table *flows)
{
	struct run *r = ctx;
	struct window_ctx w = {.run = r, .start = (int64_t)(window * r->conf->interval)};

	return fl_table_each(flows, each_flow, &w);
}

static bool is_local(const struct run *r, const struct fl_addr *a)
{
	for (size_t i = 0; i < r->n_local; i++)
		if (fl_cidr_has(&r->local[i], a))
			return true;
	return false;
}

/* A packet between two local addresses leaves one of them: egress. */
static enum fl_dir direction(const struct run *r, const struct fl_key *key)
{
	if (!r->n_local)
		return FL_DIR_NONE;
	if (is_local(r, &key->src))
		return FL_DIR_EGRESS;
	return is_local(r, &key->dst) ? FL_DIR_INGRESS : FL_DIR_NONE;
}

static int drain(struct run *r)
{
	int result = fl_meter_add(r->meter, r->batch, r->n);

	r->n = 0;
	return result;
}

static int add_packet(struct run *r, const struct fl_pcap_packet *in)
{
	struct fl_frame_meta meta = {.wire_len = in->wire_len, .time_ns = in->time_ns};
	uint64_t ms = in->time_ns / 1000000, window_ms = r->conf->interval * 1000;
	struct fl_packet p;
	struct fl_obs *o = &r->batch[r->n];

	r->ledger.skbs++;
	switch (fl_decode(in->link, in->data, in->caplen, &meta, r->conf->inner, r->fragments, &p)) {
	case FL_DECODED_NOT_IP:
		r->ledger.not_ip.packets++;
		r->ledger.not_ip.bytes += in->wire_len;
		return 0;
	case FL_DECODED_TRUNCATED:
		r->ledger.seen.packets++;
		r->ledger.lost[FL_LOSS_TRUNCATED].packets++;
		return 0;
	default:
		break;
	}
	r->ledger.seen.packets += p.packets;
	r->ledger.seen.bytes += p.bytes;
	*o = (struct fl_obs){
		.key = p.key,
		.bytes = p.bytes,
		.packets = p.packets,
		.window = (uint32_t)(ms / window_ms),
		.first_ms = (uint32_t)(ms % window_ms),
		.last_ms = (uint32_t)(ms % window_ms),
		.tcp = p.tcp,
	};
	o->key.dirfam |= direction(r, &p.key);
	return ++r->n == BATCH ? drain(r) : 0;
}

static int meter_file(struct run *r, const char *path)
{
	FL_CLEANUP(fl_pcap_close) struct fl_pcap *pcap = NULL;
	struct fl_pcap_packet packet;
	int result = fl_pcap_open(&pcap, path);

	if (result)
		return result;
	while ((result = fl_pcap_next(pcap, &packet)) > 0) {
		if (packet.link == FL_LINK_UNSUPPORTED && !r->warned_link) {
			fprintf(stderr, "flowlog: %s: a link type that is not known; its frames are counted as not_ip\n", path);
			r->warned_link = true;
		}
		result = add_packet(r, &packet);
		if (result)
			break;
	}
	return result;
}

static void json_count(struct fl_json *j, const char *key, const struct fl_count *c)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "packets", c->packets);
	fl_json_ku64(j, "bytes", c->bytes);
	fl_json_end_object(j);
}

static void json_parts(struct fl_json *j, const char *key, const char *inner, const struct fl_count *c,
		       const char *const *names, size_t n)
{
	struct fl_count sum = {0};

	for (size_t i = 0; i < n; i++) {
		sum.packets += c[i].packets;
		sum.bytes += c[i].bytes;
	}
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "packets", sum.packets);
	fl_json_ku64(j, "bytes", sum.bytes);
	fl_json_key(j, inner);
	fl_json_object(j);
	for (size_t i = 0; i < n; i++)
		if (c[i].packets)
			json_count(j, names[i], &c[i]);
	fl_json_end_object(j);
	fl_json_end_object(j);
}

static int write_ledger(struct run *r)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 16);
	struct fl_json j = FL_JSON(&buf);
	struct fl_ledger metered;

	fl_meter_ledger(r->meter, &metered);
	r->ledger.lost[FL_LOSS_TABLE_FULL] = metered.lost[FL_LOSS_TABLE_FULL];
	if (!r->conf->ledger)
		return 0;
	fl_json_object(&j);
	json_count(&j, "seen", &r->ledger.seen);
	json_count(&j, "recorded", &r->ledger.recorded);
	json_parts(&j, "excluded", "rules", r->ledger.excluded, fl_rule_names, FL_RULE_N);
	json_parts(&j, "lost", "causes", r->ledger.lost, fl_loss_names, FL_LOSS_N);
	fl_json_key(&j, "not_ip");
	fl_json_object(&j);
	fl_json_ku64(&j, "packets", r->ledger.not_ip.packets);
	fl_json_end_object(&j);
	fl_json_end_object(&j);
	if (fl_json_done(&j) || fl_buf_adds(&buf, "\n"))
		return -ENOMEM;
	return fl_file_write_atomic(AT_FDCWD, r->conf->ledger, buf.data, buf.len, 0644, false);
}

static int prepare(struct run *r)
{
	struct fl_identity_conf identity;
	struct fl_eni eni;
	struct fl_meter_conf mc = {
		.interval_s = (uint32_t)r->conf->interval,
		.memory_limit = r->conf->memory_limit,
		.seed = fl_random_seed(),
		.lateness = 1,
		.on_window = on_window,
		.ctx = r,
	};
	int result = 0;

	for (const char *const *l = r->conf->local; !result && l && *l; l++)
		result = r->n_local == LOCALS_MAX ? fl_fail(-E2BIG, "more than %d --local networks", LOCALS_MAX)
						  : fl_cidr_parse(*l, strlen(*l), &r->local[r->n_local++]);
	if (!result)
		result = fl_format_parse(&r->format, FL_LOG_VPC, r->conf->format);
	if (!result)
		result = fl_encoder_new(&r->encoder, r->format, (enum fl_output)r->conf->output);
	if (result)
		return result;
	fl_identity_defaults(&identity);
	fl_eni_for_capture(&identity, "capture", &eni);
	result = fl_encoder_set_eni(r->encoder, &eni);
	if (!result)
		result = fl_fragments_new(&r->fragments, FL_FRAGMENT_CAPACITY, FL_FRAGMENT_TIMEOUT_NS, mc.seed);
	if (!result)
		result = fl_meter_new(&r->meter, &mc);
	return result ? result : fl_encode_header(r->encoder, &r->out);
}

static int run(void *conf, int argc, char **argv)
{
	struct run r = {.conf = conf, .out = FL_BUF(OUT_BYTES + FL_RECORD_MAX)};
	int result, fault = 0;

	if (!argc) {
		fprintf(stderr, "flowlog: meter: no capture file is named; \"-\" reads standard input\n");
		return 2;
	}
	result = prepare(&r);
	for (int i = 0; !result && !fault && i < argc; i++)
		fault = meter_file(&r, argv[i]);
	/* What was good before the fault is still recorded. */
	if (fault)
		fprintf(stderr, "flowlog: %s\n", fl_error_text(fault));
	if (!result)
		result = drain(&r);
	if (!result)
		result = fl_meter_finish(r.meter);
	if (!result)
		result = flush(&r);
	if (!result)
		result = write_ledger(&r);
	if (result)
		fprintf(stderr, "flowlog: %s\n", fl_error_text(result));
	fl_meter_free(&r.meter);
	fl_fragments_free(&r.fragments);
	fl_encoder_free(&r.encoder);
	fl_format_free(&r.format);
	fl_buf_free(&r.out);
	return result || fault ? 1 : 0;
}

static const struct fl_option options[] = {
	{"format", 0, NULL, FL_OPT_STRING, "FORMAT", "default", NULL, "fields of a record: '${field} ...' or a preset (default, v5-all, v8-all, ...)",
	 offsetof(struct conf, format)},
	{"interval", 0, NULL, FL_OPT_U64, "SECONDS", "60", NULL, "length of a window", offsetof(struct conf, interval)},
	{"local", 0, NULL, FL_OPT_LIST, "CIDR", NULL, NULL, "a network on the interface's side, so that direction is known; may be given again",
	 offsetof(struct conf, local)},
	{"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json|csv", "form of the records", offsetof(struct conf, output)},
	{"ledger", 0, NULL, FL_OPT_STRING, "FILE", NULL, NULL, "write what was seen, recorded and lost to FILE as JSON",
	 offsetof(struct conf, ledger)},
	{"inner", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, "log the packets inside IPIP, GRE, VXLAN and Geneve tunnels", offsetof(struct conf, inner)},
	{"memory-limit", 0, NULL, FL_OPT_SIZE, "SIZE", "0", NULL, "most memory for open flows; what does not fit is counted as lost (0: none)",
	 offsetof(struct conf, memory_limit)},
	{0},
};

const struct fl_command fl_cmd_meter = {
	.name = "meter",
	.summary = "capture files to flow log records",
	.synopsis = "[OPTION]... FILE...",
	.description = "Reads pcap and pcapng files, plain or compressed with gzip or zstd, and writes their flows as VPC flow log records.",
	.options = options,
	.conf_size = sizeof(struct conf),
	.run = run,
	.examples = "flowlog meter capture.pcap\n  records in the default format\n",
};
