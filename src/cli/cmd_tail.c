/* SPDX-License-Identifier: Apache-2.0 */
/* flowlog tail: the newest records, and new ones as windows close. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/grid.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/status.h"
#include "record/record.h"
#include "scan/scan.h"

#define LINES_MAX 1000000
#define DAMAGE_MAX 512
#define POLL_NS 250000000l

struct conf {
	const char *store, *flow_log, *eni, *src, *dst;
	uint64_t n, port;
	int output, action;
	bool follow, open_window, verdicts;
};
enum { ANY_ACTION, ONLY_ACCEPT, ONLY_REJECT };

struct line {
	char *text;
	size_t n;
};

struct tail {
	const struct conf *conf;
	struct fl_cidr src, dst;
	char eni[64];
	struct fl_store *store;
	struct fl_format *format;
	struct fl_encoder *encoder;
	struct fl_store_writer *writer; /* of the store under way */
	struct fl_buf text;
	struct line *ring; /* the newest conf->n records */
	size_t at, held;
	char damage[DAMAGE_MAX]; /* the last damaged place that was passed over */
	bool provisional, direct, at_header;
	bool noted; /* that verdicts are missing */ /* direct: written at once, past the ring */
};

static int write_out(const char *text, size_t n)
{
	int r = fl_grid_write(STDOUT_FILENO, text, n);

	return r ? fl_fail(r, "standard output: %s", strerror(-r)) : 0;
}

/* ---- which records ---- */

/* --eni takes the id or a name that the running daemon knows. */
static int resolve_eni(struct tail *t)
{
	struct fl_status_file s;
	const json_t *list;
	int r;

	snprintf(t->eni, sizeof t->eni, "%s", t->conf->eni ? t->conf->eni : "");
	if (!*t->eni || !strncmp(t->eni, "eni-", 4))
		return 0;
	r = fl_status_read(&s, t->conf->store, "meter");
	if (r)
		return r;
	list = fl_status_array(&s, s.root, "interfaces");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		if (!strcmp(fl_status_str(&s, o, "name"), t->conf->eni) ||
		    !strcmp(fl_status_str(&s, o, "device"), t->conf->eni))
			snprintf(t->eni, sizeof t->eni, "%s", fl_status_str(&s, o, "eni"));
	}
	r = s.error;
	if (!r && strncmp(t->eni, "eni-", 4))
		r = fl_fail(-EINVAL,
			    "--eni %s is neither an id (eni-...) nor the name of an interface of "
			    "this store; see flowlog interfaces",
			    t->conf->eni);
	fl_status_free(&s);
	return r;
}

static int parse_network(const char *option, const char *text, struct fl_cidr *ret)
{
	return fl_cidr_parse(text, strlen(text), ret)
		   ? fl_fail(-EINVAL, "%s: \"%s\" is not an address or a network, as 10.0.0.1 or 10.0.0.0/8", option,
			     text)
		   : 0;
}

static int parse_filters(struct tail *t)
{
	const struct conf *c = t->conf;
	int r = 0;

	if (c->port > UINT16_MAX)
		r = fl_fail(-EINVAL, "--port %llu is not a port", (unsigned long long)c->port);
	if (c->n > LINES_MAX)
		r = fl_fail(-EINVAL, "--lines %llu: at most %d; flowlog query shows all", (unsigned long long)c->n,
			    LINES_MAX);
	if (!r && c->src)
		r = parse_network("--src", c->src, &t->src);
	if (!r && c->dst)
		r = parse_network("--dst", c->dst, &t->dst);
	return r ? r : resolve_eni(t);
}

static bool wanted(const struct tail *t, const struct fl_record *r, const char *eni)
{
	const struct conf *c = t->conf;

	if (*t->eni && strcmp(t->eni, eni) != 0)
		return false;
	if (!c->src && !c->dst && !c->port && c->action == ANY_ACTION)
		return true;
	/* What has no flow has none of these. */
	return r->status == FL_STATUS_OK && (!c->src || fl_cidr_has(&t->src, &r->key.src)) &&
	       (!c->dst || fl_cidr_has(&t->dst, &r->key.dst)) &&
	       (!c->port || r->key.sport == c->port || r->key.dport == c->port) &&
	       (c->action == ANY_ACTION ||
		r->action == (c->action == ONLY_ACCEPT ? FL_ACTION_ACCEPT : FL_ACTION_REJECT));
}

/* ---- their text ---- */

