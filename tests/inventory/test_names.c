/* SPDX-License-Identifier: Apache-2.0 */
/* Who an interface belongs to, from the files of container runtimes, CNI and libvirt: a fixture directory stands for /.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "inventory/names.h"

#define ID(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define WEB ID("0a")
#define DB ID("aa")
#define POD ID("bb")
#define CUT ID("cc")
#define MOVED ID("dd")
#define ROOTLESS ID("ee")
#define CRIO ID("1f")
#define SHIM ID("2f")
#define NERD ID("3f")
#define TRANSIENT ID("4f")

static const struct {
	const char *dir, *file, *text;
} files[] = {
    {"proc/1", "cgroup", "0::/init.scope\n"},
    {"proc/2", "cgroup", "0::/system.slice/docker-" WEB ".scope\n"},
    {"proc/3", "cgroup", "12:cpu:/machine.slice/libpod-" DB ".scope/container\n0::/\n"},
    {"proc/4", "cgroup", "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-" POD ".scope\n"},
    {"proc/5", "cgroup", "0::/docker/" CUT "\n"},
    {"proc/6", "cgroup", "0::/x/" WEB "0\n"}, /* 65 digits are no id */
    {"proc/8", "cgroup", "0::/docker/" MOVED "\n"},
    {"proc/9", "cgroup", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ROOTLESS ".scope\n"},
    {"proc/10", "cgroup", "0::/kubepods.slice/crio-" CRIO ".scope\n"},
    {"proc/11", "cgroup", "0::/kubepods/besteffort/pod1-2/" SHIM "\n"},
    {"proc/12", "cgroup", "1:name=systemd:/machine.slice/machine-my\\x2dnspawn.scope\n0::/\n"},
    {"proc/13", "cgroup", "0::/machine.slice/machine-qemu\\x2d7\\x2dbuild\\x2dbox.scope/emulator\n"},
    {"proc/14", "cgroup", "0::/lxc.payload.mail/system.slice/postfix.service\n"},
    {"proc/15", "cgroup", "0::/default/" NERD "\n"},
    {"proc/16", "cgroup", "0::/default/plain\n"},
    {"proc/17", "cgroup", "0::/libpod_parent/libpod-" TRANSIENT "\n"},
    {"proc/18", "cgroup", "0::/default/..\n"},
    {"proc/19", "cgroup", "0::/system.slice/machine-.scope\n"},
    {"proc/20", "cgroup", "0::/docker/" WEB "/docker/" CUT "\n"}, /* a container in a container */
    {"etc", "passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n"},
    {"etc/docker", "daemon.json", "{\"data-root\":\"/srv/docker\"}"},
    {"etc/containers", "storage.conf", "[storage]\ndriver = \"vfs\"\n  graphroot = \"/srv/pods\"\n"},
    {"var/lib/docker/containers/" WEB, "config.v2.json",
     "{\"ID\":\"" WEB "\",\"Name\":\"/web\",\"Config\":{\"Image\":\"nginx\",\"Labels\":{\"Team\":\"blue\",\"Line\":"
     "\"a\\u0001b\\u007fc\",\"Team\":\"blue\",\"com.docker.compose.project\":\"shop\",\"n\":5}}}"},
    {"var/lib/docker/containers/" CUT, "config.v2.json", "{\"Name\":"}, /* cut off: the short id remains */
    {"srv/docker/containers/" MOVED, "config.v2.json", "{\"Name\":\"/moved\",\"Config\":{\"Labels\":null}}"},
    {"var/lib/docker/containers/" SHIM, "config.v2.json",
     "{\"Name\":\"/k8s_POD_x\",\"Config\":{\"Labels\":{\"io.kubernetes.pod.name\":\"api-0\",\"app\":\"api\","
     "\"io.kubernetes.pod.namespace\":\"prod\",\"io.kubernetes.docker.type\":\"podsandbox\"}}}"},
    {"var/lib/containers/storage/overlay-containers", "containers.json",
     "[{\"id\":\"" WEB "\",\"names\":[\"no\"]},{\"id\":\"" DB "\",\"names\":[\"db\\u001b[31m\"]},{\"id\":\"" CRIO
     "\",\"names\":[\"k8s_POD_dns_kube-system_1_0\"]}]"},
    {"var/lib/containers/storage/overlay-containers/" DB "/userdata", "config.json",
     "{\"hostname\":\"aaaa\",\"annotations\":{\"io.container.manager\":\"libpod\",\"Team\":\"red\"}}"},
    {"run/containers/storage/overlay-containers/" CRIO "/userdata", "config.json",
     "{\"annotations\":{\"io.kubernetes.cri-o.KubeName\":\"dns\",\"io.kubernetes.cri-o.Namespace\":\"kube-system\","
     "\"io.kubernetes.cri-o.ContainerType\":\"sandbox\",\"io.kubernetes.cri-o.Labels\":\"{\\\"k8s-app\\\":\\\"kube-"
     "dns\\\"}\","
     "\"io.kubernetes.cri-o.MountPoint\":\"/x\",\"note\":\"n\"}}"},
    {"home/ann/.local/share/containers/storage/overlay-containers", "containers.json",
     "[{\"id\":\"" ROOTLESS "\",\"names\":[\"anns\"]}]"},
    {"srv/pods/vfs-containers", "volatile-containers.json", "[{\"id\":\"" TRANSIENT "\",\"names\":[\"brief\"]}]"},
    {"run/containerd/io.containerd.runtime.v2.task/k8s.io/" POD, "config.json",
     "{\"hostname\":\"h\",\"annotations\":{\"io.kubernetes.cri.sandbox-name\":\"nginx-7d\","
     "\"io.kubernetes.cri.sandbox-namespace\":\"shop\",\"io.kubernetes.cri.container-type\":\"container\","
     "\"io.kubernetes.cri.container-name\":\"nginx\",\"io.kubernetes.cri.sandbox-uid\":\"u-1\"}}"},
    {"run/containerd/io.containerd.runtime.v2.task/default/" NERD, "config.json",
     "{\"hostname\":\"3f3f\",\"annotations\":{\"nerdctl/name\":\"cache\",\"Team\":\"green\"}}"},
    {"run/containerd/io.containerd.runtime.v2.task/default/plain", "config.json", "{\"hostname\":\"plainhost\"}"},
    {"run/libvirt/qemu", "vm1.xml",
     "<domstatus state='running'><domain type='kvm' id='1'>\n<name>vm1</name><title>Front &amp; back</title>"
     "<metadata><nova:instance xmlns:nova='http://x'><nova:owner><nova:project uuid='1'>demo</nova:project>"
     "</nova:owner><nova:flavor name='m1'/></nova:instance></metadata><!-- <name>no</name> -->"
     "<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/><target dev='vnet3'/></interface></devices>"
     "</domain></domstatus>"},
    {"run/libvirt/qemu", "vm2.xml",
     "<domstatus><domain><name>vm2</name><devices><interface><mac address='52:54:00:00:00:02'/><target "
     "dev=\"vnet33\"/></interface></devices></domain></domstatus>"},
    {"run/libvirt/qemu", "vm3.pid", "77"},
    {"run/libvirt/lxc", "box.xml",
     "<domstatus><domain><name>box</name><devices><interface><target "
     "dev='vnet9'/></interface></devices></domain></domstatus>"},
    {"etc/libvirt/qemu", "vm4.xml",
     "<domain><name>vm4</name><description>old one</description><devices><interface><mac address='52:54:00:ab:cd:ef'/>"
     "</interface></devices></domain>"},
    {"var/lib/cni/results", "cbr0-" POD "-eth0",
     "{\"kind\":\"cniCacheV1\",\"containerId\":\"" POD "\",\"ifName\":\"eth0\",\"networkName\":\"cbr0\",\"cniArgs\":"
     "[[\"IgnoreUnknown\",\"1\"],[\"K8S_POD_NAMESPACE\",\"shop\"],[\"K8S_POD_NAME\",\"cart-5\"],[\"K8S_POD_UID\",\"u-"
     "2\"]],"
     "\"result\":{\"interfaces\":[{\"name\":\"cni0\"},{\"name\":\"veth5\",\"mac\":\"aa:bb:cc:dd:ee:ff\"},{\"name\":"
     "\"eth0\","
     "\"sandbox\":\"/var/run/netns/cni-1\"}],\"ips\":[{\"interface\":2,\"address\":\"10.1.0.5/24\"}]}}"},
    {"var/lib/cni/results", "bridge-" WEB "-eth0",
     "{\"kind\":\"cniCacheV1\",\"containerId\":\"" WEB "\",\"result\":{\"interfaces\":[{\"name\":\"veth6\"}]}}"},
    {"var/lib/cni/networks/cbr0", "10.1.0.5", POD "\neth0"},
    {"var/lib/cni/networks/cbr0", "10.1.0.6", "../../etc\neth0"},
};

