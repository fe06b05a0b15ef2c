/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory/names.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

#define FILE_MAX ((size_t)1 << 20) /* a larger file is not a container's description */
#define ID_DIGITS 64
#define DOMAINS_MAX 4096

static bool read_text(const char *path, struct fl_buf *buf)
{
	fl_buf_reset(buf);
	return !fl_file_read(AT_FDCWD, path, buf) && buf->len;
}

static void copy_name(const char *p, size_t n, char ret[FL_NAME_MAX])
{
	size_t at = 0;

	/* Names end up on terminals and in logs: nothing below space. */
	for (size_t i = 0; i < n && at < FL_NAME_MAX - 1; i++)
		if ((unsigned char)p[i] > 0x20 && p[i] != 0x7f)
			ret[at++] = p[i];
	ret[at] = '\0';
}

bool fl_container_id(const char *cgroup, char ret[65])
{
	size_t run = 0;

	for (const char *p = cgroup;; p++) {
		if (isdigit((unsigned char)*p) || (*p >= 'a' && *p <= 'f')) {
			run++;
			continue;
		}
		if (run == ID_DIGITS) {
			memcpy(ret, p - ID_DIGITS, ID_DIGITS);
			ret[ID_DIGITS] = '\0';
			return true;
		}
		run = 0;
		if (!*p)
			return false;
	}
}

static json_t *load(const char *root, const char *path_format, const char *id)
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	char path[4096], inner[3072];

	/* The formats are the literals below. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(inner, sizeof inner, path_format, id);
#pragma GCC diagnostic pop
	snprintf(path, sizeof path, "%s%s", root, inner);
	return read_text(path, &text) ? json_loadb(text.data, text.len, 0, NULL) : NULL;
}

static bool take(const char *name, char ret[FL_NAME_MAX])
{
	if (!name)
		return false;
	name += *name == '/'; /* docker writes "/web" */
	copy_name(name, strlen(name), ret);
	return *ret;
}

static bool docker(const char *root, const char *id, char ret[FL_NAME_MAX])
{
	json_t *doc = load(root, "/var/lib/docker/containers/%s/config.v2.json", id);
	bool found = take(json_string_value(json_object_get(doc, "Name")), ret);

	json_decref(doc);
	return found;
}

static bool podman(const char *root, const char *id, char ret[FL_NAME_MAX])
{
	static const char *const lists[] = {"/var/lib/containers/storage/overlay-containers/containers.json%.0s",
					    "/run/containers/storage/overlay-containers/containers.json%.0s"};
	bool found = false;

	for (size_t i = 0; i < FL_ARRAY_LEN(lists) && !found; i++) {
		json_t *doc = load(root, lists[i], id), *one;
		size_t at;

		json_array_foreach(doc, at, one)
		{
			const char *its = json_string_value(json_object_get(one, "id"));

			if (its && !strcmp(its, id))
				found = take(json_string_value(json_array_get(json_object_get(one, "names"), 0)), ret);
		}
		json_decref(doc);
	}
	return found;
}

/* The OCI bundle: Kubernetes writes pod and container into the annotations. */
static bool containerd(const char *root, const char *id, char ret[FL_NAME_MAX])
{
	static const char *const bundles[] = {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json",
					      "/run/containerd/io.containerd.runtime.v2.task/default/%s/config.json"};
	bool found = false;

	for (size_t i = 0; i < FL_ARRAY_LEN(bundles) && !found; i++) {
		json_t *doc = load(root, bundles[i], id), *notes = json_object_get(doc, "annotations");
		const char *pod = json_string_value(json_object_get(notes, "io.kubernetes.cri.sandbox-name"));

		if (pod)
			found = take(pod, ret);
		else
			found = take(json_string_value(json_object_get(notes, "nerdctl/name")), ret) ||
				take(json_string_value(json_object_get(doc, "hostname")), ret);
		json_decref(doc);
	}
	return found;
}

bool fl_name_of_process(const char *root, int pid, char ret[FL_NAME_MAX])
{
	static bool (*const sources[])(const char *, const char *, char[FL_NAME_MAX]) = {docker, podman, containerd};
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(65536);
	char path[4096], id[65];

	snprintf(path, sizeof path, "%s/proc/%d/cgroup", root, pid);
	if (!read_text(path, &text) || !fl_container_id(fl_buf_cstr(&text), id))
		return false;
	for (size_t i = 0; i < FL_ARRAY_LEN(sources); i++)
		if (sources[i](root, id, ret))
			return true;
	copy_name(id, 12, ret); /* what `docker ps` shows */
	return true;
}

/* Enough of XML for libvirt's own status files: <name>vm</name> once, <target dev='vnet0'/> for
 * each interface. */
static bool domain_has(const char *xml, const char *device, char ret[FL_NAME_MAX])
{
	const char *name = strstr(xml, "<name>"), *end = name ? strstr(name, "</name>") : NULL;
	char target[2][48];

	snprintf(target[0], sizeof target[0], "<target dev='%s'", device);
	snprintf(target[1], sizeof target[1], "<target dev=\"%s\"", device);
	if (!end || (!strstr(xml, target[0]) && !strstr(xml, target[1])))
		return false;
	copy_name(name + 6, (size_t)(end - name - 6), ret);
	return *ret;
}

bool fl_name_of_tap(const char *root, const char *device, char ret[FL_NAME_MAX])
{
	struct fl_buf text FL_CLEANUP(fl_buf_free) = FL_BUF(FILE_MAX);
	char path[4096];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof path, "%s/run/libvirt/qemu", root);
	dir = opendir(path);
	for (unsigned i = 0; dir && !found && i < DOMAINS_MAX && (e = readdir(dir)); i++) {
		size_t n = strlen(e->d_name);

		if (n < 5 || strcmp(e->d_name + n - 4, ".xml"))
			continue;
		snprintf(path, sizeof path, "%s/run/libvirt/qemu/%s", root, e->d_name);
		found = read_text(path, &text) && domain_has(fl_buf_cstr(&text), device, ret);
	}
	if (dir)
		closedir(dir);
	return found;
}
