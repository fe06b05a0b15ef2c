/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

#define FILE_MAX ((size_t)4 << 20) /* a larger file is not a container's description */
#define ENTRIES_MAX 4096           /* of a directory that is looked through */
#define PATH_LIMIT 4096

/* ---- files ---- */

/* Regular ones alone: a user's directory may hold a pipe that would never end, or a link to somebody else's file. */
static bool read_text(const char *path, struct fl_buf *buf)
{
	int fd FL_CLEANUP(fl_closep) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	struct stat st;
	ssize_t n = 1;

	fl_buf_reset(buf);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > buf->max)
		return false;
	while (n > 0) {
		size_t room = FL_MIN((size_t)65536, buf->max - buf->len);

		if (!room || fl_buf_reserve(buf, room))
			return false;
		n = read(fd, buf->data + buf->len, room);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			buf->len += (size_t)n;
	}
	return !n && buf->len;
}

static uint64_t stamp_of(const char *path)
{
	struct stat st;
	uint64_t row[4];

	if (!*path || lstat(path, &st))
		return 0;
	row[0] = st.st_ino;
	row[1] = (uint64_t)st.st_size;
	row[2] = (uint64_t)st.st_mtim.tv_sec;
	row[3] = (uint64_t)st.st_mtim.tv_nsec;
	return fl_hash_bytes(row, sizeof row, 1) | 1;
}

uint64_t fl_who_stamp(const struct fl_who *who)
{
	return stamp_of(who->path);
}

static bool parse_file(const char *path, enum fl_names_file file, const char *wanted, const uint8_t *mac,
		       struct fl_who *ret)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	uint64_t stamp = stamp_of(path);

	if (!stamp || !read_text(path, &text) || !fl_names_parse(file, text.data, text.len, wanted, mac, ret))
		return false;
	if (snprintf(ret->path, sizeof ret->path, "%s", path) >= (int)sizeof ret->path)
		*ret->path = '\0'; /* then a change is found with the next look at everything */
	ret->stamp = stamp;
	return true;
}

/* Names in a directory, one after another; a dot in front is none of anybody's business. */
static const char *next_name(DIR *dir, unsigned *seen)
{
	struct dirent *e;

	while (dir && *seen < ENTRIES_MAX && (e = readdir(dir))) {
		(*seen)++;
		if (e->d_name[0] != '.')
			return e->d_name;
	}
	return NULL;
}

static DIR *open_dir(char path[PATH_LIMIT], const char *root, const char *where)
{
	return (size_t)snprintf(path, PATH_LIMIT, "%s%s", root, where) < PATH_LIMIT ? opendir(path) : NULL;
}

/* ---- where runtimes keep their things ---- */

#define PLACES_MAX 8
struct places {
	char dir[PLACES_MAX][1024];
	size_t n;
};

static void add_place(struct places *p, const char *a, const char *b)
{
	if (*a == '/' && p->n < PLACES_MAX &&
	    (size_t)snprintf(p->dir[p->n], sizeof p->dir[0], "%s%s", a, b) < sizeof p->dir[0])
		p->n++;
}

/* The home of a user: rootless runtimes keep theirs there. */
static bool home_of(const char *root, int32_t uid, char ret[512])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	char path[PATH_LIMIT];

	snprintf(path, sizeof path, "%s/etc/passwd", root);
	if (uid <= 0 || !read_text(path, &text))
		return false;
	for (char *line = (char *)(uintptr_t)fl_buf_cstr(&text), *next; *line; line = next) {
		char *field[6] = {line}, *p = line;

		next = line + strcspn(line, "\n");
		next += *next ? (*next = '\0', 1) : 0;
		for (unsigned i = 1; i < 6 && p; i++)
			field[i] = (p = strchr(p, ':')) ? (*p = '\0', ++p) : NULL;
		if (!field[5] || strtol(field[2], NULL, 10) != uid)
			continue;
		field[5][strcspn(field[5], ":")] = '\0';
		return *field[5] == '/' && (size_t)snprintf(ret, 512, "%s", field[5]) < 512;
	}
	return false;
}

