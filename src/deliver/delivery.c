/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of one flow log: read windows into a batch until it is due; record the plan (range and
 * names), put the objects, move the cursor. deliver/<id>.json is renamed into place twice a batch
 * and is all that a restart needs: with a plan in it the same range is encoded again and the same
 * names are overwritten; without one, reading begins at the cursor.
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "deliver/log.h"

#define BATCHES_A_RUN 32    /* then the caller gets a turn */
#define RETRY_FIRST_MS 1000 /* doubled with every refusal */
#define RETRY_MAX_MS 60000
#define RETAIN_EVERY_S 60
#define SKIM_A_RUN 100000
#define SALT_MAX 1000
#define POLL_MS 500

struct log {
	const struct fl_flow_log *conf;
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_enricher *enricher;
	struct fl_object_columns columns;
	struct fl_log_state state;
	struct fl_reader *reader, *ahead;
	struct fl_position batch_end; /* behind the newest window's end mark in the batch */
	struct fl_intake batch;
	struct fl_position held_from; /* what the batch was read from must still be held from here on */
	bool announced;               /* the state file is there and the journal knows its reader */
	bool ready;                   /* and the journal is there */
	bool finishing;               /* the batch is complete: plan, put, move */
	bool resuming;                /* the plan is to be encoded again */
	uint64_t windows_ahead, windows_done;
	uint64_t retry_at_ns;
	unsigned refusals;
	int64_t retained_at;
	char cursor[64];
	struct fl_log_state lost; /* its lost members only: by the gaps of this batch */
	struct fl_delivery_stats stats;
};

struct fl_delivery {
	int statefd, journalfd;
	struct fl_delivery_conf conf;
	struct fl_clock clock;
	void *sink;
	struct log *log;
	size_t n;
	uint64_t jitter;
};

/* ---- opening ---- */

static void log_free(struct log *l)
{
	fl_reader_close(&l->reader);
	fl_reader_close(&l->ahead);
	fl_intake_free(&l->batch);
	fl_object_columns_free(&l->columns);
	fl_log_state_free(&l->state);
	fl_encoder_free(&l->encoder);
	fl_enricher_free(&l->enricher);
	fl_format_free(&l->format);
}

void fl_delivery_close(struct fl_delivery **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < (*d)->n; i++)
		log_free(&(*d)->log[i]);
	free((*d)->log);
	if ((*d)->sink)
		fl_sink_file.close(&(*d)->sink);
	fl_closep(&(*d)->journalfd);
	fl_closep(&(*d)->statefd);
	free(*d);
	*d = NULL;
}

static int log_open(struct fl_delivery *d, struct log *l, const struct fl_flow_log *conf)
{
	const char *text;
	int r;

	l->conf = conf;
	if (!conf->interval || !*conf->id || strchr(conf->id, '/'))
		return fl_fail(-EINVAL, "flow log \"%s\": an id and an interval are needed", conf->id);
	snprintf(l->cursor, sizeof l->cursor, "deliver.%s", conf->id);
	text = conf->format ? conf->format : "default";
	r = fl_format_parse(&l->format, fl_format_kind_of(text), text);
	if (!r)
		r = fl_encoder_new(&l->encoder, l->format, FL_OUTPUT_TEXT);
	if (!r)
		r = fl_enricher_new(&l->enricher, l->format, &conf->enrich);
	if (!r)
		r = fl_log_state_load(d->statefd, conf, fl_format_text(l->format), &l->state);
	if (r)
		return fl_wrap(r, "flow log %s", conf->id);
	l->state.inventory = d->conf.inventory;
	if (conf->file_format == FL_FILE_PARQUET)
		r = fl_object_columns_init(&l->columns, l->format);
	if (r)
		return fl_wrap(r, "flow log %s", conf->id);
	l->batch = (struct fl_intake){
	    .log = conf, .encoder = l->encoder, .enricher = l->enricher, .conf = &d->conf, .seen = &l->state.seen};
	l->batch.objects.columns = l->columns.text ? &l->columns : NULL;
	l->resuming = l->state.plan.on;
	l->batch_end = l->held_from = l->state.cursor;
	r = fl_reader_open(&l->reader, d->journalfd, l->state.cursor);
	return r ? r : fl_reader_open(&l->ahead, d->journalfd, l->state.cursor);
}