/* With --open every record says whether it is provisional. */
static int mark(struct tail *t, bool header)
{
	static const char *const plain[] = {"false", "true"};
	const char *word = header ? "provisional" : plain[t->provisional];

	if (!t->conf->open_window || !t->text.len)
		return 0;
	t->text.len--; /* the newline */
	if (t->conf->output == FL_OUTPUT_JSON) {
		t->text.len--; /* the brace */
		return fl_buf_printf(&t->text, ",\"provisional\":%s}\n", word);
	}
	return fl_buf_printf(&t->text, "%s%s\n", t->conf->output == FL_OUTPUT_CSV ? "," : " ", word);
}

/* t->text into the ring, or out. */
static int keep(struct tail *t)
{
	struct line *l;

	if (t->direct)
		return write_out(t->text.data, t->text.len);
	if (!t->conf->n)
		return 0;
	l = &t->ring[t->at];
	free(l->text);
	l->text = malloc(t->text.len);
	if (!l->text)
		return -ENOMEM;
	memcpy(l->text, t->text.data, t->text.len);
	l->n = t->text.len;
	t->at = (t->at + 1) % t->conf->n;
	t->held += t->held < t->conf->n;
	return 0;
}

static int add_verdict(struct tail *t, const struct fl_frame *frame, const struct fl_record *record)
{
	struct fl_verdict_values v;

	fl_frame_verdict(frame, record, &v);
	return fl_columns_add_verdict(&t->text, (enum fl_output)t->conf->output, &v);
}

static int on_record(void *ctx, const struct fl_frame *frame, const struct fl_record *record)
{
	struct tail *t = ctx;
	int r;

	if (!wanted(t, record, frame->eni.interface_id))
		return 0;
	fl_buf_reset(&t->text);
	r = fl_store_writer_record(t->writer, frame, record, &t->text);
	if (!r && t->conf->verdicts)
		r = add_verdict(t, frame, record);
	r = r ? r : mark(t, false);
	return r ? r : keep(t);
}

/* Nobody should read ACCEPT as "was let in" where nothing looked. Scripts are spared the line. */
static void note_verdicts(struct tail *t, uint32_t flags)
{
	if (t->noted || flags & (FL_WINDOW_VERDICTS | FL_WINDOW_POLICY) || !isatty(STDERR_FILENO))
		return;
	t->noted = true;
	fputs("flowlog: note: verdicts were not observed here; ACCEPT means \"not seen rejected\"\n", stderr);
}

static int on_frame(struct tail *t, const struct fl_frame *frame)
{
	int r = fl_store_writer_frame(t->writer, frame);

	t->provisional = frame->window.flags & FL_WINDOW_PROVISIONAL;
	note_verdicts(t, frame->window.flags);
	if (r == FL_STORE_OTHER_INTERFACE)
		return 0;
	return r ? r : fl_frame_records(frame, on_record, t);
}

/* A line of a delivered object: text passes through as it is. */
static int on_line(struct tail *t, const char *line, size_t n)
{
	struct fl_values values;
	struct fl_record record;
	struct fl_record_meta meta;
	struct fl_eni eni;
	int r;

	if (fl_decode_line(t->format, line, n, &values) != FL_LINE_OK ||
	    fl_decode_record(t->format, &values, &record, &eni, &meta))
		return 0; /* not a record of this format; query names the file and the line */
	if (!wanted(t, &record, eni.interface_id))
		return 0;
	fl_buf_reset(&t->text);
	if (t->conf->output == FL_OUTPUT_TEXT) {
		r = fl_buf_add(&t->text, line, n);
		r = r ? r : fl_buf_add(&t->text, "\n", 1);
	} else {
		/* without a flow, what the inventory knew of the interface is all that the line says */
		r = fl_encoder_set_constants(t->encoder, &eni, record.status == FL_STATUS_OK ? NULL : &meta);
		r = r ? r : fl_encode(t->encoder, &record, &meta, &t->text);
	}
	t->provisional = false;
	r = r ? r : mark(t, false);
	return r ? r : keep(t);
}

static int on_object_line(void *ctx, char *line, size_t n)
{
	struct tail *t = ctx;
	int r = 0;

	if (!t->at_header)
		r = on_line(t, line, n);
	t->at_header = false;
	return r;
}

static int read_object(struct tail *t, const char *path)
{
	t->at_header = true;
	return fl_scan_lines(path, on_object_line, t);
}

/* ---- the newest ---- */

