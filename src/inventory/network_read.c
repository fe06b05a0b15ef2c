/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From files to items. A file is one JSON object or several behind each other (the pages of a describe call); each
 * member of the outermost object whose value is an array is a list of nouns. An element is cut out by its brackets
 * and given to jansson alone, so that a file of any size needs the memory of one element, and a broken element costs
 * only itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "inventory/network_build.h"

#define DOCUMENT_MEMBERS_MAX 64 /* of an outermost object */
#define MEMBER_NAME_MAX 128

/* ---- where we are, and what is wrong there ---- */

size_t fl_path_member(struct fl_reader *r, const char *name)
{
	size_t mark = r->path_len, n = strnlen(name, FL_JSON_PATH_MAX);

	if (mark + n + 2 > sizeof r->path)
		return mark; /* deeper than anything AWS prints: the path ends here */
	if (mark)
		r->path[r->path_len++] = '.';
	memcpy(r->path + r->path_len, name, n + 1);
	r->path_len += n;
	return mark;
}

size_t fl_path_index(struct fl_reader *r, size_t i)
{
	size_t mark = r->path_len;
	int n = snprintf(r->path + mark, sizeof r->path - mark, "[%zu]", i);

	if (n > 0 && mark + (size_t)n < sizeof r->path)
		r->path_len += (size_t)n;
	else
		r->path[mark] = '\0';
	return mark;
}

static void add_problem(struct fl_reader *r, const char *file, const char *path, bool fatal, const char *text)
{
	struct fl_network *net = r->net;
	struct fl_problem *p;

	if (net->n_problems >= FL_NETWORK_PROBLEMS_MAX) {
		net->problems_left_out++;
		return;
	}
	p = FL_APPEND(&net->arena, net->problem, net->n_problems);
	if (p)
		*p = (struct fl_problem){.file = file,
					 .path = fl_network_intern(net, path, SIZE_MAX),
					 .text = fl_network_intern(net, text, SIZE_MAX),
					 .fatal = fatal};
}

void fl_problem_at(struct fl_reader *r, const char *file, const char *path, bool fatal, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add_problem(r, file, path, fatal, text);
}

void fl_problem(struct fl_reader *r, bool fatal, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add_problem(r, r->file, r->path, fatal, text);
}

void fl_network_add_problem(struct fl_network *net, const char *file, const char *why)
{
	struct fl_reader r = {.net = net};
	char text[512];

	snprintf(text, sizeof text, "%s; left out", why);
	add_problem(&r, fl_network_intern(net, file, SIZE_MAX), "", true, text);
}

/* ---- cutting ---- */

struct span {
	const char *p, *end;
};