/* A cursor at the beginning is made one of this journal's positions, so that what is dropped from
 * there on is noticed. */
static int find_beginning(struct fl_delivery *d, struct log *l)
{
	int r = fl_journal_begin(d->journalfd, &l->state.cursor);

	if (r || !l->state.cursor.segment)
		return r;
	l->announced = false;
	l->batch_end = l->held_from = l->state.cursor;
	fl_reader_close(&l->reader);
	fl_reader_close(&l->ahead);
	r = fl_reader_open(&l->reader, d->journalfd, l->state.cursor);
	return r ? r : fl_reader_open(&l->ahead, d->journalfd, l->state.cursor);
}

static int get_ready(struct fl_delivery *d, struct log *l)
{
	int r = 0;

	if (l->ready)
		return 0;
	if (!l->state.cursor.segment)
		r = find_beginning(d, l);
	/* The retention of the journal must know that somebody reads, before anything is read. */
	if (!r && !l->announced)
		r = fl_cursor_save(d->journalfd, l->cursor, l->state.cursor);
	if (!r && !l->announced && !l->state.plan.on)
		r = fl_log_state_save(d->statefd, l->conf, fl_format_text(l->format), &l->state);
	l->announced |= !r;
	l->ready = !r && l->state.cursor.segment;
	return r;
}

/* A flow log that is no more must not keep windows "unread". */
static void forget_cursors(const struct fl_delivery *d)
{
	int fd = openat(d->journalfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		fl_closep(&fd);
		return;
	}
	while ((e = readdir(dir))) {
		bool ours = false;

		if (strncmp(e->d_name, "cursor.deliver.", 15))
			continue;
		for (size_t i = 0; i < d->n; i++)
			ours |= !strcmp(e->d_name + 7, d->log[i].cursor);
		if (!ours)
			(void)unlinkat(d->journalfd, e->d_name, 0);
	}
	closedir(dir);
}

int fl_delivery_open(struct fl_delivery **ret, const struct fl_delivery_conf *conf)
{
	struct fl_delivery *d FL_CLEANUP(fl_delivery_close) = calloc(1, sizeof *d);
	int r;

	if (!d)
		return -ENOMEM;
	d->journalfd = -1;
	d->conf = *conf;
	d->clock = conf->clock;
	d->jitter = fl_random_seed();
	d->statefd = fcntl(conf->statefd, F_DUPFD_CLOEXEC, 3);
	d->log = calloc(FL_MAX(conf->n_logs, (size_t)1), sizeof *d->log);
	if (d->statefd < 0 || !d->log)
		return d->log ? fl_fail(-errno, "the state directory: %m") : -ENOMEM;
	r = fl_mkdirs(d->statefd, "deliver", 0750);
	if (!r)
		r = fl_mkdirs(d->statefd, "journal", 0750);
	if (r)
		return r;
	d->journalfd = openat(d->statefd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->journalfd < 0)
		return fl_fail(-errno, "journal: %m");
	r = fl_sink_file.open(&d->sink, d->statefd, NULL);
	for (size_t i = 0; !r && i < conf->n_logs; i++) {
		d->n++;
		r = log_open(d, &d->log[i], &conf->logs[i]);
	}
	if (r)
		return r;
	forget_cursors(d);
	/* So that a reader finds the flow log at once; where the disk is full it is tried again
	 * later. */
	for (size_t i = 0; i < d->n; i++)
		(void)get_ready(d, &d->log[i]);
	*ret = d;
	d = NULL;
	return 0;
}

/* ---- reading into the batch ---- */

