/* SPDX-License-Identifier: Apache-2.0 */
/* A capture file of any bytes: mapped, and through a pipe in batches, it must give the same packets and end the same
 * way. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "capture/capture.h"

#define INPUT_MAX (32u << 10) /* fits a pipe without a reader */
#define PACKETS_MAX 100000
#define BATCH 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct result {
	int end; /* what ended the reading; open failures too */
	size_t packets;
	uint64_t sum;
};

static void add(struct result *r, const struct fl_pcap_packet *p)
{
	uint64_t facts[] = {p->caplen, p->wire_len, p->time_ns, p->link, p->iface, p->direction, p->link_type};

	r->packets++;
	r->sum = r->sum * 31 + fl_hash_bytes(facts, sizeof facts, 1) + fl_hash_bytes(p->data, p->caplen, 2);
}

static struct result read_one_by_one(const char *path)
{
	struct fl_pcap *pcap = NULL;
	struct fl_pcap_packet p;
	struct result r = {.end = fl_pcap_open(&pcap, path)};

	while (pcap && r.packets < PACKETS_MAX && (r.end = fl_pcap_next(pcap, &p)) > 0)
		add(&r, &p);
	fl_pcap_close(&pcap);
	return r;
}

static struct result read_batches(const char *path)
{
	struct fl_pcap *pcap = NULL;
	struct fl_pcap_packet p[BATCH];
	struct result r = {.end = fl_pcap_open(&pcap, path)};
	size_t n;

	while (pcap && r.packets < PACKETS_MAX) {
		r.end = fl_pcap_next_batch(pcap, p, BATCH, &n);
		for (size_t i = 0; i < n; i++)
			add(&r, &p[i]);
		if (r.end <= 0)
			break;
	}
	fl_pcap_close(&pcap);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct result mapped, piped;
	char path[64];
	int memory, pipe_ends[2];

	if (n > INPUT_MAX)
		return 0;
	memory = memfd_create("fuzz", MFD_CLOEXEC);
	if (memory < 0 || write(memory, data, n) != (ssize_t)n || pipe2(pipe_ends, O_CLOEXEC))
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
	mapped = read_one_by_one(path);
	if (n && write(pipe_ends[1], data, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", pipe_ends[0]);
	/* The reader opens the pipe anew while this end is open, so it cannot block; then there is no writer left. */
	{
		int again = dup(pipe_ends[0]);

		close(pipe_ends[1]);
		piped = read_batches(path);
		close(again);
	}
	close(pipe_ends[0]);
	close(memory);
	if (mapped.packets != piped.packets || mapped.sum != piped.sum || mapped.end != piped.end)
		abort();
	return 0;
}
