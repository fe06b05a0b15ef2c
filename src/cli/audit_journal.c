/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/units.h"
#include "cli/audit.h"
#include "record/record.h"
#include "scan/scan.h"

#define STATE_MAX (1u << 20) /* of deliver/<id>.json */

/* One interface in one delivery interval: what the journal's delivered frames say, and what the
 * objects hold. */
struct cell {
	char eni[22];
	bool used;
	int64_t start;
	struct fl_count journal, objects;
};

struct check {
	const char *object; /* that is being read */
	bool at_header;
	struct fl_audit *a;
	struct fl_store *store; /* NULL: nothing is delivered from this journal */
	struct fl_format *format;
	int64_t interval;
	struct cell *cell;
	size_t cells, cap;
	uint64_t *key; /* hashes of the frames' identities */
	size_t keys, cap_keys;
	uint64_t frames, flows, gaps, last_key;
	/* of the frame whose pieces are being read */
	struct fl_count recorded, sum;
	char name[160];
	int64_t first_start, last_start, first_object;
	bool compare;
};

/* ---- small tables ---- */

static bool insert_key(uint64_t *table, size_t cap, uint64_t key)
{
	size_t at = key & (cap - 1);

	while (table[at] && table[at] != key)
		at = (at + 1) & (cap - 1);
	if (table[at])
		return false;
	table[at] = key;
	return true;
}

/* 1: new; 0: there already */
static int add_key(struct check *c, uint64_t key)
{
	if (2 * c->keys >= c->cap_keys) {
		size_t cap = c->cap_keys ? 2 * c->cap_keys : 4096;
		uint64_t *grown = calloc(cap, sizeof *grown);

		if (!grown)
			return -ENOMEM;
		for (size_t i = 0; i < c->cap_keys; i++)
			if (c->key[i])
				insert_key(grown, cap, c->key[i]);
		free(c->key);
		c->key = grown;
		c->cap_keys = cap;
	}
	if (!insert_key(c->key, c->cap_keys, key))
		return 0;
	c->keys++;
	return 1;
}

static struct cell *find_cell(struct cell *table, size_t cap, const char *eni, int64_t start)
{
	size_t at = fl_hash_bytes(eni, strlen(eni), (uint64_t)start) & (cap - 1);

	while (table[at].used && (table[at].start != start || strcmp(table[at].eni, eni) != 0))
		at = (at + 1) & (cap - 1);
	return &table[at];
}

static struct cell *cell_of(struct check *c, const char *eni, int64_t time)
{
	int64_t start = time - time % c->interval;
	struct cell *found;

	if (2 * c->cells >= c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 1024;
		struct cell *grown = calloc(cap, sizeof *grown);

		if (!grown)
			return NULL;
		for (size_t i = 0; i < c->cap; i++)
			if (c->cell[i].used)
				*find_cell(grown, cap, c->cell[i].eni, c->cell[i].start) = c->cell[i];
		free(c->cell);
		c->cell = grown;
		c->cap = cap;
	}
	found = find_cell(c->cell, c->cap, eni, start);
	if (!found->used) {
		snprintf(found->eni, sizeof found->eni, "%s", eni);
		found->start = start;
		found->used = true;
		c->cells++;
	}
	return found;
}

/* ---- the journal ---- */

static uint64_t identity(const struct fl_frame *f)
{
	struct {
		uint8_t boot[16];
		uint32_t epoch, window, part;
		char eni[24];
	} id = {.epoch = f->window.epoch, .window = f->window.window, .part = f->window.part};
	uint64_t key;

	memcpy(id.boot, f->window.boot_id, sizeof id.boot);
	memcpy(id.eni, f->eni.interface_id, strnlen(f->eni.interface_id, sizeof f->eni.interface_id));
	key = fl_hash_bytes(&id, sizeof id, 1);
	return key ? key : 1;
}

/* All pieces of a frame have been read. */
static int end_frame(struct check *c)
{
	int r = 0;

	if (c->last_key && (c->sum.packets != c->recorded.packets || c->sum.bytes != c->recorded.bytes))
		r = fl_audit_finding(c->a,
				     "%s: the ledger says %" PRIu64 " packets and %" PRIu64
				     " bytes were recorded, its flows are %" PRIu64 " and %" PRIu64,
				     c->name, c->recorded.packets, c->recorded.bytes, c->sum.packets, c->sum.bytes);
	c->recorded = c->sum = (struct fl_count){0};
	return r;
}