static void note_gap(struct log *l, const struct fl_frame *f)
{
	/* Delivery is the cause when the destination was refusing, else the quota was too small for
	 * our pace. */
	struct fl_count *c = l->refusals ? &l->lost.lost_delivery : &l->lost.lost_quota;

	l->lost.lost_flows += f->n_flows;
	for (unsigned i = 0; i < FL_DIR_N; i++) {
		c->packets += f->ledger[i].lost[FL_LOSS_JOURNAL_QUOTA].packets;
		c->bytes += f->ledger[i].lost[FL_LOSS_JOURNAL_QUOTA].bytes;
	}
}

static void add_lost(struct fl_log_state *to, const struct fl_log_state *lost)
{
	to->lost_flows += lost->lost_flows;
	to->lost_delivery.packets += lost->lost_delivery.packets;
	to->lost_delivery.bytes += lost->lost_delivery.bytes;
	to->lost_quota.packets += lost->lost_quota.packets;
	to->lost_quota.bytes += lost->lost_quota.bytes;
}

static void recount(struct fl_delivery *d, struct log *l)
{
	fl_reader_close(&l->ahead);
	l->windows_ahead = l->windows_done = 0;
	l->batch.windows = 0;
	if (fl_reader_open(&l->ahead, d->journalfd, fl_reader_position(l->reader)))
		l->ahead = NULL;
}

/* One step of the reader: as fl_reader_next, 0 also after damage that was skipped. */
static int read_one(struct fl_delivery *d, struct log *l, struct fl_frame *f)
{
	int what = fl_reader_next(l->reader, f), r = 0;

	switch (what) {
	case 1:
		r = fl_intake_frame(&l->batch, f);
		break;
	case FL_READER_GAP:
		note_gap(l, f);
		r = fl_intake_gap(&l->batch, f);
		l->held_from = fl_reader_position(l->reader);
		recount(d, l);
		break;
	case FL_READER_WINDOW_END:
		l->batch.windows++;
		l->batch.newest_end = FL_MAX(l->batch.newest_end, f->window.start + f->window.length);
		if (!l->batch.any) {
			l->batch.any = true;
			l->batch.first_start = f->window.start;
		}
		l->batch_end = fl_reader_position(l->reader);
		l->batch.damaged = false;
		break;
	case -EBADMSG:
		snprintf(l->stats.last_error, sizeof l->stats.last_error, "%s", fl_error_text(what));
		l->stats.failures++;
		l->batch.damaged = l->batch.any = true;
		return -EAGAIN;
	default:
		break;
	}
	return r ? r : what;
}

static int64_t now_s(const struct fl_delivery *d)
{
	return (int64_t)(fl_now_ns(&d->clock) / FL_NS_PER_S);
}

/* Further back than a window that is written late. */
static bool stepped_back(int64_t newest_end, int64_t end, uint32_t interval)
{
	return end + FL_MAX((int64_t)interval, (int64_t)FL_SLOT_S) < newest_end;
}

static int64_t publish_border(const struct log *l)
{
	int64_t every = l->conf->publish_every_s;

	if (!every || every > FL_SLOT_S)
		every = FL_SLOT_S;
	return l->batch.first_start - ((l->batch.first_start % every) + every) % every + every;
}

static bool is_due(const struct log *l, int64_t marked_end)
{
	/* The wall clock was set back: nothing that is open will be completed by later windows. */
	if (stepped_back(l->batch.newest_end, marked_end, l->conf->interval))
		return true;
	if (!l->batch.any || !fl_intake_groups_complete(&l->batch, marked_end))
		return false;
	return marked_end >= publish_border(l) || l->batch.objects.bytes >= FL_OBJECT_MAX;
}

/* Windows stopped coming: what is there goes out, a while after it was due. */
static bool is_overdue(const struct fl_delivery *d, const struct log *l)
{
	int64_t border = FL_MAX(publish_border(l), l->batch.newest_end);

	for (size_t i = 0; i < l->batch.n_groups; i++)
		border = FL_MAX(border, l->batch.group[i].start + l->conf->interval);
	return l->batch.any && now_s(d) > border + FL_MAX(60u, l->conf->interval / 2);
}

