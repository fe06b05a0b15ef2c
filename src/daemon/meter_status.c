/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/meter_status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "bpf/shared.h"
#include "record/record.h"

#define STATUS_MAX (16u << 20)
#define OPEN_FLOWS_MAX 10000 /* in status/open */
#define TOP_MAX 20

struct open_flows {
	struct fl_flow *flow;
	size_t n;
	struct fl_count slot[FL_K_SLOTS];
};

static int by_bytes(const void *a, const void *b)
{
	const struct fl_flow *x = a, *y = b;

	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : memcmp(&x->key, &y->key, sizeof x->key);
}

static void collect(struct open_flows *o, const struct fl_flow *f)
{
	if (f->key.iface < FL_K_SLOTS) {
		o->slot[f->key.iface].packets += f->packets;
		o->slot[f->key.iface].bytes += f->bytes;
	}
	/* Room for twice as many as are kept: the smaller half goes whenever it is full. */
	if (o->n == 2 * OPEN_FLOWS_MAX) {
		qsort(o->flow, o->n, sizeof *o->flow, by_bytes);
		o->n = OPEN_FLOWS_MAX;
	}
	o->flow[o->n++] = *f;
}

static int by_interface(const void *a, const void *b)
{
	const struct fl_flow *x = a, *y = b;

	if (x->key.iface != y->key.iface)
		return x->key.iface < y->key.iface ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof x->key);
}

static void json_ledger(struct fl_json *j, const char *key, const struct fl_ledger *l)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "skbs", l->skbs);
	fl_ledger_json(j, l);
	fl_count_json(j, "not_ip", &l->not_ip);
	fl_json_key(j, "verdicts");
	fl_json_object(j);
	for (size_t i = 0; i < FL_VERDICT_N; i++)
		fl_count_json(j, fl_verdict_names[i], &l->verdict[i]);
	fl_json_end_object(j);
	fl_json_end_object(j);
}

/* Whose names the interfaces carry; nothing without an inventory. */
static void json_inventory(struct fl_json *j, const struct fl_meter_status *s)
{
	const struct fl_network *net = fl_meter_inventory_network(s->inventory);
	size_t n;

	if (!net)
		return;
	fl_json_key(j, "inventory");
	fl_json_object(j);
	fl_json_kstr(j, "name", fl_meter_inventory_name(s->inventory));
	fl_network_enis(net, &n);
	fl_json_ku64(j, "interfaces", n);
	fl_json_ku64(j, "bound", s->n_bound);
	fl_network_problems(net, &n);
	fl_json_ku64(j, "problems", n);
	fl_json_end_object(j);
}

/* Where verdicts come from, and what else happened to packets behind the interfaces. */
static void json_verdicts(struct fl_json *j, const struct fl_meter_status *s)
{
	struct fl_live_verdicts v;
	bool observed = s->run->ops->verdicts(s->live, &v);

	fl_json_key(j, "verdicts");
	fl_json_object(j);
	fl_json_kstr(j, "source", observed ? "kernel" : "none");
	fl_json_kstr(j, "reason", observed ? "" : s->run->no_verdicts);
	fl_json_ku64(j, "untold", v.lost);
	fl_json_key(j, "other_drops");
	fl_json_object(j);
	for (size_t i = 0; i < v.n_causes; i++)
		fl_json_ku64(j, v.cause[i].name, v.cause[i].buffers);
	fl_json_end_object(j);
	fl_json_end_object(j);
}

static int slot_of(const struct fl_engine *e, const struct fl_eni *eni)
{
	for (unsigned i = 0; i < FL_K_SLOTS; i++) {
		const struct fl_eni *known = fl_engine_eni(e, (uint16_t)i);

		if (known && known->ifindex == eni->ifindex && !strcmp(known->interface_id, eni->interface_id) &&
		    !strcmp(known->netns, eni->netns))
			return (int)i;
	}
	return -1;
}

