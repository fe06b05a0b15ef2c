/* SPDX-License-Identifier: Apache-2.0 */
/* The files of container runtimes, CNI and libvirt, and the cgroup of a process: the first byte says which. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "inventory/names.h"

static void check(const struct fl_who *who)
{
	const struct fl_labels l = {who->labels.text, who->labels.n};
	const char *key, *value;
	size_t at = 0;

	if (strnlen(who->name, sizeof who->name) == sizeof who->name || l.n > FL_LABELS_BYTES)
		abort();
	for (const char *p = who->name; *p; p += fl_utf8_at(p, strlen(p)))
		if (!fl_utf8_at(p, strlen(p)) || (unsigned char)*p <= 0x20)
			abort();
	while (fl_label_next(&l, &at, &key, &value))
		if (!*key || strlen(key) > FL_LABEL_KEY_MAX || strlen(value) > FL_LABEL_VALUE_MAX)
			abort();
	if (at != l.n)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	static const uint8_t mac[6] = {0xfe, 0x54, 0, 0, 0, 1};
	struct fl_who *who = calloc(1, sizeof *who);
	const char *text = (const char *)data + 1;
	char id[FL_CONTAINER_ID_MAX];
	struct fl_cgroup c;

	if (!who || !n) {
		free(who);
		return 0;
	}
	switch (*data % 8) {
	case 5:
		if (fl_cgroup_parse(text, n - 1, &c) && !*c.id == !*c.machine)
			abort();
		break;
	case 6:
		if (fl_names_cni_id(text, n - 1, "veth1", id) && !fl_container_id_is_good(id))
			abort();
		break;
	case 7:
		break;
	default:
		if (fl_names_parse(*data % 8, text, n - 1, *data % 8 == FL_NAMES_PODMAN ? "0123" : "veth1", mac, who) &&
		    !*who->name)
			abort();
		check(who);
	}
	free(who);
	return 0;
}