static int check_ledgers(struct check *c, const struct fl_frame *f)
{
	static const char *const directions[FL_DIR_N] = {"-", "ingress", "egress"};
	int r = 0;

	for (size_t d = 0; !r && d < FL_DIR_N; d++) {
		const struct fl_ledger *l = &f->ledger[d];
		struct fl_audit_row row = {
		    .start = f->window.start,
		    .eni = f->eni.interface_id,
		    .name = f->eni.name,
		    .direction = directions[d],
		    .skbs = l->skbs,
		    .seen = l->seen,
		    .recorded = l->recorded,
		    .excluded = fl_count_total(l->excluded, FL_RULE_N),
		    .lost = fl_count_total(l->lost, FL_LOSS_N),
		    .not_ip = l->not_ip,
		    .source = fl_verdict_source(f->window.flags),
		};
		int64_t gap = fl_ledger_gap(l);

		fl_count_add(&c->recorded, &l->recorded);
		memcpy(row.verdict, l->verdict, sizeof row.verdict);
		if (c->a->windows && (d || l->seen.packets || l->recorded.packets))
			r = fl_audit_row(c->a, &row);
		else if (gap)
			r = fl_audit_finding(c->a,
					     "%s %s: %" PRId64 " packets seen are neither recorded, excluded nor lost",
					     c->name, directions[d], gap);
		if (!r && !c->a->windows)
			r = fl_audit_contradictions(c->a, c->name, &l->verdict[FL_VERDICT_CONTRADICTED]);
	}
	return r;
}

static int begin_frame(struct check *c, const struct fl_frame *f, uint64_t key)
{
	char at[24];
	int r = end_frame(c), fresh;

	snprintf(c->name, sizeof c->name, "%s, window %s", *f->eni.name ? f->eni.name : f->eni.interface_id,
		 fl_time_rfc3339(f->window.start, at));
	c->last_key = key;
	c->frames++;
	if (!c->first_start)
		c->first_start = f->window.start;
	c->last_start = FL_MAX(c->last_start, f->window.start);
	fresh = add_key(c, key);
	if (fresh < 0)
		return fresh;
	if (!r && !fresh)
		r = fl_audit_finding(c->a, "%s: the frame is in the journal twice", c->name);
	return r ? r : check_ledgers(c, f);
}

static int on_frame(struct check *c, const struct fl_frame *f, bool delivered)
{
	uint64_t key = identity(f);
	struct fl_count sum = {0};
	uint64_t unwritten = 0; /* a record of a flow that Block Public Access rejected has no bytes */
	struct cell *cell;
	int r = key == c->last_key ? 0 : begin_frame(c, f, key);

	for (size_t i = 0; i < f->n_flows; i++) {
		sum.packets += f->flows[i].packets;
		sum.bytes += f->flows[i].bytes;
		unwritten += fl_frame_reason(f, i) == FL_REASON_BPA ? f->flows[i].bytes : 0;
	}
	c->flows += f->n_flows;
	fl_count_add(&c->sum, &sum);
	if (r || !delivered || !c->compare)
		return r;
	cell = cell_of(c, f->eni.interface_id, f->window.start);
	if (!cell)
		return -ENOMEM;
	sum.bytes -= unwritten;
	fl_count_add(&cell->journal, &sum);
	return 0;
}

static bool is_before(struct fl_position a, struct fl_position b)
{
	return a.segment < b.segment || (a.segment == b.segment && a.offset <= b.offset);
}

static int read_journal(struct check *c)
{
	struct fl_position cursor = c->store ? fl_store_log(c->store)->cursor : (struct fl_position){0};
	struct fl_reader *reader = NULL;
	struct fl_frame frame;
	char path[4096];
	int dirfd, r;

	snprintf(path, sizeof path, "%s/journal", c->a->store);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return fl_fail(-errno, "%s: %m; name the state directory of a flowlog run with --store", path);
	r = fl_reader_open(&reader, dirfd, (struct fl_position){0});
	while (!r && (r = fl_reader_next(reader, &frame)) != 0) {
		if (r == FL_READER_GAP)
			c->gaps++;
		if (r == 1)
			r = on_frame(c, &frame, is_before(fl_reader_position(reader), cursor));
		else if (r == -EBADMSG)
			r = fl_audit_finding(c->a, "journal: %s", fl_error_text(r));
		else if (r > 0)
			r = 0;
	}
	r = r ? r : end_frame(c);
	fl_reader_close(&reader);
	close(dirfd);
	return r;
}

/* ---- the objects ---- */

static int on_line(struct check *c, const char *line, size_t n)
{
	struct fl_values values;
	struct fl_record record;
	struct fl_record_meta meta;
	struct fl_eni eni;
	struct cell *cell;

	if (fl_decode_line(c->format, line, n, &values) != FL_LINE_OK ||
	    fl_decode_record(c->format, &values, &record, &eni, &meta))
		return fl_audit_finding(c->a, "%s: a line is no record of the flow log's format: %.60s", c->object,
					line);
	if (!c->first_object || record.start < c->first_object)
		c->first_object = record.start;
	if (record.status != FL_STATUS_OK || record.start < c->first_start - c->first_start % c->interval)
		return 0;
	cell = cell_of(c, eni.interface_id, record.start);
	if (!cell)
		return -ENOMEM;
	cell->objects.packets += record.packets;
	cell->objects.bytes += record.bytes;
	return 0;
}