static void json_system_side(struct fl_json *j, const char *key, uint64_t packets, uint64_t bytes, uint64_t dropped)
{
	fl_json_key(j, key);
	fl_json_object(j);
	fl_json_ku64(j, "packets", packets);
	fl_json_ku64(j, "bytes", bytes);
	fl_json_ku64(j, "dropped", dropped);
	fl_json_end_object(j);
}

/* What the system counted since the ledger began, in the ENI's directions. */
static void json_system(struct fl_json *j, const struct fl_meter_system *s, bool flip)
{
	const struct fl_system_counts *a = &s->begin, *b = &s->now;

	if (!a->since || !b->since || b->rx_packets < a->rx_packets || b->tx_packets < a->tx_packets)
		return;
	fl_json_key(j, "system");
	fl_json_object(j);
	fl_json_ki64(j, "since", a->since);
	json_system_side(j, flip ? "egress" : "ingress", b->rx_packets - a->rx_packets, b->rx_bytes - a->rx_bytes,
			 b->rx_dropped - a->rx_dropped);
	json_system_side(j, flip ? "ingress" : "egress", b->tx_packets - a->tx_packets, b->tx_bytes - a->tx_bytes,
			 b->tx_dropped - a->tx_dropped);
	fl_json_end_object(j);
}

