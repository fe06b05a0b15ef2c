/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a store for the tests of the commands, through the journal's and delivery's own code:
 *   make_store DIR STEP...
 * Steps: parquet (objects of the deliveries after it are Parquet), window N (a frame for each of two interfaces),
 * unbalanced N (the ledger has seen one packet more), wrong-sum N (the flows are not what the ledger recorded), deliver
 * (everything in the journal), open N (status/open). Window N begins at START + 60 N.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "deliver/deliver.h"
#include "journal/journal.h"
#include "record/record.h"

#define START 1763999940
#define ENIS 2
#define FLOWS 5

enum kind { GOOD, UNBALANCED, WRONG_SUM, DECIDED };

static struct fl_flow_log flow_log = {
    .id = "fl-0123456789abcdef0",
    .account_id = "000000000000",
    .region = "us-east-1",
    .format = "default",
    .interval = 60,
    .bucket = "flowlogs",
    .publish_every_s = 60,
};

/* The last flow is the one that is rejected: by the host, whatever the rules say. */
static const struct fl_ground grounds[] = {
    {.rule = "sg-1/outbound/sgr-1", .opinion = FL_OPINION_ACCEPT},
    {.drop = "NETFILTER_DROP", .rule = "acl-1/outbound/100", .opinion = FL_OPINION_ACCEPT},
};
static const uint16_t ground[FLOWS] = {1, 1, 0, 1, 2};

static void fill(struct fl_frame *f, struct fl_flow flows[FLOWS], unsigned eni, uint32_t window, enum kind kind)
{
	struct fl_ledger *l = &f->ledger[FL_DIR_EGRESS];

	memset(f, 0, sizeof *f);
	memset(flows, 0, FLOWS * sizeof *flows);
	f->window = (struct fl_window){
	    .boot_id = {1}, .epoch = 1, .window = window, .start = START + 60 * (int64_t)window, .length = 60};
	strcpy(f->eni.account_id, "000000000000");
	snprintf(f->eni.interface_id, sizeof f->eni.interface_id, "eni-0000000000000000%u", eni);
	snprintf(f->eni.name, sizeof f->eni.name, "web%u", eni);
	snprintf(f->eni.device, sizeof f->eni.device, "veth%u", eni);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct fl_key *k = &flows[i].key;

		k->src = fl_addr_v4((const uint8_t[4]){10, 0, (uint8_t)eni, 1});
		k->dst = fl_addr_v4((const uint8_t[4]){192, 0, 2, (uint8_t)(i + 1)});
		k->sport = (uint16_t)(40000 + i);
		k->dport = i ? 443 : 22;
		k->proto = 6;
		k->dirfam = FL_DIR_EGRESS;
		flows[i].packets = window + i;
		flows[i].bytes = 100 * (window + i);
		flows[i].last_ms = 30000;
		flows[i].tcp = 2;
		flows[i].action = i == FLOWS - 1;
		l->recorded.packets += flows[i].packets;
		l->recorded.bytes += flows[i].bytes;
	}
	l->seen = l->recorded;
	l->skbs = l->seen.packets;
	l->seen.packets += kind == UNBALANCED;
	if (kind == WRONG_SUM)
		flows[0].packets++;
	f->flows = flows;
	f->n_flows = FLOWS;
	if (kind == DECIDED) {
		f->window.flags = FL_WINDOW_VERDICTS | FL_WINDOW_POLICY;
		f->grounds = grounds;
		f->n_grounds = FL_ARRAY_LEN(grounds);
		f->ground = ground;
	}
}

static int append(int dirfd, uint32_t window, enum kind kind)
{
	const struct fl_journal_conf conf = {.quota_bytes = 8u << 20};
	struct fl_flow flows[FLOWS];
	struct fl_journal *j = NULL;
	struct fl_frame f;
	int fd, r = fl_mkdirs(dirfd, "journal", 0750);

	if (r)
		return r;
	fd = openat(dirfd, "journal", O_RDONLY | O_DIRECTORY);
	r = fl_journal_open(&j, fd, &conf);
	for (unsigned eni = 0; !r && eni < ENIS; eni++) {
		fill(&f, flows, eni, window, kind);
		r = fl_journal_append(j, &f);
	}
	if (!r)
		r = fl_journal_commit(j, window, START + 60 * (int64_t)window, 60);
	fl_journal_close(&j);
	close(fd);
	return r;
}

static int deliver(int dirfd)
{
	const struct fl_delivery_conf conf = {
	    .statefd = dirfd, .logs = &flow_log, .n_logs = 1, .clock = fl_clock_system};
	struct fl_delivery *d = NULL;
	uint32_t wait;
	int r = fl_delivery_open(&d, &conf);

	if (!r)
		r = fl_delivery_run(d, true, &wait);
	fl_delivery_close(&d);
	return r > 0 ? fl_fail(-EIO, "the destination refused") : r;
}

static int write_open(int dirfd, uint32_t window)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	struct fl_flow flows[FLOWS];
	struct fl_frame f;
	int r = fl_mkdirs(dirfd, "status", 0750);

	for (unsigned eni = 0; !r && eni < ENIS; eni++) {
		fill(&f, flows, eni, window, GOOD);
		f.window.flags = FL_WINDOW_PROVISIONAL;
		r = fl_frame_encode(&f, &buf);
	}
	return r ? r : fl_file_write_atomic(dirfd, "status/open", buf.data, buf.len, 0640, false);
}

static int step(int dirfd, const char *what, const char *arg)
{
	uint32_t window = arg ? (uint32_t)atoi(arg) : 0;

	if (!strcmp(what, "window"))
		return append(dirfd, window, GOOD);
	if (!strcmp(what, "decided"))
		return append(dirfd, window, DECIDED);
	if (!strcmp(what, "unbalanced"))
		return append(dirfd, window, UNBALANCED);
	if (!strcmp(what, "wrong-sum"))
		return append(dirfd, window, WRONG_SUM);
	if (!strcmp(what, "open"))
		return write_open(dirfd, window);
	return fl_fail(-EINVAL, "%s: no such step", what);
}

int main(int argc, char **argv)
{
	int dirfd, r = 0;

	if (argc < 2) {
		fputs("make_store DIR STEP...\n", stderr);
		return 2;
	}
	mkdir(argv[1], 0750);
	dirfd = open(argv[1], O_RDONLY | O_DIRECTORY);
	for (int i = 2; !r && i < argc; i++) {
		if (!strcmp(argv[i], "deliver")) {
			r = deliver(dirfd);
			continue;
		}
		if (!strcmp(argv[i], "parquet")) {
			flow_log.file_format = FL_FILE_PARQUET;
			continue;
		}
		r = step(dirfd, argv[i], argv[i + 1]);
		i++;
	}
	if (r)
		fprintf(stderr, "make_store: %s\n", fl_error_text(r));
	close(dirfd);
	return r ? 1 : 0;
}
