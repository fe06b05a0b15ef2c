/* SPDX-License-Identifier: Apache-2.0 */
/* A capture: what `flowlog meter` would write of it. Nobody's verdicts are in it, so ACCEPT is "not seen rejected". */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/pcap_input.h"
#include "scan/metered.h"
#include "scan/set.h"

#define INTERVAL_S 60
#define BLOCK_FULL (256u << 10) /* of text, then it is scanned */
#define BLOCK_MAX (BLOCK_FULL + 2 * FL_RECORD_MAX + FL_TEXT_PAD)
#define VERSION "5" /* FL_CAPTURE_FORMAT's */

struct capture {
	struct fl_pcap *pcap;
	struct fl_metered *metered;
	struct fl_format *format; /* fields that are wanted */
	struct fl_encoder *encoder;
	struct window { /* closed, and not written yet */
		int64_t start;
		size_t end; /* of its flows */
		bool lossy;
	} * window;
	size_t n_windows, cap_windows, at_window;
	struct fl_flow *flow;
	size_t n_flows, cap_flows, at_flow;
	struct fl_buf text;
	size_t at;
	bool scanning, ended;
	int fault;
	uint64_t counted; /* bytes that the report has */
};

static void close_capture(struct fl_scan_reader *r, void *state)
{
	struct capture *c = state;

	fl_lines_end(r);
	fl_metered_free(&c->metered);
	fl_pcap_close(&c->pcap);
	fl_encoder_free(&c->encoder);
	fl_format_free(&c->format);
	fl_buf_free(&c->text);
	free(c->window);
	free(c->flow);
	free(c);
}

static int grow(void **array, size_t *cap, size_t n, size_t size)
{
	size_t more = FL_MAX(2 * *cap, n + 64);
	void *grown;

	if (n <= *cap)
		return 0;
	grown = realloc(*array, more * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = more;
	return 0;
}

static int copy_flow(void *ctx, const struct fl_flow *f)
{
	struct capture *c = ctx;

	c->flow[c->n_flows++] = *f;
	return 0;
}

static int on_window(void *ctx, int64_t start, const struct fl_table *flows, bool lossy)
{
	struct capture *c = ctx;
	int r = grow((void **)&c->window, &c->cap_windows, c->n_windows + 1, sizeof *c->window);

	r = r ? r : grow((void **)&c->flow, &c->cap_flows, c->n_flows + fl_table_count(flows), sizeof *c->flow);
	r = r ? r : fl_table_each(flows, copy_flow, c);
	if (!r)
		c->window[c->n_windows++] = (struct window){start, c->n_flows, lossy};
	return r;
}

/* Of the columns that are wanted those that a capture has. */
static int make_format(const struct fl_batch *b, struct fl_format **ret)
{
	struct fl_format *known FL_CLEANUP(fl_format_free) = NULL;
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_RECORD_MAX);
	int r = fl_format_parse(&known, FL_LOG_VPC, FL_CAPTURE_FORMAT);

	for (size_t i = 0; !r && i < fl_format_len(known); i++)
		for (uint32_t k = 0; k < b->n_columns; k++)
			if (fl_column_is_named(&b->column[k].def, fl_format_name(known, i))) {
				r = fl_buf_printf(&text, "%s${%s}", text.len ? " " : "", fl_format_name(known, i));
				break;
			}
	return r ? r : fl_format_parse(ret, FL_LOG_VPC, text.len ? fl_buf_cstr(&text) : "${start}");
}

static int open_input(struct capture *c, const struct fl_opened *o)
{
	struct fl_input *in = NULL;
	/* A descriptor of its own: dup shares the place in the file, where others may be. */
	int fd = o->regular ? open(o->path, O_RDONLY | O_CLOEXEC) : dup(o->fd), r;

	if (fd < 0)
		return fl_fail(-errno, "%s: %m", o->path);
	r = fl_input_open_fd(&in, fd, o->path, o->head, o->n_head);
	return r ? r : fl_pcap_open_input(&c->pcap, in, o->path);
}

