/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room "scan": a set of sources. Found (listing.c), looked at (look.c), read unit by unit (reader.c and
 * unit_*.c). A unit is what one thread reads: a file, a range of a big one, a store's journal.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "aws/aws.h"
#include "base/mem.h"
#include "record/record.h"
#include "scan/reader.h"
#include "scan/inflate.h"
#include "scan/parquet.h"
#include "scan/scan.h"
#include "scan/text.h"

#define FL_SCAN_DEPTH 32
#define FL_SCAN_HEAD FL_RECORD_MAX   /* of a file's contents, looked at to tell what it is */
#define FL_SCAN_FILES_MAX (1u << 26) /* in one question */
#define FL_SCAN_PATHS_MAX 4096       /* length of one */

/* ---- which file it is, whatever it is called ---- */

struct fl_file_id {
	dev_t dev;
	ino_t ino; /* 0: free */
};
/* A set of them that grows. 1: it is new; 0: it was there. */
int fl_ids_add(struct fl_file_id **ids, size_t *n, size_t *cap, const struct stat *st);

/* ---- what there is ---- */

enum fl_where { FL_WHERE_FILE, FL_WHERE_STDIN, FL_WHERE_JOURNAL, FL_WHERE_S3 };

/* Many: small. Names are in their place's `names`. */
struct fl_scan_file {
	uint32_t name;
	uint32_t store;      /* FL_WHERE_JOURNAL: number in the set */
	uint64_t size;       /* FL_WHERE_S3, whose name is the key, then behind its NUL the ETag */
	int64_t first, last; /* records in it lie within, as its name or place tells; INT64_MIN, INT64_MAX: no bound */
	uint8_t where;
	bool named; /* by the user: what is wrong with it ends the scan */
};

/* A directory, or a bucket: then the path is "s3://bucket/". */
struct fl_place {
	char *path; /* with the slash at its end; "": names are whole paths */
	char *bucket;
	struct fl_buf names;
	struct fl_scan_file *file;
	size_t n, cap;
	size_t source, pruned; /* number of the operand; files that were left out */
};

struct fl_places {
	struct fl_place **place;
	size_t n, cap;
};

struct fl_fault_list {
	pthread_mutex_t lock;
	char *text[FL_SCAN_FAULTS];
	size_t n;
};

/* Pipes can be looked at once: they stay open from then on until they are read. */
struct fl_opened;
#define FL_SCAN_PIPES 64
struct fl_pipe_list {
	pthread_mutex_t lock;
	const struct fl_scan_file *file[FL_SCAN_PIPES];
	struct fl_opened *opened[FL_SCAN_PIPES];
	struct stat id[FL_SCAN_PIPES];
	size_t n;
};

/* ---- progress.c: how far it is, for whoever wants to know ---- */

struct fl_progress {
	atomic_bool on;
	bool told;
	pthread_mutex_t lock;     /* who tells */
	uint64_t began_ns, total; /* total: bytes as stored; 0: not known yet */
	atomic_llong otherwise;   /* more than these will be read; negative: less */
	atomic_ullong bytes, files_done;
	atomic_ullong next_ns; /* when to tell again */
};

/* ---- reading: one pass over the set ---- */

struct fl_unit;
struct fl_pass {
	struct fl_column_def column[FL_BATCH_COLUMNS]; /* selected, then the filter's */
	size_t n_columns, n_selected;
	const struct fl_filter *filter;
	struct fl_filter_bound *bound;
	bool of_filter[FL_BATCH_COLUMNS]; /* by position: the filter looks at it */
	bool lacked[FL_BATCH_COLUMNS];    /* records could not be judged for lack of it */
	struct fl_addr literal[FL_FILTER_LITERALS];
	size_t n_literals;
	int64_t since, until; /* of the filter */
	pthread_mutex_t lock;
	pthread_cond_t more;
	size_t place, file; /* the next one to be handed out */
	struct fl_unit *unit;
	struct fl_prefetch *prefetch; /* NULL: there are no objects */
	unsigned openers;             /* threads that hold a file whose units are not yet known */
	struct fl_file_id *seen;      /* files that were opened: one named twice is read once */
	size_t n_seen, cap_seen;
	struct fl_scan_report report;
	int result; /* negative: the scan is over for every thread */
};

/* The time in a name or place says that nothing in it is asked for, or all that is; it is counted. */
bool fl_pass_prunes(const struct fl_scan *s, struct fl_pass *p, const struct fl_scan_file *f);
bool fl_pass_is_outside(const struct fl_pass *p, const struct fl_scan_file *f);

struct fl_scan {
	struct fl_scan_conf conf;
	unsigned threads;
	const struct fl_filter *filter; /* of listing */
	struct fl_places places;
	struct fl_store **store;
	size_t n_stores;
	struct fl_file_id *store_seen;
	size_t n_store_seen, cap_store_seen;
	struct fl_s3 *s3;             /* made for the first s3:// */
	struct fl_scan_report listed; /* what listing pruned */
	struct fl_fault_list faults;
	struct fl_pipe_list pipes;
	struct fl_progress progress;
	struct fl_column_def *column;
	char **column_name; /* of unknown ones: ours */
	size_t n_columns;
	struct fl_pass pass;
	bool selected, standard_input;
};

