/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/meter_inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

struct fl_meter_inventory {
	char store[64]; /* "/proc/self/fd/N": the store, whoever owns the directories above it */
	const char *dir;
	char dir_fd[64]; /* "/proc/self/fd/N" of dir, opened while we had the right to come there */
	char path[4096], loading_path[4096], said[512];
	uint64_t applied, seen; /* what the directory looked like: when it was read, at the last look */
	struct fl_network *network, *previous;
	struct fl_policy *policy, *previous_policy; /* of these, once they were asked for */
	int64_t since;                              /* Unix time the network came, 0: with the meter */
	/* the thread */
	pthread_t thread;
	bool loading;
	atomic_bool done;
	struct fl_network *loaded;
	char trouble[512];
};

/* ---- looking ---- */

static int find(struct fl_meter_inventory *i, char path[4096])
{
	if (!i->dir)
		return fl_inventory_at(i->store, FL_INVENTORY_NOW, path, 4096);
	/* by its name when that can be reached: another directory may take its place */
	snprintf(path, 4096, "%s", access(i->dir, R_OK | X_OK) && *i->dir_fd ? i->dir_fd : i->dir);
	return 0;
}

/* Names, sizes and times of all files; 0: nothing there. The order of the directory does not matter. */
static uint64_t look(const char *path)
{
	DIR *dir = opendir(path);
	uint64_t sum = fl_hash_bytes(path, strlen(path), 1);
	struct dirent *d;

	if (!dir)
		return 0;
	while ((d = readdir(dir))) {
		struct stat st;
		struct {
			uint64_t name, ino;
			int64_t size, s, ns;
		} row;

		if (d->d_name[0] == '.' || fstatat(dirfd(dir), d->d_name, &st, 0))
			continue;
		row.name = fl_hash_bytes(d->d_name, strlen(d->d_name), 1);
		row.ino = st.st_ino;
		row.size = st.st_size;
		row.s = st.st_mtim.tv_sec;
		row.ns = st.st_mtim.tv_nsec;
		sum += fl_hash_bytes(&row, sizeof row, 1);
	}
	closedir(dir);
	return sum ? sum : 1;
}

/* ---- reading ---- */

static const char *name_of(const struct fl_meter_inventory *i, const char *path)
{
	return i->dir ? i->dir : strrchr(path, '/') + 1;
}

static void say(const struct fl_meter_inventory *i, const char *path, const struct fl_network *net)
{
	size_t enis, problems;

	fl_network_enis(net, &enis);
	fl_network_problems(net, &problems);
	if (problems)
		fl_warn("inventory %s: %zu interfaces; %zu problems, which flowlog inventory import lists",
			name_of(i, path), enis, problems);
	else
		fl_info("inventory %s: %zu interfaces", name_of(i, path), enis);
}

/* The same trouble each second is one line. */
static void complain(struct fl_meter_inventory *i, const char *text)
{
	if (!strcmp(text, i->said))
		return;
	snprintf(i->said, sizeof i->said, "%s", text);
	if (*text)
		fl_warn("%s; the interfaces keep the identity they have", text);
}

static void complain_of_rules(struct fl_meter_inventory *i, const char *text)
{
	if (!strcmp(text, i->said))
		return;
	snprintf(i->said, sizeof i->said, "%s", text);
	fl_warn("%s; its rules are not judged", text);
}

static void take(struct fl_meter_inventory *i, struct fl_network *net, const char *path)
{
	fl_policy_free(&i->previous_policy);
	fl_network_free(&i->previous);
	i->previous = i->network;
	i->previous_policy = i->policy;
	i->policy = NULL;
	i->network = net;
	snprintf(i->path, sizeof i->path, "%s", path);
	complain(i, "");
	say(i, path, net);
}

static void *load(void *ctx)
{
	struct fl_meter_inventory *i = ctx;
	int r = fl_network_read(&i->loaded, i->loading_path);

	snprintf(i->trouble, sizeof i->trouble, "%s", r ? fl_error_text(r) : "");
	atomic_store(&i->done, true);
	return NULL;
}

bool fl_meter_inventory_poll(struct fl_meter_inventory *i)
{
	char path[4096];
	uint64_t now;

	if (i->loading) {
		if (!atomic_load(&i->done))
			return false;
		pthread_join(i->thread, NULL);
		i->loading = false;
		if (!i->loaded) {
			complain(i, i->trouble);
			return false;
		}
		take(i, i->loaded, i->loading_path);
		i->since = (int64_t)(fl_now_ns(&fl_clock_system) / FL_NS_PER_S);
		i->loaded = NULL;
		return true;
	}
	if (find(i, path))
		return false; /* none, or gone: what was read stays valid */
	now = look(path);
	/* Files are written one after another: it has settled when two looks agree. */
	if (!now || now == i->applied || now != i->seen) {
		i->seen = now;
		return false;
	}
	i->applied = now;
	snprintf(i->loading_path, sizeof i->loading_path, "%s", path);
	atomic_store(&i->done, false);
	i->loading = !pthread_create(&i->thread, NULL, load, i);
	if (!i->loading)
		i->applied = 0; /* no thread to be had now: the next look tries again */
	return false;
}

