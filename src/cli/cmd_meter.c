/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog meter: capture files to flow log records, offline and without privilege. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/grid.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "capture/capture.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/replay.h"
#include "meter/meter.h"
#include "record/record.h"
#include "scan/metered.h"

#define OUT_BYTES (1u << 20)
#define LOCALS_MAX 256
#define PROGRESS_BYTES (64u << 20)
#define LINK_TYPES 65536

struct conf {
	const char *format, *ledger, *exclusions, *inventory, *interface;
	const char *const *local, *const *read, *const *tag;
	uint64_t interval_ns, memory;
	int output;
	bool inner, enforced, verdicts;
	struct fl_enrich_conf enrich; /* its switches */
};

struct run {
	const struct conf *conf;
	struct fl_cidr local[LOCALS_MAX];
	struct fl_exclusions exclusions[LOCALS_MAX]; /* one a network; without --local one in all */
	size_t n_local, n_exclusions;
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_replay *replay; /* NULL: no inventory */
	struct fl_metered *metered;
	struct fl_ledger *ledger; /* metered's */
	const char *path;         /* of the file that is read */
	struct fl_buf out;
	uint32_t interval; /* seconds */
	uint64_t memory;
	uint64_t progress_at;
	bool show_progress;
	uint64_t unknown_link[LINK_TYPES / 64]; /* a bit a link type that was named already */
};

static int flush(struct run *r)
{
	int result = fl_grid_write(STDOUT_FILENO, r->out.data, r->out.len);

	fl_buf_reset(&r->out);
	if (result == -EPIPE)
		return result; /* the reader has enough; nothing to tell */
	return result ? fl_fail(result, "standard output: %s", strerror(-result)) : 0;
}

struct window_ctx {
	struct run *run;
	uint32_t window;
	int64_t start;
};

/* A capture holds no verdicts; the rules of an inventory have an opinion. f NULL: no flow, nothing to say. */
static int add_verdict(const struct window_ctx *w, const struct fl_flow *f)
{
	const struct run *r = w->run;
	struct fl_verdict_values v = {.value = {"", "", "", ""}};

	if (f && r->replay)
		fl_replay_verdict(r->replay, w->window, &f->key, &v);
	else if (f)
		fl_ground_values(0, FL_ACTION_ACCEPT, NULL, &v);
	return fl_columns_add_verdict(&w->run->out, (enum fl_output)r->conf->output, &v);
}

static int write_flow(void *ctx, const struct fl_flow *f)
{
	struct window_ctx *w = ctx;
	struct run *r = w->run;
	struct fl_key key = f->key;
	struct fl_flow_line line = {
	    .key = &key,
	    .packets = f->packets,
	    .bytes = f->bytes,
	    .start = w->start + f->first_ms / 1000,
	    .end = w->start + f->last_ms / 1000,
	    .tcp = f->tcp,
	    .action = f->key.dirfam & FL_KEY_REJECT ? FL_ACTION_REJECT : FL_ACTION_ACCEPT,
	    .reason = f->key.dirfam & FL_KEY_BPA ? FL_REASON_BPA : FL_REASON_NONE,
	};
	int result;

	key.dirfam &= (uint8_t) ~(FL_KEY_REJECT | FL_KEY_BPA);
	result = r->replay ? fl_replay_line(r->replay, r->encoder, &line, &r->out)
			   : fl_encode_line(r->encoder, &line, &r->out);
	if (!result && r->conf->verdicts)
		result = add_verdict(w, f);
	r->ledger->recorded.packets += f->packets;
	r->ledger->recorded.bytes += f->bytes;
	return !result && r->out.len > OUT_BYTES - 2 * FL_RECORD_MAX ? flush(r) : result;
}

/*
 * Windows without traffic write nothing: a capture says what was on the wire, not how long somebody listened, so NODATA
 * between two packets a year apart would be half a million lines that nobody measured.
 */
