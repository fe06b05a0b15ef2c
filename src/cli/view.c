/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live view. A frame is composed in memory and written at once: cursor home, each line with
 * "clear to the end of the line", then "clear below", so nothing flickers. Not a terminal: plain
 * lines, one frame.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/grid.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/status.h"
#include "flow/flow.h"

#define FRAME_MAX (1u << 20)
#define ROWS_WITHOUT_TERMINAL 20
#define NEXT_LINES 2
#define LINES_AROUND 11    /* what is neither flows nor interfaces */
#define LINES_BELOW 7      /* the heads of the flows, and what follows them */
#define INTERFACES_SHARE 5 /* of the room, one part in so many, and what the flows leave */
#define SKIPPED_LINES 3

struct fl_view {
	char *store, *shown; /* the directory, and what to call it in what is typed next */
	int fd;
	bool terminal;
	size_t width, height;
};

/* A frame's lines. What does not fit the height is left out; the caller orders by importance. */
struct frame {
	struct fl_view *view;
	struct fl_buf out;
	size_t lines;
	int error;
};

int fl_view_new(struct fl_view **ret, const char *state_dir, const char *shown, int out_fd)
{
	struct fl_view *v = calloc(1, sizeof *v);

	if (!v)
		return -ENOMEM;
	v->store = strdup(state_dir);
	v->shown = strdup(shown);
	v->fd = out_fd;
	v->terminal = isatty(out_fd);
	*ret = v;
	if (v->store && v->shown)
		return 0;
	fl_view_free(ret);
	return -ENOMEM;
}

void fl_view_free(struct fl_view **v)
{
	if (!*v)
		return;
	free((*v)->store);
	free((*v)->shown);
	free(*v);
	*v = NULL;
}

void fl_view_plain(struct fl_view *v)
{
	v->terminal = false;
}

static void measure(struct fl_view *v)
{
	struct winsize size = {0};

	v->width = v->height = 0;
	if (!v->terminal)
		return;
	if (ioctl(v->fd, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	v->width = size.ws_col;
	v->height = size.ws_row;
}

/* One line, cut to the width. text may hold several bytes a character. */
static void line(struct frame *f, const char *text, size_t n)
{
	const struct fl_view *v = f->view;
	size_t bytes = 0, shown = 0;

	if (f->error || (v->terminal && f->lines >= v->height))
		return;
	while (bytes < n && (!v->width || shown < v->width)) {
		bytes++;
		while (bytes < n && ((unsigned char)text[bytes] & 0xc0) == 0x80)
			bytes++;
		shown++;
	}
	/* No newline after the last line of the terminal: it would scroll. Cleared before it is
	 * written: after a full line the cursor still stands on its last character. */
	if (v->terminal)
		f->error = fl_buf_adds(&f->out, f->lines ? "\n\033[K" : "\033[K");
	if (!f->error)
		f->error = fl_buf_add(&f->out, text, bytes);
	if (!f->error && !v->terminal)
		f->error = fl_buf_adds(&f->out, "\n");
	f->lines++;
}

static void linef(struct frame *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void linef(struct frame *f, const char *fmt, ...)
{
	struct fl_buf clean FL_CLEANUP(fl_buf_free) = FL_BUF(8192);
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n > 0)
		fl_grid_clean(&clean, text, FL_MIN((size_t)n, sizeof text - 1));
	line(f, clean.data ? clean.data : "", clean.len);
}

static void draw_head(struct frame *f, struct fl_status_file *s)
{
	const json_t *w = fl_status_object(s, s->root, "window");
	uint64_t start = fl_status_u64(s, w, "start"), length = fl_status_u64(s, w, "length"),
		 now = fl_status_u64(s, s->root, "time");
	const char *reason = fl_status_str(s, s->root, "reason");
	int64_t age = fl_status_age(s);
	char at[24];

	linef(f, "flowlog  open window %.8s + %" PRIu64 " s, %" PRIu64 " s old, provisional  (%s%s%s)",
	      fl_time_rfc3339((int64_t)start, at) + 11, length, now > start ? now - start : 0,
	      fl_status_str(s, s->root, "backend"), *reason ? ": " : "", reason);
	if (!fl_status_daemon_runs(s, f->view->store))
		linef(f, "! the meter does not run; what follows is its last word, %" PRId64 " s old", age);
	else if (age >= FL_STATUS_STALE_S)
		linef(f, "! the status could not be written for %" PRId64 " s (is the disk full?); what follows is old",
		      age);
}

/* The log's lines are drawn over: what the person must know of them stands here. */
static void draw_restarts(struct frame *f)
{
	struct fl_status_file s;
	const json_t *roles;

	if (fl_status_read(&s, f->view->store, "supervisor"))
		return;
	roles = fl_status_array(&s, s.root, "roles");
	for (size_t i = 0; i < json_array_size(roles); i++) {
		const json_t *o = json_array_get(roles, i);
		uint64_t n = fl_status_u64(&s, o, "restarts");

		if (n)
			linef(f, "! %s ended and was started again, %" PRIu64 " time%s so far",
			      fl_status_str(&s, o, "name"), n, fl_plural(n));
	}
	fl_status_free(&s);
}

/* The lines of a grid into the frame. */
static int draw_grid(struct frame *f, const struct fl_grid *g)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FRAME_MAX);
	int r = fl_grid_print(g, f->view->width, &text);

	for (const char *p = text.data, *end = p + text.len; !r && p < end;) {
		size_t n = (size_t)((const char *)memchr(p, '\n', (size_t)(end - p)) - p);

		line(f, p, n);
		p += n + 1;
	}
	return r;
}

