/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtimes' files say. Sources of the layouts: moby container/container.go (config.v2.json),
 * containers/storage containers.go (containers.json), the OCI runtime specification (config.json), containerd's
 * pkg/cri/annotations, CRI-O's pkg/annotations/internal.go, libcni api.go (cachedInfo).
 */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "inventory/names.h"

#define ID_DIGITS 64
#define ANNOTATIONS_MAX 1024 /* looked at, of one container */
#define CNI_INTERFACES_MAX 64

/* ---- small parts ---- */

void fl_name_copy(const char *p, size_t n, char ret[FL_NAME_MAX])
{
	size_t at = 0, len;

	for (size_t i = 0; i < n && p[i]; i += FL_MAX(len, (size_t)1)) {
		len = fl_utf8_at(p + i, n - i);
		if (!len || (unsigned char)p[i] <= 0x20 || p[i] == 0x7f)
			continue;
		if (at + len >= FL_NAME_MAX)
			break;
		memcpy(ret + at, p + i, len);
		at += len;
	}
	ret[at] = '\0';
}

bool fl_container_id_is_good(const char *id)
{
	for (const char *p = id; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return false;
	return *id && *id != '.' && strlen(id) < FL_CONTAINER_ID_MAX;
}

static bool set_name(struct fl_who *who, const char *name)
{
	char copy[FL_NAME_MAX];

	if (!name)
		return false;
	fl_name_copy(name, strlen(name), copy);
	if (*copy)
		memcpy(who->name, copy, sizeof copy);
	return *copy;
}

static bool set_pod(struct fl_who *who, const char *space, const char *pod)
{
	char both[512];

	if (!pod || !*pod)
		return false;
	snprintf(both, sizeof both, "%s%s%s", space ? space : "", space && *space ? "/" : "", pod);
	fl_label_add(&who->labels, "io.kubernetes.pod.name", pod);
	if (space)
		fl_label_add(&who->labels, "io.kubernetes.pod.namespace", space);
	return set_name(who, both);
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void add_labels(struct fl_who *who, json_t *object, const char *but_not)
{
	unsigned seen = 0;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		if (++seen > ANNOTATIONS_MAX)
			break;
		if (json_is_string(value) && (!but_not || strncmp(key, but_not, strlen(but_not)) != 0))
			fl_label_add(&who->labels, key, json_string_value(value));
	}
}

/* ---- cgroup ---- */

static bool is_hex(char c)
{
	return isdigit((unsigned char)c) || (c >= 'a' && c <= 'f');
}

/* The outermost: what runs in a container that holds containers is that one's on this host. */
static bool find_hex_id(const char *p, size_t n, char ret[FL_CONTAINER_ID_MAX])
{
	size_t run = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && is_hex(p[i])) {
			run++;
			continue;
		}
		if (run == ID_DIGITS) {
			memcpy(ret, p + i - ID_DIGITS, ID_DIGITS);
			ret[ID_DIGITS] = '\0';
			return true;
		}
		run = 0;
	}
	return false;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* systemd writes what a unit's name cannot hold as \x2d. */
static void unescape(const char *p, size_t n, char ret[FL_NAME_MAX])
{
	char plain[256];
	size_t at = 0;

	for (size_t i = 0; i < n && at < sizeof plain - 1; i++) {
		bool escape = i + 3 < n && p[i] == '\\' && p[i + 1] == 'x';
		int high = escape ? hex(p[i + 2]) : -1, low = escape ? hex(p[i + 3]) : -1;

		if (high >= 0 && low >= 0) {
			plain[at++] = (char)(high << 4 | low);
			i += 3;
		} else {
			plain[at++] = p[i];
		}
	}
	fl_name_copy(plain, at, ret);
}

/* libvirt calls its machines qemu-1-web and lxc-2-db, numbered anew with every start. */
static void take_machine(const char *p, size_t n, struct fl_cgroup *ret)
{
	const char *rest;

	unescape(p, n, ret->machine);
	rest = ret->machine;
	if (!strncmp(rest, "qemu-", 5))
		ret->vm = true;
	if (ret->vm || !strncmp(rest, "lxc-", 4)) {
		rest += ret->vm ? 5 : 4;
		if (!isdigit((unsigned char)*rest)) {
			ret->vm = false;
			return;
		}
		while (isdigit((unsigned char)*rest))
			rest++;
		if (*rest == '-' && rest[1])
			memmove(ret->machine, rest + 1, strlen(rest));
	}
}

static size_t component(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && p[n] != '/')
		n++;
	return n;
}