static int on_window(void *ctx, int64_t start, const struct fl_table *flows, bool lossy)
{
	struct run *r = ctx;
	struct window_ctx w = {.run = r, .window = (uint32_t)(start / r->interval), .start = start};
	struct fl_record skip = {.start = w.start, .end = w.start + r->interval - 1, .status = FL_STATUS_SKIPDATA};
	int result = fl_table_each(flows, write_flow, &w);

	if (r->replay)
		fl_replay_window(r->replay, w.window, (uint64_t)start * 1000);
	if (result || !lossy)
		return result;
	result = fl_encode(r->encoder, &skip, NULL, &r->out);
	return result || !r->conf->verdicts ? result : add_verdict(&w, NULL);
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
	if (is_local(r, &key->src))
		return FL_DIR_EGRESS;
	return is_local(r, &key->dst) ? FL_DIR_INGRESS : FL_DIR_NONE;
}

static bool excluded(struct run *r, const struct fl_obs *o, int icmp_type)
{
	for (size_t i = 0; i < r->n_exclusions; i++) {
		int rule = fl_exclusions_match(&r->exclusions[i], &o->key, icmp_type);

		if (rule < 0)
			continue;
		r->ledger->excluded[rule].packets += o->packets;
		r->ledger->excluded[rule].bytes += o->bytes;
		return true;
	}
	return false;
}

/* What is asked about each packet, when something is. */
static bool on_packet(void *ctx, struct fl_obs *o, const struct fl_pcap_packet *in, int icmp_type)
{
	struct run *r = ctx;

	if (r->replay)
		fl_replay_packet(r->replay, o, in->link == FL_LINK_ETHERNET && in->caplen >= 14 ? in->data : NULL,
				 icmp_type, in->time_ns / 1000000);
	else if (r->n_local)
		o->key.dirfam |= direction(r, &o->key);
	return !r->n_exclusions || !excluded(r, o, icmp_type);
}

static void name_link(void *ctx, uint16_t type)
{
	struct run *r = ctx;
	uint64_t bit = UINT64_C(1) << (type & 63);

	if (r->unknown_link[type / 64] & bit)
		return;
	r->unknown_link[type / 64] |= bit;
	fprintf(stderr, "flowlog meter: %s: link type %u is not decoded; its frames are counted as not_ip\n", r->path,
		type);
}

static void progress(struct run *r, const char *path, const struct fl_pcap *pcap)
{
	uint64_t at = fl_pcap_offset(pcap);

	if (at < r->progress_at)
		return;
	r->progress_at = at + PROGRESS_BYTES;
	fprintf(stderr, "\r%s: %llu MiB, %llu packets ", path, (unsigned long long)(at >> 20),
		(unsigned long long)(r->ledger->seen.packets + r->ledger->not_ip.packets));
}

/* *ret_fault: the file is damaged or cannot be read; what was good before counts. */
static int meter_file(struct run *r, const char *path, int *ret_fault)
{
	FL_CLEANUP(fl_pcap_close) struct fl_pcap *pcap = NULL;
	bool damaged = false;
	int result;

	*ret_fault = fl_pcap_open(&pcap, path);
	if (*ret_fault)
		return 0;
	r->path = path;
	r->progress_at = PROGRESS_BYTES;
	while ((result = fl_metered_read(r->metered, pcap, &damaged)) > 0)
		if (r->show_progress)
			progress(r, path, pcap);
	if (r->show_progress && r->progress_at > PROGRESS_BYTES)
		fprintf(stderr, "\r\033[K");
	*ret_fault = damaged ? result : 0;
	return damaged ? 0 : result;
}

/* A file appears whole or not at all. A device, a pipe or a link is written to: never replaced by a file. */
static int save_ledger(const char *path, const struct fl_buf *text)
{
	bool standard = !strcmp(path, "-");
	struct stat st;
	int fd, result;

	if (!standard && (lstat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode)))
		return fl_file_write_atomic(AT_FDCWD, path, text->data, text->len, 0644, false);
	fd = standard ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return fl_fail(-errno, "%s: %m", path);
	result = fl_write_all(fd, text->data, text->len);
	close(fd);
	return result ? fl_fail(result, "%s: %s", path, strerror(-result)) : 0;
}

