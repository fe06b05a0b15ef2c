/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own store read as one. deliver/<id>.json says up to where the journal is delivered; objects
 * of its plan are left out, because their rows are still to be read from the journal. Read, list,
 * read again until it stood still: then files and journal fit together. What delivery does later
 * does not matter: new files are not in our list, and their rows are beyond our cursor.
 */
#include "scan/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"

#define STATE_MAX ((size_t)16 << 20)
#define OPEN_MAX ((size_t)64 << 20)
#define PATH_LIMIT 4096
#define DEPTH_MAX 32
#define TRIES 200
#define CLOCK_STEP_S 600
#define FILES_MAX ((size_t)10 << 20)

struct fl_store {
	char *dir;
	int fd;
	struct fl_store_log log;
	json_t *state;
	enum { TAKE_ALL, TAKE_ACCEPT, TAKE_REJECT } take;
	bool nodata_always;
	char **file;
	size_t n_files;
	struct fl_reader *reader;
	struct fl_buf open; /* status/open */
	struct fl_cursor open_at;
	bool open_read;
	int64_t closed_end; /* windows that end here or before are in files or in the journal */
	void *kept;         /* flows of the frame that was returned, when it is not the reader's own */
	size_t kept_size;
	struct fl_flow *selected;
	uint16_t *selected_ground;
	size_t selected_size;
	bool journal_alone; /* from its first segment, without the delivered files */
};

void fl_store_close(struct fl_store **s)
{
	if (!*s)
		return;
	for (size_t i = 0; i < (*s)->n_files; i++)
		free((*s)->file[i]);
	free((*s)->file);
	fl_reader_close(&(*s)->reader);
	json_decref((*s)->state);
	free((*s)->log.format);
	free((*s)->log.prefix_dir);
	free((*s)->log.plan_name);
	fl_buf_free(&(*s)->open);
	free((*s)->kept);
	free((*s)->selected);
	free((*s)->selected_ground);
	free((*s)->dir);
	fl_closep(&(*s)->fd);
	free(*s);
	*s = NULL;
}

/* ---- which flow log ---- */

/* Ids in deliver/. Returns the first in order of name, or -ENOENT; with ret_all all of them, for a sentence. */
static int ids_by_name(int fd, char ret_first[64], struct fl_buf *ret_all)
{
	int sub = openat(fd, "deliver", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = sub < 0 ? NULL : fdopendir(sub);
	struct dirent *e;

	*ret_first = '\0';
	if (!d) {
		fl_closep(&sub);
		return errno == ENOENT ? -ENOENT : -errno;
	}
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (n <= 5 || n - 5 >= sizeof(((struct fl_store_log *)NULL)->id) || strcmp(e->d_name + n - 5, ".json"))
			continue;
		if (!*ret_first || strncmp(e->d_name, ret_first, n - 5) < 0)
			snprintf(ret_first, 64, "%.*s", (int)(n - 5), e->d_name);
		if (ret_all)
			(void)fl_buf_printf(ret_all, "%s%.*s", ret_all->len ? ", " : "", (int)(n - 5), e->d_name);
	}
	closedir(d);
	return *ret_first ? 0 : -ENOENT;
}

/* The first flow log of the configuration, as the deliver role lists them; a store may also hold the state of flow logs
 * that are configured no more. */
static bool configured_first(int fd, char ret[64])
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATE_MAX);
	json_t *status = fl_file_read(fd, "status/deliver.json", &buf) ? NULL : json_loadb(buf.data, buf.len, 0, NULL);
	const char *id =
	    json_string_value(json_object_get(json_array_get(json_object_get(status, "flow_logs"), 0), "id"));
	char name[96];
	bool there = id && !strchr(id, '/') && strlen(id) < sizeof(((struct fl_store_log *)NULL)->id);

	if (there) {
		snprintf(ret, 64, "%s", id);
		snprintf(name, sizeof name, "deliver/%s.json", ret);
		there = !faccessat(fd, name, F_OK, 0);
	}
	json_decref(status);
	return there;
}

static int first_log(int fd, char ret[64])
{
	return configured_first(fd, ret) ? 0 : ids_by_name(fd, ret, NULL);
}