static bool find_machine(const char *p, const char *end, struct fl_cgroup *ret)
{
	static const struct {
		const char *before, *after;
	} forms[] = {
	    {"machine-", ".scope"},
	    {"systemd-nspawn@", ".service"},
	    {"lxc.payload.", ""},
	    {"/lxc/", ""},
	};

	for (; p < end; p++)
		for (size_t i = 0; i < FL_ARRAY_LEN(forms); i++) {
			size_t before = strlen(forms[i].before), after = strlen(forms[i].after), n;

			if ((size_t)(end - p) <= before || strncmp(p, forms[i].before, before) != 0)
				continue;
			n = component(p + before, end);
			if (n <= after || strncmp(p + before + n - after, forms[i].after, after) != 0)
				continue;
			take_machine(p + before, n - after, ret);
			if (*ret->machine)
				return true;
		}
	return false;
}

/* `ctr run` and the like: /namespace/name, below nothing else. */
static bool find_plain_id(const char *p, const char *end, struct fl_cgroup *ret)
{
	size_t space, id;

	if (p >= end || *p != '/')
		return false;
	space = component(++p, end);
	if (!space || space >= sizeof ret->space || p + space >= end)
		return false;
	id = component(p + space + 1, end);
	if (!id || id >= sizeof ret->id || p + space + 1 + id != end)
		return false;
	snprintf(ret->space, sizeof ret->space, "%.*s", (int)space, p);
	snprintf(ret->id, sizeof ret->id, "%.*s", (int)id, p + space + 1);
	if (fl_container_id_is_good(ret->space) && fl_container_id_is_good(ret->id))
		return true;
	*ret->space = *ret->id = '\0';
	return false;
}

static int32_t find_uid(const char *p, const char *end)
{
	static const char slice[] = "/user-";
	int64_t uid = 0;

	for (; p + sizeof slice < end; p++)
		if (!strncmp(p, slice, sizeof slice - 1)) {
			p += sizeof slice - 1;
			if (!isdigit((unsigned char)*p))
				return -1;
			while (p < end && isdigit((unsigned char)*p) && uid < INT32_MAX)
				uid = uid * 10 + *p++ - '0';
			return uid < INT32_MAX ? (int32_t)uid : -1;
		}
	return -1;
}

bool fl_cgroup_parse(const char *text, size_t n, struct fl_cgroup *ret)
{
	const char *end = text + n;

	*ret = (struct fl_cgroup){.uid = -1};
	/* A line a hierarchy, "12:cpu,cpuacct:/path"; which ones a runtime uses differs. */
	for (unsigned pass = 0; pass < 3; pass++)
		for (const char *line = text, *next; line < end; line = next + 1) {
			const char *path = memchr(line, ':', (size_t)(end - line));

			next = memchr(line, '\n', (size_t)(end - line));
			next = next ? next : end;
			path = path && path < next ? memchr(path + 1, ':', (size_t)(next - path - 1)) : NULL;
			if (!path)
				continue;
			path++;
			if (ret->uid < 0)
				ret->uid = find_uid(path, next);
			if ((pass == 0 && find_hex_id(path, (size_t)(next - path), ret->id)) ||
			    (pass == 1 && find_machine(path, next, ret)) ||
			    (pass == 2 && find_plain_id(path, next, ret)))
				return true;
		}
	return false;
}

/* ---- containers ---- */

static bool docker(const json_t *doc, struct fl_who *who)
{
	json_t *labels = json_object_get(json_object_get(doc, "Config"), "Labels");
	const char *type = text_of(labels, "io.kubernetes.docker.type"), *name = text_of(doc, "Name");
	bool found =
	    set_pod(who, text_of(labels, "io.kubernetes.pod.namespace"), text_of(labels, "io.kubernetes.pod.name"));

	who->sandbox = type && !strcmp(type, "podsandbox");
	if (!found && name)
		found = set_name(who, name + (*name == '/')); /* docker writes "/web" */
	add_labels(who, labels, NULL);
	return found;
}

static bool podman(json_t *doc, const char *id, struct fl_who *who)
{
	json_t *one;
	size_t at;

	json_array_foreach(doc, at, one)
	{
		const char *its = text_of(one, "id");

		if (its && id && !strcmp(its, id))
			return set_name(who, json_string_value(json_array_get(json_object_get(one, "names"), 0)));
	}
	return false;
}

static const char *first_of(const json_t *o, const char *const *keys)
{
	const char *value = NULL;

	for (; !value && *keys; keys++)
		value = text_of(o, *keys);
	return value;
}