static int write_ledger(struct run *r)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 16);
	struct fl_json j = FL_JSON(&buf);

	fl_metered_ledger(r->metered);
	if (!r->conf->ledger)
		return 0;
	fl_json_object(&j);
	fl_ledger_json(&j, r->ledger);
	fl_json_key(&j, "not_ip");
	fl_json_object(&j);
	fl_json_ku64(&j, "packets", r->ledger->not_ip.packets);
	fl_json_end_object(&j);
	if (r->replay)
		fl_replay_json(r->replay, &j);
	fl_json_end_object(&j);
	if (fl_json_done(&j) || fl_buf_adds(&buf, "\n"))
		return -ENOMEM;
	return save_ledger(r->conf->ledger, &buf);
}

static struct fl_addr address_plus(const struct fl_addr *base, unsigned n)
{
	struct fl_addr a = *base;

	for (int i = 15; n && i >= 0; i--, n >>= 8) {
		n += a.b[i];
		a.b[i] = (uint8_t)n;
	}
	return a;
}

static int prepare_networks(struct run *r)
{
	uint32_t on;
	int result = fl_exclusions_parse(r->conf->exclusions, &on);

	for (const char *const *l = r->conf->local; !result && l && *l; l++)
		result = r->n_local == LOCALS_MAX ? fl_fail(-E2BIG, "more than %d --local networks", LOCALS_MAX)
						  : fl_cidr_parse(*l, strlen(*l), &r->local[r->n_local++]);
	if (result || !on)
		return result;
	/* The VPC's router and DNS server have the network's second and third address (semantics.md section 3). */
	r->n_exclusions = FL_MAX(r->n_local, (size_t)1);
	for (size_t i = 0; i < r->n_exclusions; i++) {
		r->exclusions[i].on = on;
		if (i < r->n_local && r->local[i].bits <= 126) {
			r->exclusions[i].router = address_plus(&r->local[i].base, 1);
			r->exclusions[i].dns = address_plus(&r->local[i].base, 2);
		}
	}
	return 0;
}

static int prepare_replay(struct run *r)
{
	struct fl_replay_conf rc = {
	    .inventory = r->conf->inventory,
	    .interface = r->conf->interface,
	    .enforced = r->conf->enforced,
	    .verdicts = r->conf->verdicts,
	    .format = r->format,
	    .enrich = r->conf->enrich,
	};
	int result;

	if (!rc.inventory && !rc.interface && !rc.enforced)
		return 0;
	if (!rc.inventory || !rc.interface)
		return fl_fail(-EINVAL,
			       "--inventory DIR and --interface ENI go together: a capture is one interface of "
			       "the inventory");
	if (r->n_local)
		return fl_fail(-EINVAL, "--local: with an inventory its interface says what is local");
	result = fl_replay_tags(r->conf->tag, &rc.enrich);
	return result ? result : fl_replay_new(&r->replay, &rc);
}

/* What the user asked for; a fault here is a usage error. */
static int prepare(struct run *r)
{
	int result;

	r->interval = (uint32_t)FL_MIN(r->conf->interval_ns / FL_NS_PER_S, (uint64_t)FL_METERED_INTERVAL_MAX + 1);
	if (!r->interval || r->interval > FL_METERED_INTERVAL_MAX || r->conf->interval_ns % FL_NS_PER_S)
		return fl_fail(-EINVAL, "--interval: a window is 1 to %d whole seconds long (AWS has 60 and 600)",
			       FL_METERED_INTERVAL_MAX);
	r->memory = r->conf->memory ? r->conf->memory : fl_metered_memory();
	result = prepare_networks(r);
	if (!result)
		result = fl_format_parse(&r->format, fl_format_kind_of(r->conf->format), r->conf->format);
	if (!result && fl_format_warning(r->format))
		fprintf(stderr, "flowlog: format: %s\n", fl_format_warning(r->format));
	if (!result)
		result = fl_encoder_new(&r->encoder, r->format, (enum fl_output)r->conf->output);
	return result ? result : prepare_replay(r);
}

