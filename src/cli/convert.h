/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `flowlog convert`: records into files of one form, put where AWS would put them. */
#pragma once

#include <signal.h>

#include "deliver/deliver.h"
#include "record/parquet.h"

enum fl_convert_form { FL_CONVERT_PARQUET, FL_CONVERT_TEXT, FL_CONVERT_CSV, FL_CONVERT_JSON, FL_CONVERT_FORMS };

struct fl_convert {
	enum fl_convert_form form;
	struct fl_parquet_conf parquet;    /* columns and codec, for all forms */
	bool force;                        /* files that are there may be replaced */
	const volatile sig_atomic_t *stop; /* set: a write that waits ends with -EINTR */
	struct fl_flow_log log;            /* of names: account, region, id, hive, per_hour */
};

/* ---- convert_file.c: one file ---- */

struct fl_convert_file;
int fl_convert_file_new(struct fl_convert_file **ret, const struct fl_convert *c, int fd); /* fd is taken */
void fl_convert_file_free(struct fl_convert_file **f);
int fl_convert_file_write(struct fl_convert_file *f, const struct fl_batch *b);
int fl_convert_file_finish(struct fl_convert_file *f);
uint64_t fl_convert_file_size(const struct fl_convert_file *f);
uint32_t fl_convert_file_crc(const struct fl_convert_file *f);
/* ".log.gz", ".log.parquet", ... */
void fl_convert_ending(const struct fl_convert *c, char ret[32]);

/* ---- convert_tree.c: files by the time of their records ---- */

struct fl_convert_tree;
/* dir is made when it is not there. */
int fl_convert_tree_new(struct fl_convert_tree **ret, const struct fl_convert *c, const char *dir);
/* Without fl_convert_tree_finish nothing is left behind. */
void fl_convert_tree_free(struct fl_convert_tree **t);
/* Removes what was made so far: files, and directories unless others put something there. How many files of before
 * fl_convert_tree_finish had replaced already. Negative, with a sentence: something stays. */
int fl_convert_tree_undo(struct fl_convert_tree *t, size_t *ret_replaced);
int fl_convert_tree_write(struct fl_convert_tree *t, const struct fl_batch *b);
int fl_convert_tree_finish(struct fl_convert_tree *t); /* all files get their names */
void fl_convert_tree_sum(const struct fl_convert_tree *t, size_t *ret_files, uint64_t *ret_bytes);
