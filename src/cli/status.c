/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

int fl_status_read(struct fl_status_file *ret, const char *store, const char *role)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FL_STATUS_FILE_MAX);
	char path[4096];
	json_error_t why;
	int r;

	*ret = (struct fl_status_file){0};
	snprintf(ret->role, sizeof ret->role, "%s", role);
	if ((size_t)snprintf(path, sizeof path, "%s/status/%s.json", store, role) >= sizeof path)
		return fl_fail(-ENAMETOOLONG, "%.60s...: the path of the store is too long", store);
	r = fl_file_read(AT_FDCWD, path, &text);
	if (r == -ENOENT)
		return fl_fail(r,
			       "%s is not there: no 'flowlog run' has used %s; start one, or name "
			       "its directory with --store",
			       path, store);
	if (r)
		return fl_wrap(r, "%s", path);
	ret->root = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &why);
	if (!ret->root)
		return fl_fail(-EPROTO,
			       "%s: not the JSON that is documented (line %d: %s); a running "
			       "daemon rewrites it each second",
			       path, why.line, why.text);
	if (json_is_object(ret->root))
		return 0;
	fl_status_free(ret);
	return fl_fail(-EPROTO, "%s: not an object; a running daemon rewrites it each second", path);
}

void fl_status_free(struct fl_status_file *s)
{
	json_decref(s->root);
	s->root = NULL;
}

static const json_t *member(struct fl_status_file *s, const json_t *object, const char *key, bool (*is)(const json_t *),
			    const char *what)
{
	const json_t *m = json_object_get(object, key);

	if (!m || json_is_null(m))
		return NULL;
	if (is(m))
		return m;
	if (!s->error)
		s->error = fl_fail(-EPROTO, "status/%s.json: the member \"%s\" is not %s", s->role, key, what);
	return NULL;
}

static bool is_count(const json_t *m)
{
	return json_is_integer(m) && json_integer_value(m) >= 0;
}

static bool is_bool(const json_t *m)
{
	return json_is_boolean(m);
}

static bool is_string(const json_t *m)
{
	return json_is_string(m);
}

static bool is_object(const json_t *m)
{
	return json_is_object(m);
}

static bool is_array(const json_t *m)
{
	return json_is_array(m);
}

uint64_t fl_status_u64(struct fl_status_file *s, const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(member(s, object, key, is_count, "a number from 0"));
}

bool fl_status_bool(struct fl_status_file *s, const json_t *object, const char *key)
{
	return json_is_true(member(s, object, key, is_bool, "true or false"));
}

const char *fl_status_str(struct fl_status_file *s, const json_t *object, const char *key)
{
	const char *text = json_string_value(member(s, object, key, is_string, "a string"));

	return text ? text : "";
}

const json_t *fl_status_object(struct fl_status_file *s, const json_t *object, const char *key)
{
	return member(s, object, key, is_object, "an object");
}

const json_t *fl_status_array(struct fl_status_file *s, const json_t *object, const char *key)
{
	return member(s, object, key, is_array, "an array");
}

static struct fl_count count(struct fl_status_file *s, const json_t *object, const char *key)
{
	const json_t *c = fl_status_object(s, object, key);

	return (struct fl_count){fl_status_u64(s, c, "packets"), fl_status_u64(s, c, "bytes")};
}

void fl_status_ledger(struct fl_status_file *s, const json_t *object, const char *key, struct fl_status_ledger *ret)
{
	const json_t *l = fl_status_object(s, object, key);

	*ret = (struct fl_status_ledger){
	    .skbs = fl_status_u64(s, l, "skbs"),
	    .seen = count(s, l, "seen"),
	    .recorded = count(s, l, "recorded"),
	    .excluded = count(s, l, "excluded"),
	    .lost = count(s, l, "lost"),
	    .not_ip = count(s, l, "not_ip"),
	    .rules = fl_status_object(s, fl_status_object(s, l, "excluded"), "rules"),
	    .causes = fl_status_object(s, fl_status_object(s, l, "lost"), "causes"),
	};
	for (unsigned i = 0; i < FL_VERDICT_N; i++)
		ret->verdict[i] = count(s, fl_status_object(s, l, "verdicts"), fl_verdict_names[i]);
}

void fl_status_ledger_add(struct fl_status_ledger *sum, const struct fl_status_ledger *l)
{
	sum->skbs += l->skbs;
	fl_count_add(&sum->seen, &l->seen);
	fl_count_add(&sum->recorded, &l->recorded);
	fl_count_add(&sum->excluded, &l->excluded);
	fl_count_add(&sum->lost, &l->lost);
	fl_count_add(&sum->not_ip, &l->not_ip);
	for (unsigned i = 0; i < FL_VERDICT_N; i++)
		fl_count_add(&sum->verdict[i], &l->verdict[i]);
}

int64_t fl_status_age(struct fl_status_file *s)
{
	return (int64_t)time(NULL) - (int64_t)fl_status_u64(s, s->root, "time");
}

/* Positive: held, 0: free, negative: there is none, or it is not ours to open. */
static int lock_state(const char *store)
{
	char path[4096];
	int fd, r;

	if ((size_t)snprintf(path, sizeof path, "%s/lock", store) >= sizeof path)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_SH | LOCK_NB) ? (errno == EWOULDBLOCK ? 1 : -errno) : 0;
	close(fd);
	return r;
}

bool fl_status_daemon_runs(struct fl_status_file *s, const char *store)
{
	int r = lock_state(store);

	return r < 0 ? fl_status_age(s) < FL_STATUS_STALE_S : r;
}

bool fl_status_role_runs(struct fl_status_file *s, const char *store)
{
	pid_t pid = (pid_t)fl_status_u64(s, s->root, "pid");

	if (!fl_status_daemon_runs(s, store))
		return false;
	/* The process may be in another namespace, where this number is nobody's. */
	return fl_status_age(s) < FL_STATUS_STALE_S || (pid > 0 && (!kill(pid, 0) || errno == EPERM));
}