int fl_meter_inventory_new(struct fl_meter_inventory **ret, int statefd, const char *dir, int dirfd)
{
	struct fl_meter_inventory *i = calloc(1, sizeof *i);
	struct fl_network *net;
	char path[4096];
	int r;

	*ret = i;
	if (!i)
		return -ENOMEM;
	snprintf(i->store, sizeof i->store, "/proc/self/fd/%d", statefd);
	i->dir = dir && *dir ? dir : NULL;
	if (dirfd >= 0)
		snprintf(i->dir_fd, sizeof i->dir_fd, "/proc/self/fd/%d", dirfd);
	if (find(i, path))
		return 0;
	i->applied = i->seen = look(path);
	r = fl_network_read(&net, path);
	if (r)
		complain(i, fl_error_text(r));
	else
		take(i, net, path);
	return 0;
}

void fl_meter_inventory_free(struct fl_meter_inventory **i)
{
	if (!*i)
		return;
	if ((*i)->loading)
		pthread_join((*i)->thread, NULL);
	fl_policy_free(&(*i)->policy);
	fl_policy_free(&(*i)->previous_policy);
	fl_network_free(&(*i)->loaded);
	fl_network_free(&(*i)->network);
	fl_network_free(&(*i)->previous);
	free(*i);
	*i = NULL;
}

const struct fl_network *fl_meter_inventory_network(const struct fl_meter_inventory *i)
{
	return i->network;
}

const char *fl_meter_inventory_name(const struct fl_meter_inventory *i)
{
	return i->network ? name_of(i, i->path) : "";
}

/* ---- binding ---- */

void fl_meter_inventory_bind(const struct fl_meter_inventory *i, struct fl_interface *list, size_t n,
			     const struct fl_net_eni **ret_enis)
{
	bool *taken FL_CLEANUP(fl_freep) = NULL;

	memset(ret_enis, 0, n * sizeof(*ret_enis));
	if (!i->network)
		return;
	taken = calloc(fl_network_index_end(i->network) + 1, sizeof *taken);
	for (size_t k = 0; taken && k < n; k++) {
		struct fl_eni bound = list[k].eni;
		const struct fl_net_eni *e;

		if (list[k].skip != FL_SKIP_NONE || !fl_network_bind(i->network, &bound, &e, NULL) || taken[e->index])
			continue;
		taken[e->index] = true;
		list[k].eni = bound;
		ret_enis[k] = e;
	}
}

static int compile(struct fl_policy **p, const struct fl_network *net, const struct fl_net_eni *e,
		   const struct fl_filter **ret)
{
	int r = *p ? 0 : fl_policy_of(p, net);

	return r ? r : fl_policy_filter(*p, e, ret);
}

const struct fl_filter *fl_meter_inventory_filter(struct fl_meter_inventory *i, const struct fl_eni *eni,
						  int64_t window_start, bool *ret_enforced)
{
	const bool before = i->since && window_start <= i->since;
	const struct fl_network *net = before ? i->previous : i->network;
	struct fl_eni bound = *eni;
	const struct fl_net_eni *e;
	const struct fl_filter *filter = NULL;
	int r;

	*ret_enforced = false;
	if (!net || !fl_network_bind(net, &bound, &e, ret_enforced) ||
	    strcmp(bound.interface_id, eni->interface_id) != 0)
		return NULL;
	r = compile(before ? &i->previous_policy : &i->policy, net, e, &filter);
	if (r)
		complain_of_rules(i, fl_error_text(r));
	return r ? NULL : filter;
}

/* The n-th address of the first IPv4 network; all zero when there is none. */
static struct fl_addr address_of(const struct fl_cidrs *c, uint8_t n)
{
	for (size_t i = 0; c && i < c->n; i++)
		if (fl_cidr_is_v4(&c->cidr[i]) && c->cidr[i].bits <= 126) {
			struct fl_addr a = c->cidr[i].base;

			a.b[15] |= n;
			return a;
		}
	return (struct fl_addr){0};
}

struct fl_exclusions fl_meter_inventory_exclusions(const struct fl_net_eni *e)
{
	struct fl_exclusions x = {0};

	(void)fl_exclusions_parse("aws", &x.on);
	x.dns = address_of(e->vpc ? &e->vpc->cidrs : NULL, 2);
	x.router = address_of(e->subnet ? &e->subnet->cidrs : NULL, 1);
	return x;
}
