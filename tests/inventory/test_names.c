/* SPDX-License-Identifier: Apache-2.0 */
/* Names from the files of container runtimes and libvirt, on a fixture directory that stands for /.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "inventory/names.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID3 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID4 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static const struct {
	const char *dir, *file, *text;
} files[] = {
    {"proc/1", "cgroup", "0::/init.scope\n"},
    {"proc/2", "cgroup", "0::/system.slice/docker-" ID ".scope\n"},
    {"proc/3", "cgroup", "12:cpu:/machine.slice/libpod-" ID2 ".scope/container\n0::/\n"},
    {"proc/4", "cgroup", "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-" ID3 ".scope\n"},
    {"proc/5", "cgroup", "0::/docker/" ID4 "\n"},
    {"proc/6", "cgroup", "0::/x/" ID "0\n"}, /* 65 digits are no id */
    {"var/lib/docker/containers/" ID, "config.v2.json", "{\"ID\":\"" ID "\",\"Name\":\"/web\"}"},
    {"var/lib/docker/containers/" ID4, "config.v2.json", "{\"Name\":"}, /* cut off: the short id remains */
    {"var/lib/containers/storage/overlay-containers", "containers.json",
     "[{\"id\":\"" ID "\",\"names\":[\"no\"]},{\"id\":\"" ID2 "\",\"names\":[\"db\\u001b[31m\"]}]"},
    {"run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID3, "config.json",
     "{\"hostname\":\"h\",\"annotations\":{\"io.kubernetes.cri.sandbox-name\":\"nginx-7d\"}}"},
    {"run/libvirt/qemu", "vm1.xml",
     "<domstatus><domain><name>vm1</name><interface><target "
     "dev='vnet3'/></interface></domain></domstatus>"},
    {"run/libvirt/qemu", "vm2.xml",
     "<domstatus><domain><name>vm2</name><interface><target "
     "dev=\"vnet33\"/></interface></domain></domstatus>"},
    {"run/libvirt/qemu", "vm3.pid", "77"},
};

static char root[64];

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof root, "/tmp/fl-names-XXXXXX");
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char path[512];

		snprintf(path, sizeof path, "%s/%s", root, files[i].dir);
		assert_int_equal(fl_mkdirs(AT_FDCWD, path, 0700), 0);
		snprintf(path, sizeof path, "%s/%s/%s", root, files[i].dir, files[i].file);
		assert_int_equal(
		    fl_file_write_atomic(AT_FDCWD, path, files[i].text, strlen(files[i].text), 0600, false), 0);
	}
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

static void containers_by_cgroup(void **state)
{
	static const struct {
		int pid;
		const char *want; /* NULL: no container */
	} rows[] = {{1, NULL}, {2, "web"}, {3, "db[31m"}, {4, "nginx-7d"}, {5, "cccccccccccc"}, {6, NULL}, {7, NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char name[FL_NAME_MAX] = "";

		assert_int_equal(fl_name_of_process(root, rows[i].pid, name), rows[i].want != NULL);
		if (rows[i].want)
			assert_string_equal(name, rows[i].want);
	}
}

static void machines_by_tap(void **state)
{
	char name[FL_NAME_MAX];

	(void)state;
	assert_true(fl_name_of_tap(root, "vnet3", name));
	assert_string_equal(name, "vm1");
	assert_true(fl_name_of_tap(root, "vnet33", name));
	assert_string_equal(name, "vm2");
	assert_false(fl_name_of_tap(root, "vnet", name));
	assert_false(fl_name_of_tap("/nonexistent", "vnet3", name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(containers_by_cgroup), cmocka_unit_test(machines_by_tap)};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