static int begin(struct run *r)
{
	struct fl_identity_conf identity;
	struct fl_eni eni;
	struct fl_metered_conf mc = {
	    .interval_s = r->interval,
	    .memory = r->memory,
	    .inner = r->conf->inner,
	    .packet = r->replay || r->n_local || r->n_exclusions ? on_packet : NULL,
	    .window = on_window,
	    .unknown_link = name_link,
	    .ctx = r,
	};
	int result;

	fl_identity_defaults(&identity);
	fl_eni_for_capture(&identity, "capture", &eni);
	result = r->replay ? fl_replay_begin(r->replay, r->encoder) : fl_encoder_set_eni(r->encoder, &eni);
	if (!result)
		result = fl_metered_new(&r->metered, &mc);
	if (!result)
		r->ledger = fl_metered_ledger(r->metered);
	result = result ? result : fl_encode_header(r->encoder, &r->out);
	return result || !r->conf->verdicts ? result
					    : fl_columns_add_verdict_header(&r->out, (enum fl_output)r->conf->output);
}

static void report(int error)
{
	if (error != -EPIPE)
		fprintf(stderr, "flowlog meter: %s\n", fl_error_text(error));
}

/* A damaged file is named and the next one is read: the status says that something was amiss. */
static int meter_files(struct run *r, const char *const *files, size_t n, bool *ret_fault)
{
	int result = 0, fault;

	for (size_t i = 0; !result && i < n; i++) {
		result = meter_file(r, files[i], &fault);
		if (fault)
			report(fault);
		*ret_fault |= fault != 0;
	}
	return result;
}

static void note_losses(const struct run *r)
{
	const struct fl_count *full = &r->ledger->lost[FL_LOSS_TABLE_FULL];
	char bytes[16];

	if (full->packets)
		fprintf(
		    stderr,
		    "flowlog meter: %llu packets did not fit into %s of memory and are in no record (SKIPDATA marks "
		    "their windows); give more with --memory\n",
		    (unsigned long long)full->packets, fl_human_bytes(r->memory, bytes));
}

static void note_verdicts(const struct run *r)
{
	if (r->replay)
		fl_replay_tell(r->replay);
	else if (isatty(STDERR_FILENO) && r->ledger->recorded.packets)
		fprintf(stderr, "flowlog meter: a capture holds no verdicts: ACCEPT means \"not seen rejected\"\n");
}

static int run_prepared(struct run *r, int argc, char **argv)
{
	bool fault = false;
	size_t n_read = 0;
	int result = begin(r);

	while (r->conf->read && r->conf->read[n_read])
		n_read++;
	r->show_progress = isatty(STDERR_FILENO);
	if (!result)
		result = meter_files(r, r->conf->read, n_read, &fault);
	if (!result)
		result = meter_files(r, (const char *const *)argv, (size_t)argc, &fault);
	if (!result)
		result = fl_metered_finish(r->metered);
	if (!result)
		result = flush(r);
	if (!result)
		result = write_ledger(r);
	if (result)
		report(result);
	else
		note_verdicts(r);
	if (r->metered)
		note_losses(r);
	return result || fault ? 1 : 0;
}

static int run(void *conf, int argc, char **argv)
{
	struct run *r = calloc(1, sizeof *r);
	int status;

	if (!r) {
		report(-ENOMEM);
		return 1;
	}
	r->conf = conf;
	r->out = FL_BUF(OUT_BYTES + FL_RECORD_MAX);
	if (!argc && !(r->conf->read && *r->conf->read)) {
		fprintf(stderr, "flowlog meter: no capture file is named; \"-\" reads standard input\n");
		status = 2;
	} else if ((status = prepare(r))) {
		report(status);
		status = 2;
	} else {
		status = run_prepared(r, argc, argv);
	}
	fl_metered_free(&r->metered);
	fl_replay_free(&r->replay);
	fl_encoder_free(&r->encoder);
	fl_format_free(&r->format);
	fl_buf_free(&r->out);
	free(r);
	return status;
}