static void docker_places(const char *root, int32_t uid, struct places *ret)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	char path[PATH_LIMIT], home[512];
	json_t *doc = NULL;
	const char *moved;

	snprintf(path, sizeof path, "%s/etc/docker/daemon.json", root);
	if (read_text(path, &text))
		doc = json_loadb(text.data, text.len, 0, NULL);
	moved = json_string_value(json_object_get(doc, "data-root"));
	add_place(ret, moved ? moved : "", "");
	moved = json_string_value(json_object_get(doc, "graph")); /* its name before 2017 */
	add_place(ret, moved ? moved : "", "");
	json_decref(doc);
	add_place(ret, "/var/lib/docker", "");
	add_place(ret, "/var/snap/docker/common/var-lib-docker", "");
	if (home_of(root, uid, home))
		add_place(ret, home, "/.local/share/docker");
}

/* graphroot = "/srv/containers" */
static bool moved_storage(const char *root, char ret[512])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	char path[PATH_LIMIT];
	const char *line;

	snprintf(path, sizeof path, "%s/etc/containers/storage.conf", root);
	if (!read_text(path, &text))
		return false;
	for (line = fl_buf_cstr(&text); line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, " graphroot = \"%511[^\"\n]\"", ret) == 1)
			return true;
	}
	return false;
}

static void storage_places(const char *root, int32_t uid, struct places *ret)
{
	char moved[512], home[512], run[64];

	if (moved_storage(root, moved))
		add_place(ret, moved, "");
	add_place(ret, "/var/lib/containers/storage", "");
	add_place(ret, "/run/containers/storage", "");
	if (home_of(root, uid, home)) {
		add_place(ret, home, "/.local/share/containers/storage");
		snprintf(run, sizeof run, "/run/user/%d/containers", uid);
		add_place(ret, run, "");
	}
}

size_t fl_names_places(const char *root, char (*ret)[1024], size_t max)
{
	static const char *const always[] = {
	    "/proc", "/run", "/var/lib", "/var/snap", "/etc/docker", "/etc/containers", "/etc/libvirt", "/etc/passwd"};
	struct places moved = {.n = 0};
	char pattern[PATH_LIMIT];
	glob_t homes;
	size_t n = 0;

	for (size_t i = 0; i < FL_ARRAY_LEN(always) && n < max; i++)
		snprintf(ret[n++], sizeof *ret, "%.900s%s", root, always[i]);
	docker_places(root, -1, &moved);
	storage_places(root, -1, &moved);
	for (size_t i = 0; i < moved.n && n < max; i++)
		snprintf(ret[n++], sizeof *ret, "%.500s%.500s", root, moved.dir[i]);
	snprintf(pattern, sizeof pattern, "%s/home/*/.local/share", root);
	if (glob(pattern, GLOB_NOSORT, NULL, &homes))
		return n;
	for (size_t i = 0; i < homes.gl_pathc && n < max; i++)
		if (strlen(homes.gl_pathv[i]) < sizeof *ret)
			snprintf(ret[n++], sizeof *ret, "%s", homes.gl_pathv[i]);
	globfree(&homes);
	return n;
}

/* ---- a container by its id ---- */

static bool docker(const char *root, const struct fl_cgroup *c, struct fl_who *ret)
{
	struct places places = {.n = 0};
	char path[PATH_LIMIT];

	docker_places(root, c->uid, &places);
	for (size_t i = 0; i < places.n; i++) {
		snprintf(path, sizeof path, "%s%s/containers/%s/config.v2.json", root, places.dir[i], c->id);
		if (parse_file(path, FL_NAMES_DOCKER, NULL, NULL, ret))
			return true;
	}
	return false;
}

/* One file of containers/storage, in whichever place and of whichever driver it is. */
static bool find_stored(const char *root, const struct places *places, const char *name, enum fl_names_file file,
			const char *id, struct fl_who *ret)
{
	static const char *const drivers[] = {"overlay", "vfs", "btrfs", "zfs"};
	char path[PATH_LIMIT];

	for (size_t i = 0; i < places->n; i++)
		for (size_t k = 0; k < FL_ARRAY_LEN(drivers); k++) {
			snprintf(path, sizeof path, "%s%s/%s-containers/%s", root, places->dir[i], drivers[k], name);
			if (parse_file(path, file, id, NULL, ret))
				return true;
		}
	return false;
}