/* Text broken at blanks to the terminal's width, at most `most` lines. */
static void draw_wrapped(struct frame *f, const char *text, size_t most)
{
	struct fl_buf clean FL_CLEANUP(fl_buf_free) = FL_BUF(FRAME_MAX);
	size_t width = f->view->width;

	fl_grid_clean(&clean, text, strlen(text));
	text = fl_buf_cstr(&clean);
	for (size_t lines = 1, left = strlen(text); left; lines++) {
		size_t n = left;

		if (width && left > width && lines < most) {
			for (n = width; n && text[n] != ' ';)
				n--;
			n = n ? n : width;
		}
		line(f, text, n);
		text += n;
		left -= n;
		if (*text == ' ') {
			text++;
			left--;
		}
		if (lines == most)
			break;
	}
}

static const char *skip_of(struct fl_status_file *s, const json_t *o)
{
	return fl_status_bool(s, o, "metered") ? "" : fl_status_str(s, o, "skip");
}

/* What is not metered and why: the reasons, each with its interfaces. */
static int draw_skipped(struct frame *f, struct fl_status_file *s, const json_t *list)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FRAME_MAX);
	size_t n = json_array_size(list);
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const char *why = skip_of(s, json_array_get(list, i));
		size_t first = 0;

		while (first < i && strcmp(skip_of(s, json_array_get(list, first)), why))
			first++;
		if (!*why || first < i)
			continue;
		r = fl_buf_adds(&text, text.len ? "; " : "not metered: ");
		for (size_t k = i; !r && k < n; k++) {
			const json_t *o = json_array_get(list, k);

			if (!strcmp(skip_of(s, o), why))
				r = fl_buf_printf(&text, "%s%s%s%s", k == i ? "" : ", ", fl_status_str(s, o, "netns"),
						  *fl_status_str(s, o, "netns") ? "/" : "",
						  fl_status_str(s, o, "device"));
		}
		r = r ? r : fl_buf_printf(&text, " (%s)", why);
	}
	if (!r && text.len)
		draw_wrapped(f, fl_buf_cstr(&text), SKIPPED_LINES);
	return r;
}

static int add_interface(struct fl_grid *g, struct fl_status_file *s, const json_t *o)
{
	const json_t *open = fl_status_object(s, o, "open");
	char bytes[16];
	int r = fl_grid_adds(g, fl_status_str(s, o, "name"));

	r = r ? r : fl_grid_adds(g, fl_status_str(s, o, "kind"));
	r = r ? r : fl_grid_adds(g, fl_status_str(s, o, "eni"));
	r = r ? r : fl_grid_adds(g, fl_human_bytes(fl_status_u64(s, open, "bytes"), bytes));
	return r ? r : fl_grid_addf(g, "%" PRIu64, fl_status_u64(s, open, "packets"));
}

static int by_open_bytes(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(json_object_get(*(json_t *const *)a, "open"), "bytes")),
		   y = json_integer_value(json_object_get(json_object_get(*(json_t *const *)b, "open"), "bytes"));

	return x < y ? 1 : x > y ? -1 : *(json_t *const *)a < *(json_t *const *)b ? -1 : 1;
}