static void json_interfaces(struct fl_json *j, const struct fl_meter_status *s, const struct open_flows *open)
{
	fl_json_key(j, "interfaces");
	fl_json_array(j);
	for (size_t i = 0; i < s->n_interfaces; i++) {
		const struct fl_interface *f = &s->interfaces[i];
		int slot = f->skip == FL_SKIP_NONE ? slot_of(s->engine, &f->eni) : -1;
		bool enforced = false;

		fl_json_object(j);
		fl_json_kstr(j, "eni", f->eni.interface_id);
		fl_json_kstr(j, "name", f->eni.name);
		if (*f->owner) {
			fl_json_kstr(j, "owner", f->owner);
			fl_json_kstr(j, "discovered", f->discovered_id);
		}
		fl_json_kstr(j, "kind", f->eni.kind);
		fl_json_kstr(j, "device", f->eni.device);
		fl_json_kstr(j, "netns", f->eni.netns);
		fl_json_kbool(j, "metered", slot >= 0);
		if (slot >= 0 && !fl_meter_inventory_filter(s->inventory, &f->eni, INT64_MAX, &enforced))
			enforced = false;
		fl_json_kbool(j, "enforced", enforced);
		fl_json_kstr(j, "skip", f->skip == FL_SKIP_NONE ? "" : fl_skip_reasons[f->skip]);
		if (slot >= 0) {
			fl_json_ki64(j, "slot", slot);
			fl_json_key(j, "ledger");
			fl_json_object(j);
			json_ledger(j, "ingress", fl_engine_totals(s->engine, (uint16_t)slot, FL_DIR_INGRESS));
			json_ledger(j, "egress", fl_engine_totals(s->engine, (uint16_t)slot, FL_DIR_EGRESS));
			fl_json_end_object(j);
			fl_count_json(j, "open", &open->slot[slot]);
			json_system(j, &s->system[slot], f->eni.flip);
		}
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

/* Nobody is opened by a group or a broadcast address. */
static bool to_many(const struct fl_key *k)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (k->dirfam & FL_KEY_V6)
		return k->dst.b[0] == 0xff;
	return k->dst.b[12] >> 4 == 14 || !memcmp(k->dst.b + 12, broadcast, 4);
}

static bool is_reply_to(const struct fl_flow *f, const struct fl_flow *g)
{
	const struct fl_key *a = &f->key, *b = &g->key;

	return a->iface == b->iface && a->proto == b->proto && a->sport == b->dport && a->dport == b->sport &&
	       !memcmp(&a->src, &b->dst, sizeof a->src) && !memcmp(&a->dst, &b->src, sizeof a->dst) &&
	       g->first_ms < f->first_ms;
}

/* Who opened it: the side whose first packet was a SYN without ACK; without TCP flags the higher port; without ports
 * (and with equal ones) whoever was heard first. */
static bool is_opener(const struct fl_flow *f, const struct open_flows *open)
{
	if (f->tcp & FL_TCP_SYNACK)
		return false;
	if (f->tcp & 0x02 || to_many(&f->key))
		return true;
	if (f->key.sport != f->key.dport)
		return f->key.sport > f->key.dport;
	for (size_t i = 0; i < open->n; i++)
		if (is_reply_to(f, &open->flow[i]))
			return false;
	return true;
}

static void json_top(struct fl_json *j, const struct fl_engine *e, const struct open_flows *open)
{
	static const char *const dirs[FL_DIR_N] = {"-", "ingress", "egress"};

	fl_json_key(j, "top");
	fl_json_array(j);
	for (size_t i = 0; i < open->n && i < TOP_MAX; i++) {
		const struct fl_flow *f = &open->flow[i];
		const struct fl_eni *eni = fl_engine_eni(e, f->key.iface);
		char text[FL_ADDR_TEXT_MAX];

		fl_json_object(j);
		fl_json_key(j, "src");
		fl_json_strn(j, text, (size_t)(fl_addr_print(text, &f->key.src, f->key.dirfam & FL_KEY_V6) - text));
		fl_json_key(j, "dst");
		fl_json_strn(j, text, (size_t)(fl_addr_print(text, &f->key.dst, f->key.dirfam & FL_KEY_V6) - text));
		fl_json_ku64(j, "sport", f->key.sport);
		fl_json_ku64(j, "dport", f->key.dport);
		fl_json_ku64(j, "protocol", f->key.proto);
		fl_json_kstr(j, "dir", dirs[fl_key_dir(&f->key)]);
		fl_json_kstr(j, "eni", eni ? eni->interface_id : "");
		fl_json_kstr(j, "name", eni ? eni->name : "");
		fl_json_ku64(j, "packets", f->packets);
		fl_json_ku64(j, "bytes", f->bytes);
		fl_json_kbool(j, "opener", is_opener(f, open));
		fl_json_kstr(j, "action", f->action == FL_ACTION_REJECT ? "REJECT" : "ACCEPT");
		fl_json_end_object(j);
	}
	fl_json_end_array(j);
}

static void json_window(struct fl_json *j, struct fl_engine_window w)
{
	fl_json_ku64(j, "number", w.number);
	fl_json_ki64(j, "start", w.start);
	fl_json_ku64(j, "length", w.length);
}

static int write_json(const struct fl_meter_status *s, const struct open_flows *open, size_t flows)
{
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATUS_MAX);
	struct fl_json j = FL_JSON(&buf);
	const struct fl_engine_last *last = fl_engine_last(s->engine);
	struct fl_journal_stats js;
	int r;

	fl_journal_stats(s->journal, &js);
	fl_json_object(&j);
	fl_json_kstr(&j, "role", "meter");
	fl_json_ki64(&j, "pid", getpid());
	fl_json_kstr(&j, "version", FL_VERSION);
	fl_json_ku64(&j, "time", fl_now_ns(&fl_clock_system) / FL_NS_PER_S);
	fl_json_ki64(&j, "started", s->started);
	fl_json_kstr(&j, "backend", s->run->ops->name);
	fl_json_kstr(&j, "reason", s->run->fallback_reason ? s->run->fallback_reason : "");
	json_verdicts(&j, s);
	json_inventory(&j, s);
	if (s->nat)
		fl_json_ku64(&j, "translations_missed", fl_nat_missed(s->nat));
	fl_json_key(&j, "window");
	fl_json_object(&j);
	json_window(&j, fl_engine_open_window(s->engine));
	fl_json_kbool(&j, "provisional", true);
	fl_json_end_object(&j);
	json_interfaces(&j, s, open);
	fl_json_key(&j, "last_window");
	fl_json_object(&j);
	json_window(&j, last->window);
	fl_json_ki64(&j, "closed_at", last->closed_at);
	fl_json_ku64(&j, "flows", last->flows);
	json_ledger(&j, "ledger", &last->ledger);
	fl_json_end_object(&j);
	json_top(&j, s->engine, open);
	json_ledger(&j, "totals", fl_engine_total(s->engine));
	fl_json_ku64(&j, "flows_active", flows);
	fl_json_ku64(&j, "memory_bytes", fl_engine_memory(s->engine));
	fl_json_key(&j, "journal");
	fl_json_object(&j);
	fl_json_ku64(&j, "frames", js.frames);
	fl_json_ku64(&j, "flows", js.flows);
	fl_json_ku64(&j, "bytes", js.bytes);
	fl_json_ku64(&j, "dropped_windows", js.dropped_windows);
	fl_json_ku64(&j, "dropped_flows", js.dropped_flows);
	fl_json_end_object(&j);
	fl_json_end_object(&j);
	r = fl_json_done(&j);
	return r ? r : fl_file_write_atomic(s->run->statefd, "status/meter.json", buf.data, buf.len, 0640, false);
}