static int flush_ring(struct tail *t)
{
	size_t start = t->held < t->conf->n ? 0 : t->at;
	int r = 0;

	for (size_t i = 0; !r && i < t->held; i++) {
		struct line *l = &t->ring[(start + i) % t->conf->n];

		r = write_out(l->text, l->n);
	}
	for (size_t i = 0; i < t->held; i++)
		free(t->ring[i].text);
	t->held = t->at = 0;
	free(t->ring);
	t->ring = NULL;
	return r;
}

/* Objects backwards until they must hold enough; the ring forgets what is too old. */
static int read_objects(struct tail *t, size_t first)
{
	int r = 0;

	for (size_t i = first; !r && i < fl_store_file_count(t->store); i++)
		r = read_object(t, fl_store_file(t->store, i));
	return r;
}

/* After a damaged place the reader goes on with the next segment; a damaged snapshot it does not
 * pass: last, the reader's own, tells. */
static int next_frame(struct tail *t, struct fl_store *store, char last[DAMAGE_MAX], bool open_window,
		      struct fl_frame *ret)
{
	int r;

	while ((r = fl_store_next_frame(store, open_window, ret)) == -EBADMSG) {
		const char *text = fl_error_text(r);

		if (!strcmp(last, text))
			return 0;
		snprintf(last, DAMAGE_MAX, "%s", text);
		if (strcmp(t->damage, last) != 0)
			fprintf(stderr, "flowlog tail: %s\n", last);
		memcpy(t->damage, last, DAMAGE_MAX);
	}
	return r;
}

/* What is committed and was not read before; the end leaves the store's reader waiting for more. */
static int read_journal(struct tail *t)
{
	char last[DAMAGE_MAX] = "";
	struct fl_frame frame;
	int r;

	while ((r = next_frame(t, t->store, last, false, &frame)) > 0) {
		/* A gap is a SKIPDATA record, as it is in delivered objects. */
		r = r == FL_READER_WINDOW_END ? 0 : on_frame(t, &frame);
		if (r)
			break;
	}
	return r;
}

/* By a reader of its own: the one that has shown the open window reads no journal any more. */
static int read_open_window(struct tail *t)
{
	struct fl_store *store = NULL;
	char last[DAMAGE_MAX] = "";
	struct fl_frame frame;
	int r = fl_store_open(&store, t->conf->store, t->conf->flow_log);

	while (!r && (r = next_frame(t, store, last, true, &frame)) > 0)
		r = r == 1 && frame.window.flags & FL_WINDOW_PROVISIONAL ? on_frame(t, &frame) : 0;
	fl_store_close(&store);
	return r;
}

/* How many objects, counted from the newest, hold conf->n records that are wanted. */
static int find_first_object(struct tail *t, size_t *ret)
{
	size_t i = fl_store_file_count(t->store);
	uint64_t found = 0;
	int r = 0;

	while (!r && i && found < t->conf->n) {
		r = read_object(t, fl_store_file(t->store, --i));
		found += t->held;
		for (size_t k = 0; k < t->held; k++) {
			free(t->ring[k].text);
			t->ring[k].text = NULL;
		}
		t->held = t->at = 0;
	}
	*ret = i;
	return r;
}

static int show_newest(struct tail *t)
{
	size_t first = fl_store_file_count(t->store);
	int r = 0;

	t->ring = calloc(t->conf->n ? t->conf->n : 1, sizeof *t->ring);
	if (!t->ring)
		return -ENOMEM;
	if (t->conf->n)
		r = find_first_object(t, &first);
	if (!r)
		r = read_objects(t, first);
	if (!r)
		r = read_journal(t);
	if (!r && t->conf->open_window)
		r = read_open_window(t);
	fl_buf_reset(&t->text);
	if (!r)
		r = fl_encode_header(t->encoder, &t->text);
	if (!r && t->conf->verdicts)
		r = fl_columns_add_verdict_header(&t->text, (enum fl_output)t->conf->output);
	if (!r)
		r = mark(t, true);
	if (!r)
		r = write_out(t->text.data, t->text.len);
	return r ? r : flush_ring(t);
}

/* ---- following ---- */

static int follow(struct tail *t)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	int r = 0;

	t->direct = true;
	while (!r) {
		nanosleep(&pause, NULL);
		r = read_journal(t);
	}
	return r;
}

static void release(struct tail *t)
{
	for (size_t i = 0; t->ring && i < t->held; i++)
		free(t->ring[i].text);
	free(t->ring);
	fl_buf_free(&t->text);
	fl_store_writer_free(&t->writer);
	fl_encoder_free(&t->encoder);
	fl_format_free(&t->format);
	fl_store_close(&t->store);
}