static int no_such_log(const struct fl_store *s, int r)
{
	struct fl_buf all FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	char first[64];

	if (ids_by_name(s->fd, first, &all))
		return fl_fail(r, "%s: no flow log is delivered here; start one with flowlog run", s->dir);
	return fl_fail(r, "%s: no flow log %s is delivered here; there is %s", s->dir, s->log.id, fl_buf_cstr(&all));
}

static int read_state(const struct fl_store *s, json_t **ret)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATE_MAX);
	char name[64];
	json_error_t error;
	int r;

	snprintf(name, sizeof name, "deliver/%s.json", s->log.id);
	r = fl_file_read(s->fd, name, &buf);
	if (r)
		return r == -ENOENT ? no_such_log(s, r) : fl_wrap(r, "%s", s->dir);
	*ret = json_loadb(buf.data, buf.len, 0, &error);
	if (!*ret)
		return fl_fail(-EBADMSG, "%s/%s: %s", s->dir, name, error.text);
	if (!json_is_string(json_object_get(*ret, "bucket_dir")) || !json_is_string(json_object_get(*ret, "prefix")) ||
	    !json_is_string(json_object_get(*ret, "format")) || !json_is_object(json_object_get(*ret, "cursor")))
		return fl_fail(-EBADMSG, "%s/%s: bucket_dir, prefix, format or cursor is missing", s->dir, name);
	return 0;
}

/* ---- files ---- */

static bool in_plan(const json_t *state, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(state, "plan"), "names"), i, v)
	{
		const char *key = json_string_value(v), *slash = key ? strrchr(key, '/') : NULL;

		if (slash && !strcmp(slash + 1, name))
			return true;
	}
	return false;
}

/* ACCOUNT_vpcflowlogs_REGION_ID_YYYYMMDDTHHmmZ_HASH.log.gz or .log.parquet: the part from the time on; NULL: not an
 * object of this flow log. */
static const char *object_time(const char *name, const char *id)
{
	size_t n = strlen(name);
	const char *at = strstr(name, "_vpcflowlogs_");

	at = at ? strstr(at, id) : NULL;
	if (!at || at[-1] != '_' || at[strlen(id)] != '_' ||
	    ((n < 7 || strcmp(name + n - 7, ".log.gz")) && (n < 12 || strcmp(name + n - 12, ".log.parquet"))))
		return NULL;
	return at + strlen(id) + 1;
}

#define SLOT_LETTERS 14 /* YYYYMMDDTHHmmZ */

struct listed {
	char *path;
	struct timespec written;
};

struct listing {
	const struct fl_store *s;
	struct listed *file;
	size_t n, cap;
};

static int list_add(struct listing *l, const char *path, struct timespec written)
{
	if (l->n == l->cap) {
		size_t cap = FL_MAX(2 * l->cap, (size_t)256);
		struct listed *grown = cap > FILES_MAX ? NULL : realloc(l->file, cap * sizeof *grown);

		if (!grown)
			return fl_fail(-ENOMEM, "%s: too many files", l->s->dir);
		l->file = grown;
		l->cap = cap;
	}
	l->file[l->n] = (struct listed){strdup(path), written};
	return l->file[l->n].path ? (int)(l->n++, 0) : -ENOMEM;
}

static int on_file(void *ctx, int dirfd, char *path, char *name)
{
	struct listing *l = ctx;

	struct stat st;

	if (!object_time(name, l->s->log.id) || in_plan(l->s->state, name))
		return 0;
	/* Retention may have removed it. */
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : list_add(l, path, st.st_mtim);
}

/* From the slot in the name on. */
static const char *slot_of(const char *path, const char *id)
{
	const char *slash = strrchr(path, '/');

	return object_time(slash ? slash + 1 : path, id);
}

static int by_number(int64_t x, int64_t y)
{
	return x < y ? -1 : x > y;
}

/* The name has the slot of five minutes; of its objects the one written first is the oldest. */
static int by_time(const void *a, const void *b, void *id)
{
	const struct listed *x = a, *y = b;
	int c = strncmp(slot_of(x->path, id), slot_of(y->path, id), SLOT_LETTERS);

	c = c ? c : by_number(x->written.tv_sec, y->written.tv_sec);
	c = c ? c : by_number(x->written.tv_nsec, y->written.tv_nsec);
	return c ? c : strcmp(x->path, y->path);
}