static void skip_space(struct span *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool skip_string(struct span *s) /* at the opening quote */
{
	for (s->p++; s->p < s->end; s->p++) {
		if (*s->p == '"') {
			s->p++;
			return true;
		}
		if (*s->p == '\\' && ++s->p == s->end)
			return false;
	}
	return false;
}

/* One value; what is between its brackets is not looked at. false: the text ends inside it. */
static bool cut_value(struct span *s, struct span *ret)
{
	size_t depth = 0;

	skip_space(s);
	ret->p = s->p;
	while (s->p < s->end) {
		switch (*s->p) {
		case '"':
			if (!skip_string(s))
				return false;
			break;
		case '{':
		case '[':
			depth++;
			s->p++;
			break;
		case '}':
		case ']':
			if (!depth)
				goto out; /* the end of what holds the value */
			depth--;
			s->p++;
			break;
		case ',':
		case ':':
		case ' ':
		case '\t':
		case '\n':
		case '\r':
			if (!depth)
				goto out;
			s->p++;
			continue;
		default:
			s->p++;
			if (!depth)
				continue; /* a number or a word goes on */
		}
		if (!depth)
			break;
	}
	if (depth)
		return false;
out:
	ret->end = s->p;
	return ret->end > ret->p;
}

static void broken(struct fl_reader *r, const char *text, const char *at, const char *expected)
{
	size_t line = 1;

	for (const char *p = text; (p = memchr(p, '\n', (size_t)(at - p))); p++)
		line++;
	fl_problem(r, true, "line %zu: expected %s; the rest of the file is left out", line, expected);
}

/* ---- items ---- */

static void read_item(struct fl_reader *r, unsigned row, const struct span *s)
{
	json_error_t e;
	json_t *item;

	if (*s->p != '{') {
		fl_problem(r, true, "expected an object, found %.40s; left out",
			   *s->p == '['   ? "an array"
			   : *s->p == '"' ? "a string"
					  : "a number or a word");
		return;
	}
	item = json_loadb(s->p, (size_t)(s->end - s->p), 0, &e);
	if (!item) {
		fl_problem(r, true, "not JSON: %s (byte %d of this item); left out", e.text, e.position);
		return;
	}
	fl_kind_read(r, row, item);
	json_decref(item);
}

static bool read_list(struct fl_reader *r, unsigned row, const char *text, struct span s)
{
	s.p++; /* [ */
	for (size_t i = 0;; i++) {
		struct span item;
		size_t mark;

		skip_space(&s);
		if (s.p < s.end && *s.p == ']')
			return true;
		if (!cut_value(&s, &item)) {
			broken(r, text, FL_MIN(s.p, s.end), "a value");
			return false;
		}
		mark = fl_path_index(r, i);
		read_item(r, row, &item);
		fl_path_pop(r, mark);
		skip_space(&s);
		if (s.p < s.end && *s.p == ',')
			s.p++;
		else if (s.p >= s.end || *s.p != ']') {
			broken(r, text, FL_MIN(s.p, s.end), "\",\" or \"]\"");
			return false;
		}
	}
}

/* ---- outermost objects ---- */

struct top_member {
	char name[MEMBER_NAME_MAX];
	struct span value;
};

/* Members of the outermost object that say how the call went. */
static const char *const around[] = {"NextToken",
				     "nextToken",
				     "ResponseMetadata",
				     "syncToken",
				     "createDate",
				     "failures",
				     "PrefixListId",
				     "TransitGatewayRouteTableId",
				     "AdditionalRoutesAvailable"};

static bool is_around(const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(around); i++)
		if (!strcmp(around[i], name))
			return true;
	return false;
}

static bool read_member(struct fl_reader *r, const char *text, const struct top_member *m)
{
	unsigned row = 0;
	bool ok = true;
	size_t mark = fl_path_member(r, m->name);

	while (row < fl_kinds_n && strcmp(fl_kinds[row].top, m->name))
		row++;
	if (row == fl_kinds_n) {
		if (!is_around(m->name))
			fl_unknown_member(r, "an answer", m->name);
		else if (!strcmp(m->name, "AdditionalRoutesAvailable") && *m->value.p == 't')
			fl_problem(
			    r, false,
			    "the table has more routes than were printed; search for them in parts, with another "
			    "filter each");
	} else if (*m->value.p != (fl_kinds[row].single ? '{' : '[')) {
		fl_problem(r, true, "expected %s; left out", fl_kinds[row].single ? "an object" : "a list");
	} else {
		r->rows_seen |= UINT64_C(1) << row;
		if (fl_kinds[row].begin)
			fl_kinds[row].begin(r);
		if (fl_kinds[row].single)
			read_item(r, row, &m->value);
		else
			ok = read_list(r, row, text, m->value);
	}
	fl_path_pop(r, mark);
	return ok;
}

/* Whose entries or routes these are stands beside them, or is the name of the file: pl-0123456789abcdef0.json,
 * tgw-rtb-0123456789abcdef0.propagations.json. */
static const char *find_list_id(struct fl_reader *r, const struct top_member *m, size_t n)
{
	static const struct {
		const char *prefix, *member;
	} rows[] = {{"pl-", "PrefixListId"}, {"tgw-rtb-", "TransitGatewayRouteTableId"}};
	const char *name = strrchr(r->file, '/'), *from = NULL;
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < FL_ARRAY_LEN(rows); k++)
			if (!strcmp(m[i].name, rows[k].member) && *m[i].value.p == '"') {
				from = m[i].value.p + 1;
				len = (size_t)(m[i].value.end - m[i].value.p) - 2;
			}
	if (!from) {
		from = name ? name + 1 : r->file;
		len = strcspn(from, ".");
	}
	for (size_t k = 0; k < FL_ARRAY_LEN(rows); k++) {
		size_t prefix = strlen(rows[k].prefix);

		if (len > prefix && len < 32 && !strncmp(from, rows[k].prefix, prefix))
			return fl_network_intern(r->net, from, len);
	}
	return NULL;
}