/* 1: the batch is complete. */
static int fill(struct fl_delivery *d, struct log *l, bool flush)
{
	struct fl_frame f;
	int r;

	for (;;) {
		r = read_one(d, l, &f);
		if (r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		if (r == FL_READER_WINDOW_END && is_due(l, f.window.start + f.window.length))
			break;
	}
	if (r < 0 || (!r && !((flush && l->batch.any) || is_overdue(d, l))))
		return r;
	/* Without a mark only gaps were read since the last one, if anything. */
	l->batch_end = fl_reader_position(l->reader);
	return 1;
}

/* ---- the plan again, after a restart or when the journal lost a part of it ---- */

static int start_reading(struct fl_delivery *d, struct log *l, struct fl_position from)
{
	fl_reader_close(&l->reader);
	fl_intake_reset(&l->batch);
	memset(&l->lost, 0, sizeof l->lost);
	l->state.seen.n = l->state.seen.kept;
	l->batch_end = l->held_from = from;
	return fl_reader_open(&l->reader, d->journalfd, from);
}

/* 1: the batch is made; 0: not yet, the journal has not come back to where the plan ends (its
 * writer repairs it after a power cut). */
static int resume(struct fl_delivery *d, struct log *l)
{
	struct fl_frame f;
	int r = start_reading(d, l, l->state.plan.from);

	while (!r && fl_position_cmp(fl_reader_position(l->reader), l->state.plan.to) < 0) {
		r = read_one(d, l, &f);
		if (!r)
			return 0;
		r = r == -EAGAIN ? 0 : FL_MIN(r, 0);
	}
	if (r)
		return r;
	l->batch_end = fl_reader_position(l->reader);
	l->resuming = false;
	l->finishing = true;
	return 1;
}

/* ---- finishing ---- */

/* Names for what the batch holds, into the plan. In a new plan none may be in use: the salt sees to
 * it. */
static int name_objects(struct fl_delivery *d, struct log *l)
{
	struct fl_plan *p = &l->state.plan;
	bool fresh = !p->on, again;
	int r = 0;

	if (fresh) {
		fl_plan_clear(p);
		p->from = l->state.cursor;
		p->to = l->batch_end;
	}
	do {
		again = false;
		for (size_t i = 0; !r && !again && i < l->batch.objects.n; i++) {
			struct fl_object *x = l->batch.objects.object[i];

			r = fl_object_key(l->conf, x->slot, x->part, p->from, p->to, p->salt, x->key);
			if (!r && fresh) {
				r = fl_sink_file.has(d->sink, l->conf->bucket, x->key);
				again = r == 1;
				r = FL_MIN(r, 0);
			}
		}
		if (again && ++p->salt > SALT_MAX)
			r = fl_fail(-EEXIST, "flow log %s: no name is free", l->conf->id);
	} while (!r && again);
	for (size_t i = 0; !r && i < l->batch.objects.n; i++)
		r = fl_plan_add(p, l->batch.objects.object[i]->key);
	return r;
}

static int record_plan(struct fl_delivery *d, struct log *l)
{
	size_t before = l->state.plan.n;
	bool was = l->state.plan.on;
	int r = name_objects(d, l);

	if (!r && (!was || l->state.plan.n > before)) {
		l->state.plan.on = true;
		r = fl_log_state_save(d->statefd, l->conf, fl_format_text(l->format), &l->state);
		l->state.plan.on = !r || was;
	}
	return r;
}

static int put_objects(struct fl_delivery *d, struct log *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->batch.objects.n; i++) {
		struct fl_object *x = l->batch.objects.object[i];

		if (x->put)
			continue;
		/* Where the journal has lost a part since, an object that was written holds more
		 * than we have. */
		if (l->batch.gap && fl_sink_file.has(d->sink, l->conf->bucket, x->key) == 1) {
			x->put = true;
			continue;
		}
		l->stats.attempts++;
		r = fl_sink_file.put(d->sink, l->conf->bucket, x->key, x->body.data, x->body.len);
		if (r)
			break;
		x->put = true;
		l->stats.objects++;
		l->stats.records += x->records;
		l->stats.bytes += x->body.len;
		snprintf(l->stats.last_object, sizeof l->stats.last_object, "%s", strrchr(x->key, '/') + 1);
	}
	return r;
}