static void forget_files(struct fl_store *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		free(s->file[i]);
	free(s->file);
	s->file = NULL;
	s->n_files = 0;
}

static int list_files(struct fl_store *s)
{
	struct listing l = {.s = s};
	char path[PATH_LIMIT];
	int n, fd, r = 0;

	forget_files(s);
	n = snprintf(path, sizeof path, "%s/%s/", s->dir, s->log.prefix_dir);
	if (n >= (int)sizeof path / 2)
		return fl_fail(-ENAMETOOLONG, "%.64s...: the path is too long", path);
	fd = openat(s->fd, s->log.prefix_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		r = errno == ENOENT ? 0 : fl_fail(-errno, "%s: %m", path);
	else
		r = fl_walk_files(fd, path, (size_t)n, sizeof path, DEPTH_MAX, on_file, NULL, &l);
	if (!r && l.n)
		qsort_r(l.file, l.n, sizeof *l.file, by_time, s->log.id);
	s->file = calloc(l.n + 1, sizeof *s->file);
	for (size_t i = 0; i < l.n; i++)
		if (s->file)
			s->file[s->n_files++] = l.file[i].path;
		else
			free(l.file[i].path);
	free(l.file);
	return s->file ? r : -ENOMEM;
}

/* ---- opening ---- */

static int take_state(struct fl_store *s, json_t *state)
{
	struct fl_store_log *l = &s->log;
	const json_t *cursor = json_object_get(state, "cursor"), *plan = json_object_get(state, "plan");
	const char *traffic = json_string_value(json_object_get(state, "traffic_type"));
	const char *name = json_string_value(json_object_get(plan, "name"));

	json_decref(s->state);
	s->state = state;
	free(l->format);
	free(l->prefix_dir);
	free(l->plan_name);
	l->prefix_dir = NULL;
	l->format = strdup(json_string_value(json_object_get(state, "format")));
	l->plan_name = name ? strdup(name) : NULL;
	for (size_t i = 0; i < FL_TAG_FIELDS; i++) /* the state's own strings */
		l->enrich.tag_key[i] =
		    json_string_value(json_object_get(json_object_get(state, "tags"), fl_tag_fields[i]));
	l->inventory = json_string_value(json_object_get(state, "inventory"));
	for (size_t i = 0; i < FL_ENRICH_SWITCH_N; i++)
		fl_enrich_put(
		    &l->enrich, i,
		    json_is_true(json_object_get(json_object_get(state, "switches"), fl_enrich_switches[i].key)));
	if (asprintf(&l->prefix_dir, "%s/%s", json_string_value(json_object_get(state, "bucket_dir")),
		     json_string_value(json_object_get(state, "prefix"))) < 0)
		l->prefix_dir = NULL;
	l->interval = (uint32_t)json_integer_value(json_object_get(state, "interval"));
	l->cursor.segment = (uint64_t)json_integer_value(json_object_get(cursor, "segment"));
	l->cursor.offset = (uint64_t)json_integer_value(json_object_get(cursor, "offset"));
	s->closed_end = (int64_t)json_integer_value(json_object_get(state, "newest_end"));
	s->nodata_always = json_is_true(json_object_get(state, "nodata_always"));
	s->take = traffic && !strcmp(traffic, "REJECT")   ? TAKE_REJECT
		  : traffic && !strcmp(traffic, "ACCEPT") ? TAKE_ACCEPT
							  : TAKE_ALL;
	return l->format && l->prefix_dir && (l->plan_name || !name) ? 0 : -ENOMEM;
}

static int settle(struct fl_store *s)
{
	json_t *state = NULL;
	int r = read_state(s, &state);

	for (unsigned i = 0; !r && i < TRIES; i++) {
		r = take_state(s, state);
		state = NULL;
		if (!r)
			r = list_files(s);
		if (!r)
			r = read_state(s, &state);
		if (!r && json_equal(state, s->state)) {
			json_decref(state);
			return 0;
		}
	}
	json_decref(state);
	return r ? r : fl_fail(-EBUSY, "%s: delivery did not stand still for a moment; try again", s->dir);
}

static int open_journal(struct fl_store *s)
{
	int fd FL_CLEANUP(fl_closep) = openat(s->fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : fl_fail(-errno, "%s/journal: %m", s->dir);
	return fl_reader_open(&s->reader, fd, s->journal_alone ? (struct fl_position){0} : s->log.cursor);
}

int fl_store_rewind(struct fl_store *s)
{
	fl_reader_close(&s->reader);
	s->open_read = false;
	fl_buf_reset(&s->open);
	return open_journal(s);
}

static int open_store(struct fl_store **ret, const char *dir, const char *flow_log_id, bool journal_alone)
{
	struct fl_store *s FL_CLEANUP(fl_store_close) = calloc(1, sizeof *s);
	char id[64];
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->open = FL_BUF(OPEN_MAX);
	s->journal_alone = journal_alone;
	s->dir = strdup(dir);
	if (!s->dir)
		return -ENOMEM;
	s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0)
		return fl_fail(-errno, "%s: %m", dir);
	if (flow_log_id)
		snprintf(id, sizeof id, "%s", flow_log_id);
	else
		r = first_log(s->fd, id);
	if (r == -ENOENT)
		return fl_fail(r, "%s: no flow log is delivered here; start one with flowlog run", dir);
	if (r)
		return fl_fail(r, "%s/deliver: %s", dir, strerror(-r));
	if (strlen(id) >= sizeof s->log.id || strchr(id, '/'))
		return fl_fail(-EINVAL, "flow log \"%s\": not an id", id);
	snprintf(s->log.id, sizeof s->log.id, "%s", id);
	r = settle(s);
	if (!r && journal_alone)
		forget_files(s);
	if (!r)
		r = open_journal(s);
	if (r)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

int fl_store_open(struct fl_store **ret, const char *dir, const char *flow_log_id)
{
	return open_store(ret, dir, flow_log_id, false);
}

int fl_store_open_journal(struct fl_store **ret, const char *dir, const char *flow_log_id)
{
	return open_store(ret, dir, flow_log_id, true);
}

const char *fl_store_dir(const struct fl_store *s)
{
	return s->dir;
}

const struct fl_store_log *fl_store_log(const struct fl_store *s)
{
	return &s->log;
}

size_t fl_store_file_count(const struct fl_store *s)
{
	return s->n_files;
}

const char *fl_store_file(const struct fl_store *s, size_t i)
{
	return i < s->n_files ? s->file[i] : NULL;
}

/* ---- frames ---- */

/* The flows that the flow log selects, into our own memory. */
static int select_flows(struct fl_store *s, struct fl_frame *f)
{
	size_t n = 0;

	if (s->take == TAKE_ALL || !f->flows)
		return 0;
	if (s->selected_size < f->n_flows) {
		free(s->selected);
		free(s->selected_ground);
		s->selected = malloc(f->n_flows * sizeof *s->selected);
		s->selected_ground = malloc(f->n_flows * sizeof *s->selected_ground);
		s->selected_size = s->selected && s->selected_ground ? f->n_flows : 0;
		if (!s->selected_size)
			return -ENOMEM;
	}
	for (size_t i = 0; i < f->n_flows; i++) {
		if ((f->flows[i].action == FL_ACTION_REJECT) != (s->take == TAKE_REJECT))
			continue;
		s->selected_ground[n] = f->ground ? f->ground[i] : 0;
		s->selected[n++] = f->flows[i];
	}
	/* Traffic of the other kind is traffic: no NODATA. */
	if (!n && f->n_flows)
		f->window.flags |= FL_WINDOW_SILENT;
	f->flows = s->selected;
	f->ground = f->ground ? s->selected_ground : NULL;
	f->n_flows = n;
	return 0;
}

static bool is_seen(const struct fl_store *s, const char *id)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s->state, "seen"), i,
			   v) if (json_is_string(v) && !strcmp(json_string_value(v), id)) return true;
	return false;
}