static bool read_document(struct fl_reader *r, const char *text, struct span *s)
{
	struct top_member *m FL_CLEANUP(fl_freep) = calloc(DOCUMENT_MEMBERS_MAX, sizeof *m);
	size_t n = 0;
	bool said = false;

	if (!m) {
		r->net->arena.oom = true;
		return false;
	}
	s->p++; /* { */
	skip_space(s);
	while (s->p < s->end && *s->p != '}') {
		struct span key, value;

		if (*s->p != '"' || !cut_value(s, &key)) {
			broken(r, text, s->p, "the name of a member");
			return false;
		}
		skip_space(s);
		if (s->p >= s->end || *s->p != ':') {
			broken(r, text, s->p, "\":\"");
			return false;
		}
		s->p++;
		if (!cut_value(s, &value)) {
			/* what is there of a list that was cut off is used */
			if (n < DOCUMENT_MEMBERS_MAX && value.p < s->end && *value.p == '[') {
				snprintf(m[n].name, sizeof m->name, "%.*s",
					 (int)FL_MIN((size_t)(key.end - key.p) - 2, sizeof m->name - 1), key.p + 1);
				m[n].value = (struct span){value.p, s->end};
				read_member(r, text, &m[n]);
			} else {
				broken(r, text, FL_MIN(s->p, s->end), "the end of a value");
			}
			return false;
		}
		if (n < DOCUMENT_MEMBERS_MAX) {
			snprintf(m[n].name, sizeof m->name, "%.*s",
				 (int)FL_MIN((size_t)(key.end - key.p) - 2, sizeof m->name - 1), key.p + 1);
			m[n++].value = value;
		} else {
			fl_problem(r, true, "more than %d members; the rest of this object is left out",
				   DOCUMENT_MEMBERS_MAX);
			said = true;
			break;
		}
		skip_space(s);
		if (s->p < s->end && *s->p == ',') {
			s->p++;
			skip_space(s);
		} else if (s->p >= s->end || *s->p != '}') {
			broken(r, text, FL_MIN(s->p, s->end), "\",\" or \"}\"");
			said = true;
			break;
		}
	}
	if (s->p >= s->end && !said)
		broken(r, text, s->end, "\"}\"");
	r->list_id = find_list_id(r, m, n);
	for (size_t i = 0; i < n; i++)
		if (!read_member(r, text, &m[i]))
			return false;
	if (said || s->p >= s->end)
		return false;
	s->p++;
	return true;
}

static void read_text(struct fl_reader *r, const char *name, const char *text, size_t n)
{
	struct span s = {text, text + n};

	r->file = fl_network_intern(r->net, name, SIZE_MAX);
	fl_path_pop(r, 0);
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		s.p += 3;
	skip_space(&s);
	if (s.p == s.end)
		fl_problem(r, true, "empty; expected what an aws ... describe command prints");
	while (s.p < s.end) {
		if (*s.p != '{') {
			broken(r, text, s.p, "an object, as an aws ... describe command prints it");
			return;
		}
		if (!read_document(r, text, &s))
			return;
		skip_space(&s);
	}
}

static int read_file(struct fl_reader *r, int dirfd, const char *path, const char *name)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_NETWORK_FILE_MAX);
	struct stat st;
	int e;

	r->file = fl_network_intern(r->net, name, SIZE_MAX);
	fl_path_pop(r, 0);
	/* a pipe would block, and has no size to hold against the ceiling */
	if (fstatat(dirfd, path, &st, 0))
		e = fl_fail(-errno, "%s: %m", name);
	else if (!S_ISREG(st.st_mode))
		e = fl_fail(-EINVAL, "not a regular file");
	else if ((uint64_t)st.st_size > FL_NETWORK_FILE_MAX)
		e = fl_fail(-EFBIG, "larger than %llu bytes", FL_NETWORK_FILE_MAX);
	else {
		e = fl_buf_reserve(&text, (size_t)st.st_size + 1);
		e = e ? e : fl_file_read(dirfd, path, &text);
	}
	if (e) {
		fl_problem(r, true, "%s; left out", fl_error_text(e));
		return e;
	}
	r->files_read++;
	read_text(r, name, text.data, text.len);
	return 0;
}

/* ---- the whole ---- */

static void reader_free(struct fl_reader *r)
{
	free(r->pending);
	fl_arena_free(&r->scratch);
}

static int finish(struct fl_reader *r, int e, struct fl_network **ret)
{
	struct fl_network *net = r->net;

	if (!e)
		e = fl_network_finish(r);
	if (!e && (net->arena.oom || r->scratch.oom))
		e = fl_fail(-ENOMEM, "no memory for the inventory");
	reader_free(r);
	if (e)
		fl_network_free(&net);
	*ret = net;
	return e;
}