/* The busiest interfaces, at most rows; a low terminal gets only their number. */
static int draw_interfaces(struct frame *f, struct fl_status_file *s, size_t rows)
{
	static const char *const heads[] = {"INTERFACE", "KIND", "ENI", "BYTES", "PACKETS"};
	const json_t *list = fl_status_array(s, s->root, "interfaces");
	size_t n = json_array_size(list), metered = 0;
	const json_t **order FL_CLEANUP(fl_freep) = calloc(n + 1, sizeof *order);
	struct fl_grid g FL_CLEANUP(fl_grid_free) = {0};
	int r = order ? fl_grid_init(&g, FL_ARRAY_LEN(heads), FRAME_MAX) : -ENOMEM;

	if (r)
		return r;
	g.right[3] = g.right[4] = true;
	for (size_t i = 0; i < n; i++)
		if (fl_status_bool(s, json_array_get(list, i), "metered"))
			order[metered++] = json_array_get(list, i);
	if (metered > rows)
		qsort(order, metered, sizeof *order, by_open_bytes);
	for (size_t i = 0; !r && i < FL_ARRAY_LEN(heads); i++)
		r = fl_grid_adds(&g, heads[i]);
	for (size_t i = 0; !r && i < metered && i < rows; i++)
		r = add_interface(&g, s, order[i]);
	linef(f, "%zu interface%s metered%s", metered, fl_plural(metered),
	      rows && metered > rows ? "; the busiest:" : "");
	if (!r && rows && metered)
		r = draw_grid(f, &g);
	return r ? r : draw_skipped(f, s, list);
}

static void draw_ledger(struct frame *f, const char *label, const struct fl_status_ledger *l)
{
	char bytes[16], before[64] = "";

	if (l->verdict[FL_VERDICT_BEFORE].packets)
		snprintf(before, sizeof before, " + dropped before %" PRIu64, l->verdict[FL_VERDICT_BEFORE].packets);
	linef(f,
	      "%s seen %" PRIu64 " packets %s%s = recorded %" PRIu64 " + excluded %" PRIu64 " + lost %" PRIu64
	      "; not IP %" PRIu64,
	      label, l->seen.packets, fl_human_bytes(l->seen.bytes, bytes), before, l->recorded.packets,
	      l->excluded.packets, l->lost.packets, l->not_ip.packets);
}

static void draw_last_window(struct frame *f, struct fl_status_file *s)
{
	const json_t *last = fl_status_object(s, s->root, "last_window");
	struct fl_status_ledger l;
	char at[24], label[128];

	if (!fl_status_u64(s, last, "closed_at")) {
		linef(f, "no window has closed yet");
		return;
	}
	fl_status_ledger(s, last, "ledger", &l);
	snprintf(label, sizeof label,
		 "closed %.8s, %" PRIu64 " flow%s:", fl_time_rfc3339((int64_t)fl_status_u64(s, last, "start"), at) + 11,
		 fl_status_u64(s, last, "flows"), fl_plural(fl_status_u64(s, last, "flows")));
	draw_ledger(f, label, &l);
}

static int endpoint(struct fl_grid *g, const char *address, uint64_t port)
{
	if (!port)
		return fl_grid_adds(g, address);
	return strchr(address, ':') ? fl_grid_addf(g, "[%s]:%" PRIu64, address, port)
				    : fl_grid_addf(g, "%s:%" PRIu64, address, port);
}

/* The opener stands left, whichever way this flow's packets go: the arrow says which. */
static int add_flow(struct fl_grid *g, struct fl_status_file *s, const json_t *o)
{
	bool opener = fl_status_bool(s, o, "opener");
	const char *src = fl_status_str(s, o, "src"), *dst = fl_status_str(s, o, "dst"),
		   *dir = fl_status_str(s, o, "dir");
	uint64_t sport = fl_status_u64(s, o, "sport"), dport = fl_status_u64(s, o, "dport"),
		 protocol = fl_status_u64(s, o, "protocol");
	const char *name = protocol < 256 ? fl_protocol_name((uint8_t)protocol) : NULL;
	char bytes[16];
	int r = endpoint(g, opener ? src : dst, opener ? sport : dport);

	r = r ? r : fl_grid_adds(g, opener ? "->" : "<-");
	r = r ? r : endpoint(g, opener ? dst : src, opener ? dport : sport);
	if (!r)
		r = name ? fl_grid_adds(g, name) : fl_grid_addf(g, "%" PRIu64, protocol);
	r = r ? r : fl_grid_adds(g, fl_human_bytes(fl_status_u64(s, o, "bytes"), bytes));
	r = r ? r : fl_grid_addf(g, "%" PRIu64, fl_status_u64(s, o, "packets"));
	r = r ? r : fl_grid_adds(g, fl_status_str(s, o, "action"));
	return r ? r : fl_grid_addf(g, "%s %s", fl_status_str(s, o, "name"), dir);
}