/* The oldest half goes when there are too many: those interfaces start again with traffic. */
static void keep_seen(struct fl_seen *s)
{
	if (s->n > FL_SEEN_MAX) {
		s->n -= FL_SEEN_MAX / 2;
		memmove(s->id, s->id + FL_SEEN_MAX / 2, s->n * sizeof *s->id);
	}
	s->kept = s->n;
}

static int move_cursor(struct fl_delivery *d, struct log *l)
{
	struct fl_log_state next = l->state;
	int r;

	next.cursor = l->batch_end;
	next.plan = (struct fl_plan){0};
	next.seen.kept = next.seen.n;
	if (l->batch.newest_end > next.newest_end ||
	    stepped_back(next.newest_end, l->batch.newest_end, l->conf->interval))
		next.newest_end = l->batch.newest_end ? l->batch.newest_end : next.newest_end;
	add_lost(&next, &l->lost);
	r = fl_log_state_save(d->statefd, l->conf, fl_format_text(l->format), &next);
	if (r)
		return r;
	fl_plan_clear(&l->state.plan);
	l->state.cursor = l->batch_end;
	add_lost(&l->state, &l->lost);
	memset(&l->lost, 0, sizeof l->lost);
	keep_seen(&l->state.seen);
	l->state.newest_end = next.newest_end;
	l->windows_done += l->batch.windows;
	l->held_from = l->state.cursor;
	l->finishing = false;
	l->refusals = 0;
	*l->stats.last_error = '\0';
	fl_intake_reset(&l->batch);
	/* Behind the file that counts: a cursor that lags only keeps windows a little longer. */
	return fl_cursor_save(d->journalfd, l->cursor, l->state.cursor);
}

/* A batch that waited: is what it was made from still in the journal? */
static int still_held(struct fl_delivery *d, struct log *l)
{
	struct fl_reader *r = NULL;
	struct fl_frame f;
	int what = fl_reader_open(&r, d->journalfd, l->held_from);

	if (what)
		return what;
	what = fl_reader_skim(r, &f);
	fl_reader_close(&r);
	return what == FL_READER_GAP ? 0 : what < 0 && what != -EBADMSG ? what : 1;
}

static int finish(struct fl_delivery *d, struct log *l)
{
	int r = 0;

	if (l->refusals) {
		r = still_held(d, l);
		if (r < 0)
			return r;
		if (!r) {
			l->finishing = false;
			if (l->state.plan.on) {
				l->resuming = true;
				return 0;
			}
			return start_reading(d, l, l->state.cursor);
		}
	}
	r = fl_intake_close_groups(&l->batch);
	if (!r)
		r = fl_objects_finish(&l->batch.objects);
	if (!r && l->batch.objects.n)
		r = record_plan(d, l);
	if (!r)
		r = put_objects(d, l);
	return r ? r : move_cursor(d, l);
}

/* ---- a run ---- */

static void skim(struct log *l)
{
	struct fl_frame f;

	for (unsigned i = 0; l->ahead && i < SKIM_A_RUN; i++) {
		int what = fl_reader_skim(l->ahead, &f);

		if (what <= 0)
			break;
		l->windows_ahead += what == FL_READER_WINDOW_END;
	}
	l->stats.undelivered_windows = l->windows_ahead > l->windows_done ? l->windows_ahead - l->windows_done : 0;
}

/* 1: there is more to do at once. */
static int step(struct fl_delivery *d, struct log *l, bool flush)
{
	int r = get_ready(d, l);

	if (r || !l->ready)
		return r;
	if (l->resuming) {
		r = resume(d, l);
		if (r <= 0)
			return r;
	}
	if (r >= 0 && !l->finishing) {
		r = fill(d, l, flush);
		if (r <= 0)
			return r;
		l->finishing = true;
	}
	if (r >= 0 && l->finishing)
		r = finish(d, l);
	return r ? r : 1;
}