static const struct fl_option options[] = {
    {"format", 'f', NULL, FL_OPT_STRING, "FORMAT", "default", NULL,
     "Fields of a record: '${field} ...' as in AWS's documentation, or a preset: default, v5-all, v7-all, v8-all, "
     "v11-all, "
     "tgw-default.",
     offsetof(struct conf, format)},
    {"interval", 0, NULL, FL_OPT_DURATION, "TIME", "60s", NULL, "Length of a window, at most 16777 seconds.",
     offsetof(struct conf, interval_ns)},
    {"local", 0, NULL, FL_OPT_LIST, "CIDR", NULL, NULL,
     "A network on the interface's side, so that the direction is known; repeatable.", offsetof(struct conf, local)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json|csv",
     "Form of the records; json is one object a line.", offsetof(struct conf, output)},
    {"ledger", 0, NULL, FL_OPT_STRING, "FILE", NULL, NULL,
     "Write what was seen, recorded, excluded and lost to FILE as JSON; - is standard output, after the records.",
     offsetof(struct conf, ledger)},
    {"inner", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Log what is inside IPIP, GRE, VXLAN and Geneve tunnels instead of the tunnels.", offsetof(struct conf, inner)},
    {"exclusions", 0, NULL, FL_OPT_STRING, "RULES", "none", NULL,
     "Traffic that AWS does not log either, left out and counted apart: none, aws, or names of rules with commas.",
     offsetof(struct conf, exclusions)},
    {"inventory", 0, NULL, FL_OPT_STRING, "DIR", NULL, NULL,
     "A network as AWS describes it (flowlog inventory): identity, and the fields that only it knows.",
     offsetof(struct conf, inventory)},
    {"interface", 0, NULL, FL_OPT_STRING, "ENI", NULL, NULL,
     "Which interface of the inventory the capture was made on: id, name, instance or address; also a transit gateway "
     "attachment or a regional NAT gateway.",
     offsetof(struct conf, interface)},
    {"enforced", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "The inventory's groups and ACLs were in force: what they deny is REJECT.", offsetof(struct conf, enforced)},
    {"verdicts", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Say beside each record what decided: verdict-source and verdict-cause of rules that were in force, policy-action "
     "and policy-cause of the inventory's rules whether or not they were.",
     offsetof(struct conf, verdicts)},
    {"tag", 0, NULL, FL_OPT_LIST, "FIELD=KEY", NULL, NULL,
     "The tag key behind a field: instance-tag=Team, asg-tag-2=Owner; repeatable.", offsetof(struct conf, tag)},
#define FL_SWITCH(member, option, help)                                                                                \
	{option, 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL, help, offsetof(struct conf, enrich.member)},
    FL_ENRICH_SWITCHES(FL_SWITCH)
#undef FL_SWITCH
	{"read", 'r', NULL, FL_OPT_LIST, "FILE", NULL, NULL, "A capture file, as an operand is; repeatable.",
	 offsetof(struct conf, read)},
    {"memory", 'm', NULL, FL_OPT_SIZE, "SIZE", NULL, NULL,
     "Memory for flows, half of the machine's when it is not given; what does not fit is counted as lost, and its "
     "window "
     "gets a SKIPDATA record.",
     offsetof(struct conf, memory)},
    {0},
};

const struct fl_command fl_cmd_meter = {
    .name = "meter",
    .summary = "capture files to flow log records",
    .synopsis = "[OPTION]... FILE...",
    .description = "Reads pcap and pcapng files, plain or compressed with gzip or zstd, and writes their flows as VPC "
		   "flow log records. A capture is one interface; FILE - is standard input. Time is the packets' own. "
		   "Without --local the direction of a packet is not known and is written as -. Flows "
		   "of a window are written in the order in which they came.\n\n"
		   "A file that is damaged gives the records up to the fault; then the fault is named with its offset, "
		   "the next file is read, and the exit status is 1.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples =
	"flowlog meter capture.pcap\n  records in the default format\n"
	"flowlog meter --local 10.0.0.0/8 --format v5-all -o json capture.pcapng.gz\n  every field up to "
	"version 5, direction known\n"
	"tcpdump -w - | flowlog meter --ledger ledger.json -\n  from standard input, with the count of "
	"everything seen\n"
	"flowlog meter --inventory aws/ --interface web-1 --enforced --format v5-all capture.pcap\n  what AWS's "
	"flow logs of that interface would have said\n"
	"flowlog meter --inventory aws/ --interface tgw-attach-0123456789abcdef0 --format tgw-default capture.pcap\n"
	"  the same of a transit gateway's flow log\n",
};