/* As delivery will see it when it comes to this frame. */
static int as_delivered(struct fl_store *s, struct fl_frame *f)
{
	bool seen = s->nodata_always || is_seen(s, f->eni.interface_id);
	int r = select_flows(s, f);

	if (r)
		return r;
	if (!seen && (f->n_flows || f->window.flags & FL_WINDOW_SKIPDATA))
		return json_array_append_new(json_object_get(s->state, "seen"), json_string(f->eni.interface_id)) &&
			       json_is_array(json_object_get(s->state, "seen"))
			   ? -ENOMEM
			   : 0;
	if (!f->n_flows && (!seen || f->window.part || f->window.flags & FL_WINDOW_PROVISIONAL))
		f->window.flags |= FL_WINDOW_SILENT;
	return 0;
}

static int read_open(struct fl_store *s)
{
	int r = fl_file_read(s->fd, "status/open", &s->open);

	s->open_read = true;
	if (r && r != -ENOENT)
		return fl_wrap(r, "%s", s->dir);
	s->open_at = fl_cursor(s->open.data, r ? 0 : s->open.len);
	return 0;
}

/* The snapshot may be of a window that has been closed since. */
static int next_open_frame(struct fl_store *s, struct fl_frame *ret)
{
	int r;

	do {
		if (!s->open.data || !fl_cur_left(&s->open_at))
			return 0;
		r = fl_frame_decode(&s->open_at, ret, &s->kept, &s->kept_size);
		if (r < 0)
			return fl_wrap(r, "%s/status/open", s->dir);
	} while (r && ret->window.start < s->closed_end);
	return r;
}