/* status/open: what is known of the open window as journal frames, marked provisional. */
static int write_open(const struct fl_meter_status *s, struct open_flows *open)
{
	static const struct fl_ground dropped = {.drop = FL_LIVE_REJECT}; /* rules are asked when a window closes */
	struct fl_buf buf FL_CLEANUP(fl_buf_free) = FL_BUF(STATUS_MAX);
	struct fl_engine_window w = fl_engine_open_window(s->engine);
	uint16_t *ground FL_CLEANUP(fl_freep) = malloc((open->n + 1) * sizeof *ground);
	size_t at = 0;
	int r = 0;

	if (!ground)
		return -ENOMEM;
	qsort(open->flow, open->n, sizeof *open->flow, by_interface);
	while (!r && at < open->n) {
		uint16_t slot = open->flow[at].key.iface;
		const struct fl_eni *eni = fl_engine_eni(s->engine, slot);
		struct fl_frame f = {
		    .window = {.window = w.number,
			       .start = w.start,
			       .length = w.length,
			       .flags = FL_WINDOW_PROVISIONAL | (s->verdicts ? FL_WINDOW_VERDICTS : 0)},
		    .flows = open->flow + at,
		    .grounds = &dropped,
		    .n_grounds = 1,
		    .ground = ground + at,
		};

		for (; at < open->n && open->flow[at].key.iface == slot; at++) {
			ground[at] = open->flow[at].action == FL_ACTION_REJECT;
			f.n_flows++;
		}
		if (!eni)
			continue;
		f.eni = *eni;
		r = fl_frame_encode(&f, &buf);
	}
	return r ? r : fl_file_write_atomic(s->run->statefd, "status/open", buf.data, buf.len, 0640, false);
}

int fl_meter_status_write(const struct fl_meter_status *s)
{
	struct open_flows *open FL_CLEANUP(fl_freep) = calloc(1, sizeof *open);
	struct fl_flow *kept FL_CLEANUP(fl_freep) = malloc(2 * OPEN_FLOWS_MAX * sizeof *kept);
	struct fl_flow *flows FL_CLEANUP(fl_freep) = NULL;
	size_t n = 0;
	int r = fl_engine_peek(s->engine, 4 * OPEN_FLOWS_MAX, &flows, &n);

	if (r || !open || !kept)
		return r ? r : -ENOMEM;
	open->flow = kept;
	for (size_t i = 0; i < n; i++)
		collect(open, &flows[i]);
	qsort(kept, open->n, sizeof *kept, by_bytes);
	open->n = FL_MIN(open->n, (size_t)OPEN_FLOWS_MAX);
	r = write_json(s, open, n);
	return r ? r : write_open(s, open);
}