static inline bool fl_scan_stopped(const struct fl_scan *s)
{
	return s->conf.stop && *s->conf.stop;
}
#define FL_SCAN_STOPPED "stopped before everything was read"

void fl_scan_add_fault(struct fl_scan *s, const char *text);

/* What Parquet's reader is asked for itself: not what looks at columns that are ours. */
const struct fl_filter *fl_pass_parquet_filter(const struct fl_pass *p);

struct fl_ticket { /* a file that is still to be looked at */
	const struct fl_place *place;
	const struct fl_scan_file *file;
	int fd;                   /* of an object that was fetched; else -1 */
	struct fl_remote *remote; /* of one that stays where it is; else NULL */
};

/* ---- prefetch.c: objects are fetched ahead of those who read them ---- */
int fl_prefetch_start(struct fl_scan *s);
void fl_prefetch_stop(struct fl_prefetch **p);
/* With the pass's lock held. 1: one is ready, a file or a unit; 0: none is left; -EAGAIN: wait for pass->more; else
 * what it has wrong. */
int fl_prefetch_take(struct fl_prefetch *p, struct fl_ticket *ret, struct fl_unit **ret_unit);
/* With the pass's lock held: a row group of an object that stays where it is; it will be given by fl_prefetch_take. */
int fl_prefetch_add(struct fl_prefetch *p, const struct fl_unit *unit);

void fl_progress_begin(struct fl_scan *s);
void fl_progress_file(struct fl_scan *s);
void fl_progress_arrived(void *scan, uint64_t bytes, bool from_cache); /* fl_s3_progress_fn */
void fl_progress_expect(struct fl_scan *s, int64_t more);              /* than was listed */
void fl_progress_end(struct fl_scan *s);

/* ---- listing_s3.c ---- */
int fl_scan_list_s3(struct fl_scan *s, const char *url, size_t source);

/* ---- listing.c ---- */
/* The time that a name or place gives, against what is asked for at listing. */
bool fl_scan_may_pass(const struct fl_scan *s, int64_t first, int64_t last);
void fl_place_sort(struct fl_place *p);
int fl_scan_list(struct fl_scan *s);
void fl_places_free(struct fl_places *p);
struct fl_place *fl_place_alloc(const char *path, size_t source);
void fl_place_free(struct fl_place *p);
int fl_places_keep(struct fl_places *p, struct fl_place *x); /* x is taken, also when this fails */
int fl_place_new(struct fl_places *p, const char *path, struct fl_place **ret);
int fl_place_add(struct fl_place *p, const char *name, size_t n, struct fl_scan_file file);
/* Path of a file: malloc'd. */
char *fl_place_path(const struct fl_place *p, const struct fl_scan_file *f);

/* ---- look.c ---- */

enum fl_kind {
	FL_KIND_EMPTY,
	FL_KIND_TEXT,
	FL_KIND_CSV,
	FL_KIND_JSON,
	FL_KIND_PARQUET,
	FL_KIND_CAPTURE,
	FL_KIND_BINARY
};
/* Kinds that are lines, with a format. */
static inline bool fl_kind_has_lines(uint8_t kind)
{
	return kind == FL_KIND_TEXT || kind == FL_KIND_CSV || kind == FL_KIND_JSON;
}
enum fl_packing { FL_PACK_NONE, FL_PACK_GZIP, FL_PACK_ZSTD };
struct fl_looked {
	uint8_t kind, packing;
	char delimiter; /* CSV */
	size_t n;
	char head[FL_SCAN_HEAD]; /* of the contents, unpacked */
};
/* What begins with these n bytes. Pure. */
void fl_look(const void *data, size_t n, struct fl_looked *ret);
/* The format of lines from the first ones. format: of text without a header; NULL: the default. Sentences name path. */
int fl_look_format(const char *path, const struct fl_looked *l, const char *format, struct fl_format **ret);

/* A file that is open. Shared by its units. */
struct fl_opened {
	atomic_uint users;
	int fd;
	char *path;
	uint64_t size;                 /* when it was opened */
	atomic_bool unjudged, damaged; /* and counted as such */
	bool hangs; /* it lacks a field of the filter: other rows than those that pass are counted (unjudged.c) */
	bool regular, fetched; /* fetched: its bytes were progress when they arrived */
	uint8_t kind, packing;
	char *head; /* of a pipe: what was read already */
	size_t n_head;
	struct fl_format *format; /* text, CSV, JSON */
	char delimiter;           /* CSV */
	struct fl_parquet_file *parquet;
	struct fl_remote *remote; /* then there is no descriptor */
};
/* The ticket's descriptor or object is taken, also when this fails. ret_id: which file it is. */
int fl_opened_new(struct fl_opened **ret, struct fl_scan *s, const struct fl_ticket *t, struct stat *ret_id);
void fl_opened_release(struct fl_opened **o);

/* ---- units ---- */