static int draw_flows(struct frame *f, struct fl_status_file *s, size_t rows)
{
	static const char *const heads[] = {"OPENED BY", "", "TO", "PROTO", "BYTES", "PACKETS", "ACTION", "INTERFACE"};
	struct fl_grid g FL_CLEANUP(fl_grid_free) = {0};
	const json_t *top = fl_status_array(s, s->root, "top");
	int r = fl_grid_init(&g, FL_ARRAY_LEN(heads), FRAME_MAX);

	if (!json_array_size(top)) {
		linef(f, "no traffic in this window yet; try: ping -c 3 ADDRESS, or open a web "
			 "page from this machine");
		return r;
	}
	g.right[4] = g.right[5] = true;
	for (size_t i = 0; !r && i < FL_ARRAY_LEN(heads); i++)
		r = fl_grid_adds(&g, heads[i]);
	for (size_t i = 0; !r && i < json_array_size(top) && i < rows; i++)
		r = add_flow(&g, s, json_array_get(top, i));
	return r ? r : draw_grid(f, &g);
}

static int compose(struct frame *f, struct fl_status_file *s)
{
	size_t height = f->view->height, room = height > LINES_AROUND ? height - LINES_AROUND : 1;
	size_t rows = height ? room : ROWS_WITHOUT_TERMINAL;
	size_t flows = json_array_size(fl_status_array(s, s->root, "top")) + SKIPPED_LINES;
	size_t share = room / INTERFACES_SHARE, left = room > flows ? room - flows : 0;
	size_t interfaces = height ? FL_MAX(share, left) : ROWS_WITHOUT_TERMINAL;
	uint64_t open = fl_status_u64(s, s->root, "flows_active");
	bool is_default = !strcmp(f->view->shown, FL_STORE_DEFAULT);
	struct fl_buf next FL_CLEANUP(fl_buf_free) = FL_BUF(8192);
	struct fl_status_ledger totals;
	char memory[16];
	int r;

	draw_head(f, s);
	draw_restarts(f);
	r = draw_interfaces(f, s, interfaces);
	linef(f, "%s", "");
	/* What the interfaces took is not there for flows. */
	if (height)
		rows = height > f->lines + LINES_BELOW ? height - f->lines - LINES_BELOW : 1;
	r = r ? r : draw_flows(f, s, rows);
	linef(f, "%s", "");
	draw_last_window(f, s);
	fl_status_ledger(s, s->root, "totals", &totals);
	draw_ledger(f, "in all:", &totals);
	linef(f, "%" PRIu64 " flow%s open, %s of memory", open, fl_plural(open),
	      fl_human_bytes(fl_status_u64(s, s->root, "memory_bytes"), memory));
	r = r ? r
	      : fl_buf_printf(&next,
			      "next: %s query %s%s%s'SELECT srcaddr, sum(bytes) FROM flows GROUP BY 1 ORDER BY 2 DESC'",
			      fl_cli_program(), is_default ? "" : "--store ", is_default ? "" : f->view->shown,
			      is_default ? "" : " ");
	if (!r)
		draw_wrapped(f, fl_buf_cstr(&next), NEXT_LINES);
	return r ? r : s->error;
}

/* A daemon that has just begun has not written anything: that is a frame too, not an error. */
static void draw_waiting(struct frame *f)
{
	linef(f, "flowlog  %s: the meter has not written anything yet; is 'flowlog run' on?", f->view->shown);
}

int fl_view_draw(struct fl_view *v)
{
	struct frame f = {.view = v, .out = FL_BUF(FRAME_MAX)};
	struct fl_status_file s;
	int r;

	measure(v);
	if (v->terminal)
		f.error = fl_buf_adds(&f.out, "\033[H");
	r = fl_status_read(&s, v->store, "meter");
	if (r == -ENOENT) {
		draw_waiting(&f);
		r = 0;
	} else if (!r) {
		r = compose(&f, &s);
		fl_status_free(&s);
	}
	if (!r)
		r = f.error;
	if (!r && v->terminal && f.lines < v->height)
		r = fl_buf_adds(&f.out, "\n\033[J");
	if (!r)
		r = fl_write_all(v->fd, f.out.data, f.out.len);
	fl_buf_free(&f.out);
	return r;
}