static char root[64];

static int make_root(void **state)
{
	char path[512];

	(void)state;
	snprintf(root, sizeof root, "/tmp/fl-names-XXXXXX");
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", root, files[i].dir);
		assert_int_equal(fl_mkdirs(AT_FDCWD, path, 0700), 0);
		snprintf(path, sizeof path, "%s/%s/%s", root, files[i].dir, files[i].file);
		assert_int_equal(
		    fl_file_write_atomic(AT_FDCWD, path, files[i].text, strlen(files[i].text), 0600, false), 0);
	}
	/* What a user may put into our way: a pipe would never end, a link leads elsewhere. */
	snprintf(path, sizeof path, "%s/home/ann/.local/share/docker/containers/" ROOTLESS, root);
	assert_int_equal(fl_mkdirs(AT_FDCWD, path, 0700), 0);
	strcat(path, "/config.v2.json");
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof path, "%s/proc/7", root);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/cgroup");
	assert_int_equal(symlink("../2/cgroup", path), 0);
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

static const char *label(const struct fl_who *who, const char *key)
{
	return fl_label_value(&(struct fl_labels){who->labels.text, who->labels.n}, key);
}

static bool of_process(int pid, struct fl_who *who)
{
	struct fl_cgroup c;

	memset(who, 0, sizeof *who);
	return fl_cgroup_of_process(root, pid, &c) && fl_who_of_cgroup(root, &c, who);
}

