/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/metered.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "flow/decode_fast.h"

#define BATCH 128     /* packets read, decoded and added in turn; their observations stay in the first caches */
#define GRACE_MS 2000 /* a capture's packets are hardly ever further out of order */
#define MEMORY_UNKNOWN (UINT64_C(1) << 30) /* when the system does not say how much it has */

struct fl_metered {
	struct fl_metered_conf conf;
	struct fl_fragments *fragments;
	struct fl_meter *meter;
	struct fl_obs batch[BATCH];
	struct fl_pcap_packet packet[BATCH];
	size_t n;
	uint64_t window_start_ns, window_ns; /* of the last packet */
	uint32_t window;
	struct fl_ledger ledger;
};

void fl_metered_free(struct fl_metered **m)
{
	if (!*m)
		return;
	fl_meter_free(&(*m)->meter);
	fl_fragments_free(&(*m)->fragments);
	free(*m);
	*m = NULL;
}

uint64_t fl_metered_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages / 2 * (uint64_t)size : MEMORY_UNKNOWN;
}

struct fl_ledger *fl_metered_ledger(struct fl_metered *m)
{
	struct fl_ledger metered;

	fl_meter_ledger(m->meter, &metered);
	m->ledger.lost[FL_LOSS_TABLE_FULL] = metered.lost[FL_LOSS_TABLE_FULL];
	return &m->ledger;
}

static int on_window(void *ctx, uint32_t window, const struct fl_table *flows, bool lossy)
{
	struct fl_metered *m = ctx;

	return m->conf.window(m->conf.ctx, (int64_t)window * m->conf.interval_s, flows, lossy);
}

/* The window of a time. Neighbours are nearly always in the same one. */
static void find_window(struct fl_metered *m, uint64_t time_ns)
{
	uint64_t number = time_ns / m->window_ns;

	m->window = (uint32_t)FL_MIN(number, (uint64_t)UINT32_MAX);
	m->window_start_ns = number * m->window_ns;
}

int fl_metered_new(struct fl_metered **ret, const struct fl_metered_conf *conf)
{
	FL_CLEANUP(fl_metered_free) struct fl_metered *m = calloc(1, sizeof *m);
	struct fl_meter_conf mc = {
	    .interval_s = conf->interval_s,
	    .memory_limit = conf->memory,
	    .seed = fl_random_seed(),
	    .lateness = 1,
	    .grace_ms = GRACE_MS,
	    .on_window = on_window,
	    .ctx = m,
	};
	int r;

	if (!m)
		return -ENOMEM;
	m->conf = *conf;
	m->window_ns = conf->interval_s * FL_NS_PER_S;
	find_window(m, 0);
	r = fl_fragments_new(&m->fragments, FL_FRAGMENT_CAPACITY, FL_FRAGMENT_TIMEOUT_NS, mc.seed);
	r = r ? r : fl_meter_new(&m->meter, &mc);
	if (r)
		return r;
	*ret = m;
	m = NULL;
	return 0;
}

static int drain(struct fl_metered *m)
{
	int r = fl_meter_add(m->meter, m->batch, m->n);

	m->n = 0;
	return r;
}

/* false: there is no packet to meter; the ledger knows why. */
static bool decode(struct fl_metered *m, const struct fl_pcap_packet *in, struct fl_obs *o, int16_t *ret_icmp_type)
{
	struct fl_frame_meta meta = {.wire_len = in->wire_len, .time_ns = in->time_ns};
	struct fl_packet p;

	switch (fl_decode(in->link, in->data, in->caplen, &meta, m->conf.inner, m->fragments, &p)) {
	case FL_DECODED_NOT_IP:
		m->ledger.not_ip.packets++;
		m->ledger.not_ip.bytes += in->wire_len;
		return false;
	case FL_DECODED_TRUNCATED:
		m->ledger.seen.packets++;
		m->ledger.seen.bytes += p.bytes;
		m->ledger.lost[FL_LOSS_TRUNCATED].packets++;
		m->ledger.lost[FL_LOSS_TRUNCATED].bytes += p.bytes;
		return false;
	default:
		break;
	}
	o->key = p.key;
	o->bytes = p.bytes;
	o->packets = p.packets;
	o->tcp = p.tcp;
	*ret_icmp_type = p.icmp_type;
	return true;
}

static inline int add_packet(struct fl_metered *m, const struct fl_pcap_packet *in)
{
	struct fl_obs *o = &m->batch[m->n];
	int16_t icmp_type = -1;
	bool fast = in->link == FL_LINK_ETHERNET && !m->conf.inner;

	if (fl_unlikely(!(fast && fl_decode_fast(in->data, in->caplen, o, &icmp_type)) &&
			!decode(m, in, o, &icmp_type)))
		return 0;
	if (fl_unlikely(in->time_ns - m->window_start_ns >= m->window_ns))
		find_window(m, in->time_ns);
	o->window = m->window;
	o->first_ms = o->last_ms = (uint32_t)((in->time_ns - m->window_start_ns) / 1000000);
	m->ledger.seen.packets += o->packets;
	m->ledger.seen.bytes += o->bytes;
	if (m->conf.packet && !m->conf.packet(m->conf.ctx, o, in, icmp_type))
		return 0;
	return ++m->n == BATCH ? drain(m) : 0;
}

int fl_metered_read(struct fl_metered *m, struct fl_pcap *pcap, bool *ret_damaged)
{
	size_t n = 0;
	int more = fl_pcap_next_batch(pcap, m->packet, BATCH, &n), r = 0;

	*ret_damaged = false;
	m->ledger.skbs += n;
	for (size_t i = 0; !r && i < n; i++) {
		if (fl_unlikely(m->packet[i].link == FL_LINK_UNSUPPORTED) && m->conf.unknown_link)
			m->conf.unknown_link(m->conf.ctx, m->packet[i].link_type);
		r = add_packet(m, &m->packet[i]);
	}
	if (r)
		return r;
	*ret_damaged = more < 0;
	return more;
}

int fl_metered_finish(struct fl_metered *m)
{
	int r = drain(m);

	return r ? r : fl_meter_finish(m->meter);
}