/* Podman's and CRI-O's: the list has the names, the bundle the annotations. */
static bool storage(const char *root, const struct fl_cgroup *c, struct fl_who *ret)
{
	struct places places = {.n = 0};
	char bundle[FL_CONTAINER_ID_MAX + 32], list_path[sizeof ret->path];
	uint64_t list_stamp;
	bool listed;

	storage_places(root, c->uid, &places);
	listed = find_stored(root, &places, "containers.json", FL_NAMES_PODMAN, c->id, ret) ||
		 find_stored(root, &places, "volatile-containers.json", FL_NAMES_PODMAN, c->id, ret);
	memcpy(list_path, ret->path, sizeof list_path);
	list_stamp = ret->stamp;
	snprintf(bundle, sizeof bundle, "%s/userdata/config.json", c->id);
	if (!find_stored(root, &places, bundle, FL_NAMES_OCI, NULL, ret))
		return listed;
	if (listed) {
		/* A rename changes the list; the bundle stays as it was made. */
		memcpy(ret->path, list_path, sizeof ret->path);
		ret->stamp = list_stamp;
	}
	return true;
}

/* The OCI bundle of a task. */
static bool containerd(const char *root, const struct fl_cgroup *c, struct fl_who *ret)
{
	static const char *const states[] = {"/run/containerd", "/run/k3s/containerd",
					     "/var/snap/microk8s/common/run/containerd"};
	bool found = false;

	for (size_t i = 0; i < FL_ARRAY_LEN(states) && !found; i++) {
		char where[256], dir_path[PATH_LIMIT], path[2 * PATH_LIMIT];
		const char *name;
		unsigned seen = 0;
		DIR *dir;

		snprintf(where, sizeof where, "%s/io.containerd.runtime.v2.task", states[i]);
		dir = open_dir(dir_path, root, where);
		while (!found && (name = next_name(dir, &seen))) {
			if (*c->space && strcmp(c->space, name) != 0)
				continue;
			snprintf(path, sizeof path, "%s/%s/%s/config.json", dir_path, name, c->id);
			found = parse_file(path, FL_NAMES_OCI, NULL, NULL, ret);
		}
		if (dir)
			closedir(dir);
	}
	if (found && !*ret->name)
		fl_name_copy(c->id, strlen(c->id), ret->name);
	return found;
}

static bool of_container(const char *root, const struct fl_cgroup *c, struct fl_who *ret)
{
	static bool (*const sources[])(const char *, const struct fl_cgroup *, struct fl_who *) = {docker, storage,
												   containerd};

	if (!fl_container_id_is_good(c->id))
		return false;
	for (size_t i = *c->space ? 2 : 0; i < FL_ARRAY_LEN(sources); i++) {
		memset(ret, 0, sizeof *ret);
		if (sources[i](root, c, ret))
			return true;
	}
	memset(ret, 0, sizeof *ret);
	if (*c->space)
		return false;               /* any service may have such a cgroup */
	fl_name_copy(c->id, 12, ret->name); /* what `docker ps` shows */
	snprintf(ret->kind, sizeof ret->kind, "container");
	return true;
}

bool fl_cgroup_of_process(const char *root, int pid, struct fl_cgroup *ret)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(65536);
	char path[PATH_LIMIT];
	struct stat st;

	snprintf(path, sizeof path, "%s/proc/%d/cgroup", root, pid);
	if (!read_text(path, &text) || !fl_cgroup_parse(text.data, text.len, ret))
		return false;
	/* Without a login's slice: the owner of a rootless container's first process is its user. */
	if (ret->uid < 0 && !stat(path, &st))
		ret->uid = (int32_t)st.st_uid;
	return true;
}

bool fl_who_of_cgroup(const char *root, const struct fl_cgroup *c, struct fl_who *ret)
{
	if (*c->id)
		return of_container(root, c, ret);
	memset(ret, 0, sizeof *ret);
	memcpy(ret->name, c->machine, sizeof ret->name);
	snprintf(ret->kind, sizeof ret->kind, "%s", c->vm ? "vm" : "container");
	return *ret->name;
}