struct fl_unit {
	struct fl_unit *next;
	struct fl_opened *opened; /* NULL: a journal */
	uint32_t store;
	uint64_t from, to;        /* of a plain file: lines that begin in it */
	size_t group;             /* of Parquet */
	struct fl_pieces *pieces; /* of a row group that was fetched */
};
void fl_unit_free(struct fl_unit **u);

/* ---- feed.c: bytes of a unit as blocks of whole lines ---- */

struct fl_scan_reader;
struct fl_feed {
	struct fl_scan_reader *r;
	struct fl_unit *unit;
	size_t told;            /* bytes of a pipe's head that were handed out */
	uint64_t counted, base; /* bytes stored that the report has; lines before a range, 0: not counted yet */
};
int fl_feed_open(struct fl_feed *f, struct fl_scan_reader *r, struct fl_unit *u);
/* As fl_blocks_next; the sentence names the file. */
int fl_feed_next(struct fl_feed *f, const char **ret_data, size_t *ret_n, bool *ret_last);
uint64_t fl_feed_lines_before(struct fl_feed *f);
/* Whether somebody still writes the last line of the reader's unit. */
enum fl_line_end fl_feed_line_end(const struct fl_scan_reader *r);

struct fl_unit_ops {
	int (*open)(struct fl_scan_reader *r, struct fl_unit *u, void **ret);
	/* Rows that pass the filter into the reader's batch. 1: at least one; 0: that was all; negative: nothing more
	 * can be read, with a sentence. */
	int (*next)(struct fl_scan_reader *r, void *state);
	void (*close)(struct fl_scan_reader *r, void *state);
};
extern const struct fl_unit_ops fl_unit_text, fl_unit_journal, fl_unit_capture, fl_unit_parquet, fl_unit_table;
bool fl_unit_parquet_lacks(void *file, const char *column); /* fl_lacks_fn */
#define FL_CAPTURE_FORMAT "v5-all"                          /* fields of a capture's records */

struct fl_scan_reader {
	struct fl_scan *s;
	struct fl_pass *pass;
	struct fl_batch *batch;
	struct fl_text *text; /* made when first needed */
	struct fl_blocks *blocks;
	const struct fl_unit_ops *ops; /* NULL: no unit is open */
	struct fl_unit *unit;
	void *state;
	const char *path;             /* of the unit, for the column "source" */
	struct fl_feed *feed;         /* of the unit, when it has lines of a file; else NULL */
	bool no_lines;                /* their numbers mean nothing to anybody */
	struct fl_scan_report report; /* counted here, added up at the end of a unit */
	/* unjudged.c */
	struct fl_filter *could;        /* what records of the file fulfil that pass or could pass */
	bool lacks[FL_BATCH_COLUMNS];   /* by position: the filter looks at it, and the file does not have it */
	bool lacking[FL_BATCH_COLUMNS]; /* by position: what records of the unit hang on */
};

/* ---- unjudged.c: records that hang on fields which their file lacks ---- */

/* Whether the filter hangs on columns that a file lacks: then r->could is what is to be read of it (NULL: all), and
 * r->lacks is set, until the next call. */
int fl_unjudged_find(struct fl_scan_reader *r, fl_lacks_fn lacks, void *ctx, bool *ret_hangs);
/* Leaves the rows of the reader's batch that pass, and counts those that cannot be judged; false: none is left. */
bool fl_unjudged_pass(struct fl_scan_reader *r, bool hangs);
void fl_unjudged_unit_ends(struct fl_scan_reader *r); /* before its report is handed in */
void fl_unjudged_free(struct fl_scan_reader *r);
/* Of a column that is put beside the file's. */
static inline bool fl_column_is_beside(const struct fl_column_def *d)
{
	return d->own == FL_OWN_SOURCE || d->own == FL_OWN_PROVISIONAL;
}

/* untold.c: whether the times of its records are known without them; they are noted then. */
bool fl_told_by_name(const struct fl_scan *s, const struct fl_scan_file *f, struct fl_scan_report *to);
bool fl_told_by_footer(struct fl_scan_reader *r, const struct fl_parquet_file *f);
void fl_told_note(struct fl_scan_report *to, int64_t first, int64_t last);
/* Of a store's journal, by the records of its frames, which need not become text. */
int fl_journal_times(struct fl_scan_reader *r, uint32_t store);

/* Lines of this format from now on, into the reader's batch. version: what the column of that name says; NULL: what the
 * lines say. */
enum fl_lines_of {
	FL_LINES_READ,
	FL_LINES_MADE, /* by us: their numbers say nothing */
	FL_LINES_OWN,  /* made, with our own columns among their fields */
};
int fl_lines_begin(struct fl_scan_reader *r, const struct fl_format *format, enum fl_lines_of of, const char *version);
void fl_lines_end(struct fl_scan_reader *r);
bool fl_lines_lack(void *format, const char *column); /* fl_lacks_fn */
/* A fault of a line of the unit; ctx: the reader. */
void fl_lines_tell(void *ctx, uint64_t line, const char *what);
/* Columns of ours that no file has, in all rows of the reader's batch. */
void fl_batch_fill_own(struct fl_scan_reader *r);
void fl_scan_add_bytes(struct fl_scan_reader *r, uint64_t n);