static int prepare(struct fl_scan_reader *r, struct capture *c, const struct fl_opened *o)
{
	struct fl_metered_conf mc = {
	    .interval_s = INTERVAL_S, .memory = fl_metered_memory() / r->s->threads, .window = on_window, .ctx = c};
	struct fl_identity_conf identity;
	struct fl_eni eni;
	int result = open_input(c, o);

	fl_identity_defaults(&identity);
	fl_eni_for_capture(&identity, "capture", &eni);
	result = result ? result : make_format(r->batch, &c->format);
	result = result ? result : fl_encoder_new(&c->encoder, c->format, FL_OUTPUT_TEXT);
	result = result ? result : fl_encoder_set_eni(c->encoder, &eni);
	result = result ? result : fl_metered_new(&c->metered, &mc);
	return result ? result : fl_buf_reserve(&c->text, BLOCK_MAX);
}

static int open_capture(struct fl_scan_reader *r, struct fl_unit *u, void **ret)
{
	struct capture *c = calloc(1, sizeof *c);
	int result;

	if (!c)
		return -ENOMEM;
	c->text = FL_BUF(BLOCK_MAX);
	result = prepare(r, c, u->opened);
	result = result ? result : fl_lines_begin(r, c->format, FL_LINES_MADE, VERSION);
	if (result) {
		close_capture(r, c);
		return result;
	}
	*ret = c;
	return 0;
}

static int write_flow(struct capture *c, int64_t start)
{
	const struct fl_flow *f = &c->flow[c->at_flow++];
	struct fl_flow_line line = {.key = &f->key,
				    .packets = f->packets,
				    .bytes = f->bytes,
				    .start = start + f->first_ms / 1000,
				    .end = start + f->last_ms / 1000,
				    .tcp = f->tcp,
				    .action = FL_ACTION_ACCEPT};

	return fl_encode_line(c->encoder, &line, &c->text);
}

/* The next record of the closed windows. 0: there is none. */
static int write_record(struct capture *c)
{
	const struct window *w = &c->window[c->at_window];
	struct fl_record skip = {.status = FL_STATUS_SKIPDATA};
	int r;

	if (c->at_window == c->n_windows) {
		c->at_window = c->n_windows = c->at_flow = c->n_flows = 0;
		return 0;
	}
	if (c->at_flow < w->end)
		return (r = write_flow(c, w->start)) ? r : 1;
	skip.start = w->start;
	skip.end = w->start + INTERVAL_S - 1;
	r = w->lossy ? fl_encode(c->encoder, &skip, NULL, &c->text) : 0;
	c->at_window++;
	return r ? r : 1;
}

static int read_more(struct fl_scan_reader *r, struct capture *c)
{
	bool damaged = false;
	int got = fl_metered_read(c->metered, c->pcap, &damaged), end;

	if (fl_pcap_offset(c->pcap) > c->counted) {
		fl_scan_add_bytes(r, fl_pcap_offset(c->pcap) - c->counted);
		c->counted = fl_pcap_offset(c->pcap);
	}
	if (got > 0)
		return 0;
	c->ended = true;
	c->fault = got;
	end = damaged || !got ? fl_metered_finish(c->metered) : 0;
	return end;
}

static int fill(struct fl_scan_reader *r, struct capture *c)
{
	int got = 0;

	fl_buf_reset(&c->text);
	c->at = 0;
	while (got >= 0 && c->text.len < BLOCK_FULL) {
		got = write_record(c);
		if (got)
			continue;
		if (c->ended)
			return 0;
		got = fl_scan_stopped(r->s) ? fl_fail(-EINTR, FL_SCAN_STOPPED) : read_more(r, c);
	}
	return FL_MIN(got, 0);
}

static int next_capture(struct fl_scan_reader *r, void *state)
{
	struct capture *c = state;
	size_t used = 0;
	int got;

	for (;;) {
		if (c->scanning) {
			got = fl_text_next(r->text, c->text.data + c->at, c->text.len - c->at, false, &used);
			c->at += used;
			if (got)
				return got;
			c->scanning = false;
		}
		if (c->ended && c->at_window == c->n_windows)
			return c->fault;
		got = fill(r, c);
		if (got)
			return got;
		c->scanning = true;
	}
}

const struct fl_unit_ops fl_unit_capture = {open_capture, next_capture, close_capture};