static bool oci(const json_t *doc, struct fl_who *who)
{
	static const char *const pod[] = {"io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.KubeName",
					  "io.kubernetes.pod.name", NULL};
	static const char *const space[] = {"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri-o.Namespace",
					    "io.kubernetes.pod.namespace", NULL};
	static const char *const uid[] = {"io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid", NULL};
	static const char *const type[] = {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType",
					   NULL};
	json_t *notes = json_object_get(doc, "annotations"), *labels = NULL;
	const char *kind = first_of(notes, type), *packed = text_of(notes, "io.kubernetes.cri-o.Labels"),
		   *id = first_of(notes, uid), *container = text_of(notes, "io.kubernetes.cri.container-name");
	bool found = set_pod(who, first_of(notes, space), first_of(notes, pod));

	who->sandbox = kind && !strcmp(kind, "sandbox");
	/* The labels of CRI-O are JSON in a string. */
	labels = packed ? json_loads(packed, 0, NULL) : NULL;
	add_labels(who, labels, NULL);
	json_decref(labels);
	if (id)
		fl_label_add(&who->labels, "io.kubernetes.pod.uid", id);
	if (container)
		fl_label_add(&who->labels, "io.kubernetes.container.name", container);
	add_labels(who, notes, "io.kubernetes.cri-o.");
	if (!found && !*who->name)
		found = set_name(who, text_of(notes, "nerdctl/name")) || set_name(who, text_of(doc, "hostname"));
	return found || *who->name;
}

/* ---- CNI ---- */

/* The host's end of the cable is an interface that is in no sandbox. */
static bool has_device(const json_t *result, const char *device)
{
	const json_t *all = json_object_get(result, "interfaces");

	for (size_t i = 0; i < json_array_size(all) && i < CNI_INTERFACES_MAX; i++) {
		const json_t *one = json_array_get(all, i);
		const char *name = text_of(one, "name"), *sandbox = text_of(one, "sandbox");

		if (name && !strcmp(name, device) && (!sandbox || !*sandbox))
			return true;
	}
	return false;
}

static bool cni(const json_t *doc, const char *device, struct fl_who *who)
{
	const json_t *args = json_object_get(doc, "cniArgs");
	const char *pod = NULL, *space = NULL, *uid = NULL;

	if (device && !has_device(json_object_get(doc, "result"), device))
		return false;
	for (size_t i = 0; i < json_array_size(args) && i < CNI_INTERFACES_MAX; i++) {
		const char *key = json_string_value(json_array_get(json_array_get(args, i), 0)),
			   *value = json_string_value(json_array_get(json_array_get(args, i), 1));

		if (!key)
			continue;
		pod = strcmp(key, "K8S_POD_NAME") != 0 ? pod : value;
		space = strcmp(key, "K8S_POD_NAMESPACE") != 0 ? space : value;
		uid = strcmp(key, "K8S_POD_UID") != 0 ? uid : value;
	}
	who->sandbox = true;
	if (!set_pod(who, space, pod))
		return false;
	if (uid)
		fl_label_add(&who->labels, "io.kubernetes.pod.uid", uid);
	return true;
}

bool fl_names_cni_id(const char *text, size_t n, const char *device, char ret[FL_CONTAINER_ID_MAX])
{
	json_t *doc = json_loadb(text, n, 0, NULL);
	const char *id = text_of(doc, "containerId");
	bool found = id && fl_container_id_is_good(id) && has_device(json_object_get(doc, "result"), device);

	if (found)
		snprintf(ret, FL_CONTAINER_ID_MAX, "%s", id);
	json_decref(doc);
	return found;
}

bool fl_names_parse(enum fl_names_file file, const char *text, size_t n, const char *wanted, const uint8_t *mac,
		    struct fl_who *ret)
{
	json_t *doc;
	bool found = false;

	if (file == FL_NAMES_LIBVIRT)
		return fl_names_parse_domain(text, n, wanted, mac, ret);
	doc = json_loadb(text, n, 0, NULL);
	switch (file) {
	case FL_NAMES_DOCKER:
		found = docker(doc, ret);
		break;
	case FL_NAMES_PODMAN:
		found = podman(doc, wanted, ret);
		break;
	case FL_NAMES_OCI:
		found = oci(doc, ret);
		break;
	case FL_NAMES_CNI:
		found = cni(doc, wanted, ret);
		break;
	default:
		break;
	}
	json_decref(doc);
	if (found)
		snprintf(ret->kind, sizeof ret->kind, "container");
	return found;
}