static void containers_by_cgroup(void **state)
{
	static const struct {
		int pid;
		const char *want; /* NULL: no container */
		const char *key, *value;
		bool sandbox;
		const char *kind;
	} rows[] = {
	    {1, NULL, NULL, NULL, false, ""},
	    {2, "web", "Team", "blue", false, "container"},
	    {2, "web", "Line", "abc", false, "container"},
	    {2, "web", "n", NULL, false, "container"},
	    {3, "db[31m", "Team", "red", false, "container"},
	    {4, "shop/nginx-7d", "io.kubernetes.pod.namespace", "shop", false, "container"},
	    {4, "shop/nginx-7d", "io.kubernetes.pod.uid", "u-1", false, "container"},
	    {4, "shop/nginx-7d", "io.kubernetes.container.name", "nginx", false, "container"},
	    {5, "cccccccccccc", "Team", NULL, false, "container"},
	    {6, NULL, NULL, NULL, false, ""},
	    {7, NULL, NULL, NULL, false, ""},
	    {8, "moved", NULL, NULL, false, "container"},
	    {9, "anns", NULL, NULL, false, "container"},
	    {10, "kube-system/dns", "k8s-app", "kube-dns", true, "container"},
	    {10, "kube-system/dns", "note", "n", true, "container"},
	    {10, "kube-system/dns", "io.kubernetes.cri-o.MountPoint", NULL, true, "container"},
	    {11, "prod/api-0", "app", "api", true, "container"},
	    {12, "my-nspawn", NULL, NULL, false, "container"},
	    {13, "build-box", NULL, NULL, false, "vm"},
	    {14, "mail", NULL, NULL, false, "container"},
	    {15, "cache", "Team", "green", false, "container"},
	    {16, "plainhost", NULL, NULL, false, "container"},
	    {17, "brief", NULL, NULL, false, "container"},
	    {18, NULL, NULL, NULL, false, ""},
	    {19, NULL, NULL, NULL, false, ""},
	    {20, "web", NULL, NULL, false, "container"},
	    {99, NULL, NULL, NULL, false, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fl_who who;
		bool found = of_process(rows[i].pid, &who);

		if (found != (rows[i].want != NULL))
			fail_msg("process %d", rows[i].pid);
		if (!found)
			continue;
		assert_string_equal(who.name, rows[i].want);
		assert_string_equal(who.kind, rows[i].kind);
		assert_int_equal(who.sandbox, rows[i].sandbox);
		if (rows[i].key && rows[i].value)
			assert_string_equal(label(&who, rows[i].key), rows[i].value);
		else if (rows[i].key)
			assert_null(label(&who, rows[i].key));
	}
}

static void owners_of_devices(void **state)
{
	static const struct {
		const char *device;
		uint8_t mac[6];
		const char *want, *kind, *key, *value;
	} rows[] = {
	    {"vnet3", {0xfe, 0x54, 0, 0, 0, 9}, "vm1", "vm", "title", "Front & back"},
	    {"vnet3", {0xfe, 0x54, 0, 0, 0, 9}, "vm1", "vm", "nova:project", "demo"},
	    {"vnet3", {0xfe, 0x54, 0, 0, 0, 9}, "vm1", "vm", "nova:flavor", NULL},
	    {"vnet33", {0}, "vm2", "vm", NULL, NULL},
	    {"vnet", {0}, NULL, "", NULL, NULL},
	    {"vnet9", {0}, "box", "container", NULL, NULL},
	    {"tap7", {0xfe, 0x54, 0, 0xab, 0xcd, 0xef}, "vm4", "vm", "description", "old one"},
	    {"veth5", {0}, "shop/cart-5", "container", "io.kubernetes.pod.uid", "u-2"},
	    {"veth6", {0}, "web", "container", "Team", "blue"},
	    {"eth0", {0}, NULL, "", NULL, NULL}, /* the name inside the sandbox is not the host's */
	    {"veth", {0}, NULL, "", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fl_who who;
		bool found = fl_who_of_device(root, rows[i].device, rows[i].mac, &who);

		if (found != (rows[i].want != NULL))
			fail_msg("%s", rows[i].device);
		if (!found)
			continue;
		assert_string_equal(who.name, rows[i].want);
		assert_string_equal(who.kind, rows[i].kind);
		if (rows[i].key && rows[i].value)
			assert_string_equal(label(&who, rows[i].key), rows[i].value);
		else if (rows[i].key)
			assert_null(label(&who, rows[i].key));
	}
	assert_false(fl_who_of_device("/nonexistent", "vnet3", rows[0].mac, &(struct fl_who){0}));
}

static void owners_of_addresses(void **state)
{
	struct fl_addr a = fl_addr_v4((const uint8_t[]){10, 1, 0, 5});
	struct fl_who who;

	(void)state;
	assert_true(fl_who_of_address(root, &a, &who));
	assert_string_equal(who.name, "shop/nginx-7d");
	a.b[15] = 6; /* its file names no container */
	assert_false(fl_who_of_address(root, &a, &who));
	a.b[15] = 7;
	assert_false(fl_who_of_address(root, &a, &who));
}

static void a_change_is_seen(void **state)
{
	char path[512];
	struct fl_who who;
	uint64_t before;

	(void)state;
	assert_true(of_process(8, &who));
	before = who.stamp;
	assert_int_equal(fl_who_stamp(&who), before);
	snprintf(path, sizeof path, "%s/srv/docker/containers/" MOVED "/config.v2.json", root);
	assert_int_equal(fl_file_write_atomic(AT_FDCWD, path, "{\"Name\":\"/b\"}", 13, 0600, false), 0);
	assert_int_not_equal(fl_who_stamp(&who), before);
	assert_true(of_process(8, &who));
	assert_string_equal(who.name, "b");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fl_who_stamp(&who), 0);
}

/* Labels of any size and number stay within their room, and what is cut is cut at a character. */
static void labels_have_a_ceiling(void **state)
{
	struct fl_label_buf l = {.n = 0};
	const struct fl_labels view = {l.text, 0};
	char key[200], value[2000], name[FL_NAME_MAX];
	size_t at = 0, n = 0;
	const char *k, *v;

	(void)state;
	memset(value, 0, sizeof value);
	for (size_t i = 0; i < 600; i++)
		memcpy(value + 3 * i, "\xe2\x82\xac", 3); /* the euro sign */
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "key-%u", i);
		fl_label_add(&l, key, value);
	}
	while (fl_label_next(&(struct fl_labels){l.text, l.n}, &at, &k, &v)) {
		assert_int_equal(strlen(v), FL_LABEL_VALUE_MAX / 3 * 3);
		n++;
	}
	assert_in_range(n, 10, 20);
	assert_in_range(l.n, 1, FL_LABELS_BYTES);
	assert_null(fl_label_value(&view, "key-0"));
	memset(key, 'k', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	l.n = 0;
	fl_label_add(&l, key, "too long a key");
	fl_label_add(&l, "", "none");
	assert_int_equal(l.n, 0);
	fl_label_add(&l, "bad", "a\xff\xc3(b");
	assert_string_equal(fl_label_value(&(struct fl_labels){l.text, l.n}, "bad"), "a(b");
	fl_name_copy(value, strlen(value), name);
	assert_int_equal(strlen(name), 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(containers_by_cgroup),  cmocka_unit_test(owners_of_devices),
	    cmocka_unit_test(owners_of_addresses),   cmocka_unit_test(a_change_is_seen),
	    cmocka_unit_test(labels_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