static int next_closed_frame(struct fl_store *s, struct fl_frame *ret)
{
	int r = s->reader ? fl_reader_next(s->reader, ret) : 0;

	if (r == FL_READER_WINDOW_END) {
		int64_t end = ret->window.start + ret->window.length;

		/* Back by more than a late window: the wall clock was set. */
		if (end > s->closed_end || end + CLOCK_STEP_S < s->closed_end)
			s->closed_end = end;
	}
	return r;
}

int fl_store_next_frame(struct fl_store *s, bool open_window, struct fl_frame *ret)
{
	int r = next_closed_frame(s, ret);

	if (!r && open_window) {
		/* The snapshot first, then once more what was closed before it was taken: no window
		 * is missed, none comes twice. */
		if (!s->open_read) {
			r = read_open(s);
			if (!r)
				r = next_closed_frame(s, ret);
		}
		if (!r)
			r = next_open_frame(s, ret);
	}
	if (r == 1) {
		int e = as_delivered(s, ret);

		return e ? e : r;
	}
	return r;
}

void fl_frame_record(const struct fl_frame *frame, size_t i, struct fl_record *ret)
{
	const struct fl_flow *f = &frame->flows[i];
	int64_t start = frame->window.start;

	*ret = (struct fl_record){
	    .key = f->key,
	    .packets = f->packets,
	    .bytes = f->bytes,
	    .start = start + f->first_ms / 1000,
	    .end = start + f->last_ms / 1000,
	    .tcp = f->tcp,
	    .action = f->action,
	    .status = FL_STATUS_OK,
	    .reason = fl_frame_reason(frame, i),
	    .ground = frame->ground ? frame->ground[i] : 0,
	};
}

bool fl_frame_itself(const struct fl_frame *frame, struct fl_record *ret)
{
	*ret = (struct fl_record){
	    .start = frame->window.start,
	    .end = frame->window.start + (int64_t)frame->window.length - 1,
	};
	if (frame->window.flags & FL_WINDOW_SKIPDATA)
		ret->status = FL_STATUS_SKIPDATA;
	else if (!frame->n_flows && !frame->window.part && !(frame->window.flags & FL_WINDOW_SILENT))
		ret->status = FL_STATUS_NODATA;
	return ret->status != FL_STATUS_OK;
}

int fl_frame_records(const struct fl_frame *frame, fl_frame_record_fn fn, void *ctx)
{
	struct fl_record record;
	int r = 0;

	for (size_t i = 0; !r && frame->flows && i < frame->n_flows; i++) {
		fl_frame_record(frame, i, &record);
		r = fn(ctx, frame, &record);
	}
	return !r && fl_frame_itself(frame, &record) ? fn(ctx, frame, &record) : r;
}