static int work(struct tail *t)
{
	int r = parse_filters(t);

	if (!r)
		r = (t->conf->verdicts ? fl_store_open_journal : fl_store_open)(&t->store, t->conf->store,
										t->conf->flow_log);
	if (!r)
		r = fl_format_parse(&t->format, fl_format_kind_of(fl_store_log(t->store)->format),
				    fl_store_log(t->store)->format);
	if (!r)
		r = fl_encoder_new(&t->encoder, t->format, (enum fl_output)t->conf->output);
	if (!r)
		r = fl_store_writer_new(&t->writer, t->store, t->format, t->encoder);
	if (!r)
		r = show_newest(t);
	return r || !t->conf->follow ? r : follow(t);
}

static int run(void *conf, int argc, char **argv)
{
	struct tail t = {.conf = conf, .text = FL_BUF(2 * FL_RECORD_MAX)};
	int r;

	if (argc) {
		fprintf(stderr,
			"flowlog tail: %s: tail takes no operands; name a state directory with "
			"--store\n",
			argv[0]);
		return 2;
	}
	r = work(&t);
	release(&t);
	if (r == -EPIPE)
		return 0; /* the reader has seen enough */
	if (r)
		fprintf(stderr, "flowlog tail: %s\n", fl_error_text(r));
	return r || *t.damage ? 1 : 0;
}

static const struct fl_option options[] = {
    {"store", 0, "store", FL_OPT_STRING, "DIR", FL_STORE_DEFAULT, NULL, "The state directory that is read.",
     offsetof(struct conf, store)},
    {"flow-log", 0, NULL, FL_OPT_STRING, "ID", NULL, NULL,
     "The flow log of the store; without it the first of the configuration.", offsetof(struct conf, flow_log)},
    {"lines", 'n', NULL, FL_OPT_U64, "N", "10", NULL, "How many of the newest records to show.",
     offsetof(struct conf, n)},
    {"follow", 'f', NULL, FL_OPT_FLAG, NULL, NULL, NULL, "Go on with each window as it closes.",
     offsetof(struct conf, follow)},
    {"open", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "End with the window that is still open; a last column provisional says of each record "
     "whether it may still grow.",
     offsetof(struct conf, open_window)},
    {"verdicts", 0, NULL, FL_OPT_FLAG, NULL, NULL, NULL,
     "Say beside each record what decided: who (verdict-source), the rule or drop (verdict-cause), and what the "
     "inventory's rules say, in force or not (policy-action, policy-cause). The records are then those of the journal, "
     "a window each, as far back as it reaches.",
     offsetof(struct conf, verdicts)},
    {"output", 'o', NULL, FL_OPT_ENUM, "FORM", "text", "text|json|csv",
     "Form of the records; json is one object a line.", offsetof(struct conf, output)},
    {"eni", 0, NULL, FL_OPT_STRING, "ENI", NULL, NULL,
     "Only this interface: its id, or its name while the daemon's status is there.", offsetof(struct conf, eni)},
    {"src", 0, NULL, FL_OPT_STRING, "CIDR", NULL, NULL, "Only records whose source is this address or in this network.",
     offsetof(struct conf, src)},
    {"dst", 0, NULL, FL_OPT_STRING, "CIDR", NULL, NULL,
     "Only records whose destination is this address or in this network.", offsetof(struct conf, dst)},
    {"port", 0, NULL, FL_OPT_U64, "PORT", "0", NULL, "Only records with this source or destination port (0: any).",
     offsetof(struct conf, port)},
    {"action", 0, NULL, FL_OPT_ENUM, "ACTION", "any", "any|ACCEPT|REJECT", "Only records with this action.",
     offsetof(struct conf, action)},
    {0},
};

const struct fl_command fl_cmd_tail = {
    .name = "tail",
    .summary = "the newest records, and new ones as windows close",
    .synopsis = "[OPTION]...",
    .description = "Shows the newest records of a store, delivered or still in the journal, oldest "
		   "first, after a header line. As text and without --open and --verdicts each line "
		   "is exactly what the delivered object holds.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .run = run,
    .examples = "flowlog tail -f\n  watch records appear\nflowlog tail -n 100 --port 22 --action "
		"REJECT\n  the newest refused attempts at SSH\n"
		"flowlog tail --action REJECT --verdicts\n  what was refused, and by which rule or drop\n",
};