/* ---- by the host's end ---- */

static bool of_domain(const char *root, const char *device, const uint8_t *mac, struct fl_who *ret)
{
	static const struct {
		const char *dir, *kind;
	} places[] = {{"/run/libvirt/qemu", "vm"},
		      {"/run/libvirt/libxl", "vm"},
		      {"/run/libvirt/lxc", "container"},
		      {"/etc/libvirt/qemu", "vm"}};

	for (size_t i = 0; i < FL_ARRAY_LEN(places); i++) {
		char dir_path[PATH_LIMIT], path[PATH_LIMIT + 300];
		const char *name;
		unsigned seen = 0;
		bool found = false;
		DIR *dir = open_dir(dir_path, root, places[i].dir);

		while (!found && (name = next_name(dir, &seen))) {
			size_t n = strlen(name);

			if (n < 5 || strcmp(name + n - 4, ".xml") != 0)
				continue;
			snprintf(path, sizeof path, "%s/%s", dir_path, name);
			memset(ret, 0, sizeof *ret);
			found = parse_file(path, FL_NAMES_LIBVIRT, device, mac, ret);
		}
		if (dir)
			closedir(dir);
		snprintf(ret->kind, sizeof ret->kind, "%s", places[i].kind);
		if (found)
			return true;
	}
	return false;
}

/* A cached result that names the device: the pod it says, else the container whose id it has. */
static bool of_cni_result(const char *root, const char *path, const char *device, struct fl_who *ret)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	struct fl_cgroup c = {.uid = -1};

	memset(ret, 0, sizeof *ret);
	if (!read_text(path, &text) || !memmem(text.data, text.len, device, strlen(device)))
		return false;
	if (parse_file(path, FL_NAMES_CNI, device, NULL, ret))
		return true;
	return fl_names_cni_id(text.data, text.len, device, c.id) && of_container(root, &c, ret);
}

static bool of_cni(const char *root, const char *device, struct fl_who *ret)
{
	static const char *const places[] = {"/var/lib/cni/results", "/var/lib/cni/cache/results"};
	bool found = false;

	for (size_t i = 0; i < FL_ARRAY_LEN(places) && !found; i++) {
		char dir_path[PATH_LIMIT], path[PATH_LIMIT + 300];
		const char *name;
		unsigned seen = 0;
		DIR *dir = open_dir(dir_path, root, places[i]);

		while (!found && (name = next_name(dir, &seen))) {
			snprintf(path, sizeof path, "%s/%s", dir_path, name);
			found = of_cni_result(root, path, device, ret);
		}
		if (dir)
			closedir(dir);
	}
	return found;
}

bool fl_who_of_device(const char *root, const char *device, const uint8_t *mac, struct fl_who *ret)
{
	memset(ret, 0, sizeof *ret);
	return of_domain(root, device, mac, ret) || of_cni(root, device, ret);
}

/* ---- by address ---- */

bool fl_who_of_address(const char *root, const struct fl_addr *v4, struct fl_who *ret)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(4096);
	char dir_path[PATH_LIMIT], path[2 * PATH_LIMIT], addr[FL_ADDR_TEXT_MAX + 1];
	DIR *dir = open_dir(dir_path, root, "/var/lib/cni/networks");
	const char *name;
	unsigned seen = 0;
	bool found = false;

	memset(ret, 0, sizeof *ret);
	*fl_addr_print(addr, v4, false) = '\0';
	while (!found && (name = next_name(dir, &seen))) {
		struct fl_cgroup c = {.uid = -1};
		size_t n;

		snprintf(path, sizeof path, "%s/%s/%s", dir_path, name, addr);
		if (!read_text(path, &text))
			continue;
		n = strcspn(fl_buf_cstr(&text), "\r\n"); /* the container's id, then its interface */
		snprintf(c.id, sizeof c.id, "%.*s", (int)FL_MIN(n, sizeof c.id), fl_buf_cstr(&text));
		found = of_container(root, &c, ret);
	}
	if (dir)
		closedir(dir);
	return found;
}
