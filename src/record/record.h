/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "record": every field of VPC flow logs (54) and transit gateway flow logs (36), described
 * once in fields.def, format strings validated as AWS does, text / JSON / CSV out, text in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "flow/flow.h"
#include "inventory/inventory.h"

enum fl_action { FL_ACTION_ACCEPT = 0, FL_ACTION_REJECT = 1, FL_ACTION_N };
/* Why a packet was rejected, as far as records say (field reject-reason). */
enum fl_reason { FL_REASON_NONE = 0, FL_REASON_BPA, FL_REASON_EC, FL_REASON_N };
enum fl_status { FL_STATUS_OK = 0, FL_STATUS_NODATA, FL_STATUS_SKIPDATA, FL_STATUS_N };
enum fl_log_kind { FL_LOG_VPC = 0, FL_LOG_TGW = 1 }; /* which table of fields */

/* What was measured of one flow in one interval, ready to be written. */
struct fl_record {
	struct fl_key key;
	uint64_t packets, bytes;
	int64_t start, end; /* Unix seconds */
	uint8_t tcp;        /* as struct fl_obs */
	uint8_t action;     /* enum fl_action */
	uint8_t status;     /* enum fl_status; NODATA and SKIPDATA write "-" for the flow's fields */
	uint8_t reason;     /* enum fl_reason, where the carrier knows it beside the text */
	uint16_t ground;    /* the carrier's number of what decided; 0: not known */
	uint8_t pad[2];
};

/* What is known beyond the packet; NULL members and a NULL pointer to it write "-" (or the documented default). */
struct fl_record_meta {
	const struct fl_addr *pkt_src, *pkt_dst; /* NULL: same as the logged address */
	bool no_bytes;                           /* records.md: a flow rejected by BPA has no bytes */
	struct fl_addr pkt_addr[2];              /* room for the two when fl_decode_record fills this */
	struct fl_str text[96];                  /* by field number: what neither flow nor ENI supplies; n = 0: "-" */
};

/* ---- fields ---- */
enum fl_field_type { FL_TYPE_INT32, FL_TYPE_INT64, FL_TYPE_TEXT, FL_TYPE_N };
struct fl_field {
	const char *name;   /* hyphenated, as in a format */
	const char *column; /* underscores: Parquet, SQL */
	uint8_t kind;       /* enum fl_log_kind */
	uint8_t version;    /* since which record version */
	uint8_t type;       /* enum fl_field_type */
	bool in_default;
	const char *source; /* where the value comes from in Flowlog, for the field reference; "-" when it cannot be
			       known here */
	const char *help;
};
size_t fl_field_count(enum fl_log_kind kind);
const struct fl_field *fl_field_at(enum fl_log_kind kind, unsigned number); /* documentation order from 0 */
const struct fl_field *fl_field_find(enum fl_log_kind kind, const char *name, size_t n);
const struct fl_field *fl_field_nearest(enum fl_log_kind kind, const char *name,
					size_t n); /* for messages; never NULL */

/* ---- formats ---- */
struct fl_format;
/* "${version} ${account-id} ...", or a preset: default, v5-all, v7-all, v8-all, v11-all, tgw-default. -EINVAL with the
 * sentence AWS's users expect: unknown field (and the nearest known one), duplicate, empty, trailing or double space.
 */
int fl_format_parse(struct fl_format **ret, enum fl_log_kind kind, const char *text);
/* Names that only transit gateway flow logs have decide for their table. */
enum fl_log_kind fl_format_kind_of(const char *text);
/* From the header line of a file: bare names separated by single spaces. Unknown names become opaque columns. */
int fl_format_from_header(struct fl_format **ret, const char *line, size_t n);
void fl_format_free(struct fl_format **f);
enum fl_log_kind fl_format_kind(const struct fl_format *f);
size_t fl_format_len(const struct fl_format *f);
const struct fl_field *fl_format_field(const struct fl_format *f, size_t i); /* NULL: opaque */
const char *fl_format_name(const struct fl_format *f, size_t i);
const char *fl_format_text(const struct fl_format *f); /* "${...} ..." in full, presets expanded */
unsigned fl_format_version(const struct fl_format *f); /* highest version among the fields */
/* NULL, or a warning: field count of an Elastic layout in another order (ecosystem-conventions.md section 2). */
const char *fl_format_warning(const struct fl_format *f);

/* ---- encoding ---- */
/* JSON: numbers as numbers; a value that is "-" is null, so that every object has the same keys. */
enum fl_output { FL_OUTPUT_TEXT, FL_OUTPUT_JSON, FL_OUTPUT_CSV, FL_OUTPUT_N };

struct fl_encoder; /* a format compiled for one output: a short program of writers, constants of the ENI pre-rendered */
int fl_encoder_new(struct fl_encoder **ret, const struct fl_format *format, enum fl_output output);
void fl_encoder_free(struct fl_encoder **e);
/* Renders the constant parts; eni is copied. Cheap enough to call per interface and window, not per record. */
int fl_encoder_set_eni(struct fl_encoder *e, const struct fl_eni *eni);
/* The same with fields that neither the flow nor fl_eni supplies, constant for this interface: those of constants->text
 * that are not empty. */
int fl_encoder_set_constants(struct fl_encoder *e, const struct fl_eni *eni, const struct fl_record_meta *constants);
#define FL_RECORD_MAX 16384 /* no record is longer than this in any output */
/* Append the header line (text, CSV; nothing for JSON), records one a line. */
int fl_encode_header(const struct fl_encoder *e, struct fl_buf *out);
int fl_encode(struct fl_encoder *e, const struct fl_record *r, const struct fl_record_meta *meta, struct fl_buf *out);
/* The hot path: flows of one window straight from the meter's lines, action and status from the caller's window.
 * Equal to fl_encode of the same values, byte for byte. n flows of one ENI. */
struct fl_flow_line {
	const struct fl_key *key;
	uint64_t packets, bytes;
	int64_t start, end;
	uint8_t tcp, action;
	uint8_t reason;                          /* enum fl_reason; looked at by fl_enrich_line alone */
	const struct fl_addr *pkt_src, *pkt_dst; /* the same: addresses behind those on the wire; NULL: none */
};
int fl_encode_line(struct fl_encoder *e, const struct fl_flow_line *l, struct fl_buf *out);
int fl_encode_line_meta(struct fl_encoder *e, const struct fl_flow_line *l, const struct fl_record_meta *meta,
			struct fl_buf *out);

/* ---- decoding text ---- */
struct fl_values { /* one line, split by the format; views into the line */
	struct fl_str value[96];
	size_t n;
};
#define FL_LINE_OK 0
#define FL_LINE_FIELDS 1 /* another number of fields than the format has; nothing is shifted, nothing is used */
int fl_decode_line(const struct fl_format *f, const char *line, size_t n, struct fl_values *ret);
/* Typed: fills the record and the ENI members that the line carries. -EINVAL names field and value. */
int fl_decode_record(const struct fl_format *f, const struct fl_values *v, struct fl_record *ret,
		     struct fl_eni *ret_eni, struct fl_record_meta *ret_meta);

/* tcp accumulator -> the number AWS prints (records.md 2.1; the wider list for transit gateways) */
unsigned fl_tcp_flags_vpc(uint8_t tcp);
unsigned fl_tcp_flags_tgw(uint8_t tcp);