static void refuse(struct fl_delivery *d, struct log *l, int r)
{
	uint64_t wait = RETRY_FIRST_MS << FL_MIN(l->refusals, 10u);

	wait = FL_MIN(wait, (uint64_t)RETRY_MAX_MS);
	d->jitter = fl_mum(d->jitter ^ 0x9e3779b97f4a7c15ull, 0xd1342543de82ef95ull);
	wait = wait / 2 + d->jitter % (wait / 2 + 1);
	l->refusals++;
	l->stats.failures++;
	l->retry_at_ns = fl_mono_ns(&d->clock) + wait * FL_NS_PER_MS;
	snprintf(l->stats.last_error, sizeof l->stats.last_error, "%s", fl_error_text(r));
}

/* What a disk or a destination may say today and not tomorrow. Anything else is passed up. */
static bool is_refusal(int r)
{
	static const int refusals[] = {ENOSPC,  EDQUOT,  EIO,      EROFS,       EACCES,       EPERM,
				       EFBIG,   EAGAIN,  EBUSY,    ETIMEDOUT,   ENOMEM,       EMFILE,
				       ENFILE,  EBADMSG, ENETDOWN, ENETUNREACH, ECONNREFUSED, ECONNRESET,
				       ENOTDIR, ELOOP,   ENOENT,   ESTALE};

	for (size_t i = 0; i < FL_ARRAY_LEN(refusals); i++)
		if (r == -refusals[i])
			return true;
	return false;
}

static int run_log(struct fl_delivery *d, struct log *l, bool flush, uint64_t *wait_ms)
{
	uint64_t now = fl_mono_ns(&d->clock);
	int r = 0;

	*wait_ms = POLL_MS;
	if (l->refusals && now < l->retry_at_ns && !flush) {
		*wait_ms = (l->retry_at_ns - now + FL_NS_PER_MS - 1) / FL_NS_PER_MS;
		skim(l);
		return FL_DELIVERY_RETRY;
	}
	for (unsigned i = 0; flush || i < BATCHES_A_RUN; i++) {
		r = step(d, l, flush);
		if (r <= 0)
			break;
	}
	if (r > 0)
		*wait_ms = 0;
	/* Also after a refusal: it may make the room that was missing. */
	if (now_s(d) >= l->retained_at + RETAIN_EVERY_S) {
		int kept = fl_sink_file.retain(d->sink, l->conf, now_s(d));

		l->retained_at = now_s(d);
		r = r < 0 ? r : FL_MIN(kept, 0);
	}
	skim(l);
	if (r >= 0 || !is_refusal(r))
		return FL_MIN(r, 0);
	refuse(d, l, r);
	*wait_ms = (l->retry_at_ns - now) / FL_NS_PER_MS + 1;
	return FL_DELIVERY_RETRY;
}

int fl_delivery_run(struct fl_delivery *d, bool flush, uint32_t *ret_wait_ms)
{
	uint64_t wait = POLL_MS;
	int result = 0;

	for (size_t i = 0; i < d->n; i++) {
		uint64_t w;
		int r = run_log(d, &d->log[i], flush, &w);

		if (r < 0)
			return fl_wrap(r, "flow log %s", d->log[i].conf->id);
		result = FL_MAX(result, r);
		wait = i ? FL_MIN(wait, w) : w;
	}
	*ret_wait_ms = (uint32_t)wait;
	return result;
}

void fl_delivery_stats(const struct fl_delivery *d, size_t log, struct fl_delivery_stats *ret)
{
	const struct log *l = &d->log[log];

	struct fl_log_state sum = l->lost;

	add_lost(&sum, &l->state);
	*ret = l->stats;
	ret->newest_end = l->state.newest_end;
	ret->lost_flows = sum.lost_flows;
	ret->lost_delivery = sum.lost_delivery;
	ret->lost_quota = sum.lost_quota;
}