int fl_network_from_text(struct fl_network **ret, const char *file, const char *text, size_t n)
{
	struct fl_reader r = {.net = calloc(1, sizeof *r.net)};

	*ret = NULL;
	if (!r.net)
		return -ENOMEM;
	read_text(&r, file, text, n);
	return finish(&r, 0, ret);
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int read_directory(struct fl_reader *r, const char *path, int fd)
{
	struct dirent **list = NULL;
	int n = scandirat(fd, ".", &list, visible, alphasort), e = 0, left_out = 0;

	if (n < 0)
		return fl_fail(-errno, "%s: %m", path);
	for (int i = 0; i < n; i++) {
		struct stat st;

		if (fstatat(fd, list[i]->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
			;
		else if (i >= FL_NETWORK_FILES_MAX)
			left_out++;
		else
			read_file(r, fd, list[i]->d_name, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (left_out)
		fl_problem_at(r, "", "", true, "%d files beyond the first %d were left out", left_out,
			      FL_NETWORK_FILES_MAX);
	if (!r->files_read)
		e = fl_fail(-ENOENT,
			    "%s: no file that can be read; expected the output of aws ec2 describe-network-interfaces "
			    "and its like, a file each",
			    path);
	return e;
}

static int read_path(struct fl_reader *r, const char *path)
{
	int fd FL_CLEANUP(fl_closep) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *name = strrchr(path, '/');
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return fl_fail(-errno, "%s: %m", path);
	if (S_ISDIR(st.st_mode))
		return read_directory(r, path, fd);
	return fl_wrap(read_file(r, AT_FDCWD, path, name ? name + 1 : path), "%s", path);
}

int fl_network_read(struct fl_network **ret, const char *path)
{
	struct fl_reader r = {.net = calloc(1, sizeof *r.net)};

	*ret = NULL;
	if (!r.net)
		return -ENOMEM;
	return finish(&r, read_path(&r, path), ret);
}

/* Rules that describe-security-group-rules listed are those of the groups as they were. generation: before the changes;
 * the ids of the groups that were replaced since are moved to the front of ids. */
static void drop_old_rules(struct fl_reader *r, const uint32_t *generation, const char **ids, size_t groups,
			   size_t n_sides)
{
	struct fl_store *store = &r->net->store[FL_NOUN_GROUP];
	size_t kept = 0, replaced = 0;

	for (size_t g = 0; g < groups; g++)
		if (store->state[g].generation != generation[g])
			ids[replaced++] = ((struct fl_noun *)fl_store_at(store, g, sizeof(struct fl_group)))->id;
	for (size_t i = 0; i < r->side[FL_SIDE_GROUP_RULE].n; i++) {
		struct fl_side *side = &r->side[FL_SIDE_GROUP_RULE].v[i];
		bool old = false;

		for (size_t g = 0; i < n_sides && g < replaced && !old; g++)
			old = !strcmp(ids[g], side->key);
		if (!old)
			r->side[FL_SIDE_GROUP_RULE].v[kept++] = *side;
	}
	r->side[FL_SIDE_GROUP_RULE].n = kept;
}

int fl_network_read_over(struct fl_network **ret, const char *path, const char *over)
{
	struct fl_reader r = {.net = calloc(1, sizeof *r.net)};
	uint32_t *generation = NULL;
	const char **ids = NULL;
	size_t groups, sides;
	int e;

	*ret = NULL;
	if (!r.net)
		return -ENOMEM;
	e = read_path(&r, path);
	groups = r.net->store[FL_NOUN_GROUP].n;
	sides = r.side[FL_SIDE_GROUP_RULE].n;
	if (!e && groups) {
		generation = calloc(groups, sizeof *generation);
		ids = calloc(groups, sizeof *ids);
		e = generation && ids ? 0 : -ENOMEM;
	}
	for (size_t g = 0; !e && g < groups; g++)
		generation[g] = (uint32_t)r.net->store[FL_NOUN_GROUP].state[g].generation;
	r.files_read = 0;
	r.over = true;
	e = e ? e : read_path(&r, over);
	if (!e && generation)
		drop_old_rules(&r, generation, ids, groups, sides);
	free(generation);
	free(ids);
	return finish(&r, e, ret);
}