static int on_object_line(void *ctx, char *line, size_t n)
{
	struct check *c = ctx;
	int r = c->at_header ? 0 : on_line(c, line, n);

	c->at_header = false;
	return r;
}

static int read_object(struct check *c, const char *path)
{
	int r;

	c->object = path;
	c->at_header = true;
	r = fl_scan_lines(path, on_object_line, c);
	return r == -EIO || r == -EBADMSG ? fl_audit_finding(c->a, "%s", fl_error_text(r)) : r;
}

/* What retention has removed is not missing: only intervals from the oldest object's on are
 * compared, and of the oldest in the journal a part may be recycled already. */
static bool comparable(const struct check *c, const struct cell *cell)
{
	int64_t oldest = c->first_start - c->first_start % c->interval;

	if (!cell->used)
		return false;
	if (c->first_object && cell->start < c->first_object - c->first_object % c->interval)
		return false;
	return cell->start > oldest || (c->first_object && c->first_object >= oldest);
}

static int compare(struct check *c)
{
	uint64_t compared = 0;
	struct fl_count sum = {0};
	char at[24];
	int r = 0;

	for (size_t i = 0; !r && i < fl_store_file_count(c->store); i++)
		r = read_object(c, fl_store_file(c->store, i));
	for (size_t i = 0; !r && i < c->cap; i++) {
		const struct cell *k = &c->cell[i];

		if (!comparable(c, k))
			continue;
		compared++;
		fl_count_add(&sum, &k->objects);
		if (k->journal.packets != k->objects.packets || k->journal.bytes != k->objects.bytes)
			r = fl_audit_finding(c->a,
					     "%s, interval %s: the journal's delivered frames hold %" PRIu64
					     " packets and %" PRIu64 " bytes, the objects %" PRIu64 " and %" PRIu64,
					     k->eni, fl_time_rfc3339(k->start, at), k->journal.packets,
					     k->journal.bytes, k->objects.packets, k->objects.bytes);
	}
	return r ? r
		 : fl_audit_note(c->a,
				 "flow log %s: %zu object%s; %" PRIu64 " interval%s compared with the journal, %" PRIu64
				 " packets, %" PRIu64 " bytes",
				 fl_store_log(c->store)->id, fl_store_file_count(c->store),
				 fl_plural(fl_store_file_count(c->store)), compared, fl_plural(compared), sum.packets,
				 sum.bytes);
}

/* Objects of a flow log that takes only a part of the traffic, or whose format lacks a needed
 * field, cannot be compared. */
static int decide(struct check *c)
{
	static const char *const needed[] = {"interface-id", "start", "packets", "bytes", "log-status"};
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(STATE_MAX);
	const struct fl_store_log *log = fl_store_log(c->store);
	char path[4096];
	json_t *state;
	const char *traffic;
	int r = fl_format_parse(&c->format, fl_format_kind_of(log->format), log->format);

	c->interval = log->interval ? log->interval : 60;
	snprintf(path, sizeof path, "%s/deliver/%s.json", c->a->store, log->id);
	if (!r)
		r = fl_file_read(AT_FDCWD, path, &text);
	if (r)
		return fl_wrap(r, "%s", path);
	state = json_loadb(text.data, text.len, 0, NULL);
	traffic = json_string_value(json_object_get(state, "traffic_type"));
	c->compare = !traffic || !strcmp(traffic, "ALL");
	json_decref(state);
	if (!c->compare)
		return fl_audit_note(c->a, "flow log %s takes only a part of the traffic: its objects are not compared",
				     log->id);
	for (size_t i = 0; i < FL_ARRAY_LEN(needed); i++) {
		size_t k = 0;

		while (k < fl_format_len(c->format) && strcmp(fl_format_name(c->format, k), needed[i]) != 0)
			k++;
		if (k == fl_format_len(c->format)) {
			c->compare = false;
			return fl_audit_note(c->a, "flow log %s has no field %s: its objects are not compared", log->id,
					     needed[i]);
		}
	}
	return 0;
}

int fl_audit_journal(struct fl_audit *a)
{
	struct check c = {.a = a, .interval = 60};
	char first[24], last[24];
	int r = fl_store_open(&c.store, a->store, a->flow_log);

	if (r == -ENOENT)
		r = fl_audit_note(a, "no flow log delivers from this store: no objects are compared");
	else
		r = r ? r : decide(&c);
	if (!r)
		r = read_journal(&c);
	if (!r && c.frames)
		r = fl_audit_note(
		    a, "journal: %" PRIu64 " frames, %" PRIu64 " flows, windows %s to %s, %" PRIu64 " gaps", c.frames,
		    c.flows, fl_time_rfc3339(c.first_start, first), fl_time_rfc3339(c.last_start, last), c.gaps);
	if (!r && c.compare)
		r = compare(&c);
	fl_store_close(&c.store);
	fl_format_free(&c.format);
	free(c.cell);
	free(c.key);
	return r;
}
