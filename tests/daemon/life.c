/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

void begin(uint64_t window_ns, uint64_t ring)
{
	sim_place();
	sim_new(window_ns, ring);
}

struct fl_eni eni(unsigned slot)
{
	struct fl_eni e;

	memset(&e, 0, sizeof e);
	e.ifindex = slot + 10;
	e.flip = slot == 1;
	snprintf(e.interface_id, sizeof e.interface_id, "eni-%017u", slot);
	snprintf(e.device, sizeof e.device, "dev%u", slot);
	return e;
}

struct fl_engine *engine;
bool (*behind)(void *, const char *, const struct fl_key *, struct fl_addr *);
void *behind_ctx;
uint64_t snapshots;
unsigned run_name[2];

void start_conf(bool reused, uint64_t memory)
{
	struct fl_engine_conf conf = {.shmfd = sim_dir,
				      .ops = &sim_ops,
				      .clock = fl_clock_sim(&sim->time),
				      .window_ns = sim->window_ns,
				      .memory_limit = memory,
				      .seed = (uint64_t)getpid(),
				      .verdicts = true,
				      .behind = behind,
				      .behind_ctx = behind_ctx,
				      .boot_id = {1},
				      .reused = reused,
				      .snapshot_bytes = snapshots};
	int r = fl_engine_new(&engine, &conf);

	if (r)
		fail_msg("%s", fl_error_text(r));
	for (unsigned i = 0; i < 2; i++) {
		struct fl_eni e = eni(i);
		bool known;
		int slot = fl_engine_slot(engine, &e, &known);

		assert_int_equal(slot, i);
		if (!known || !reused)
			assert_int_equal(fl_engine_attached(engine, (uint16_t)i, &e), 0);
	}
}

void start(bool reused)
{
	start_conf(reused, 64u << 20);
}

void run(uint64_t ns) /* in ticks of 100 ms */
{
	for (; ns >= 100 * MS; ns -= 100 * MS) {
		int r;

		sim_pass(100 * MS);
		r = fl_engine_tick(engine);
		if (r)
			fail_msg("tick: %s", r < 0 ? fl_error_text(r) : fl_engine_trouble(engine));
	}
}

void stop(void)
{
	int r = fl_engine_finish(engine);

	if (r)
		fail_msg("finish: %s", fl_error_text(r));
	fl_engine_free(&engine);
}

/* ---- what the journal says ---- */

struct fl_ledger total(int slot /* -1: all */, enum fl_dir d)
{
	struct fl_ledger sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017d", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		if (slot < 0 || !strcmp(sim->frame[i].interface_id, id))
			fl_ledger_add(&sum, &sim->frame[i].ledger[d]);
	return sum;
}

struct fl_count flows_of(unsigned slot, enum fl_dir d)
{
	struct fl_count sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			const struct fl_flow *f = &sim->flow[sim->frame[i].first_flow + k];

			if (fl_key_dir(&f->key) == d) {
				sum.packets += f->packets;
				sum.bytes += f->bytes;
			}
		}
	return sum;
}

uint64_t lost(const struct fl_ledger *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FL_LOSS_N; i++)
		n += l->lost[i].packets;
	return n;
}

static struct fl_count rejected(unsigned slot, enum fl_dir d)
{
	struct fl_count sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			const struct fl_flow *f = &sim->flow[sim->frame[i].first_flow + k];

			assert_int_equal(f->key.iface, slot);
			if (f->action == FL_ACTION_REJECT && fl_key_dir(&f->key) == d) {
				sum.packets += f->packets;
				sum.bytes += f->bytes;
			}
		}
	return sum;
}

/* Every drop that was told is a REJECT, or named as one for which nothing was found. */
static void verdicts_are_there(unsigned slot, enum fl_dir d, const struct fl_ledger *l, unsigned egress,
			       bool all_matched)
{
	const struct fl_count *moved = &l->verdict[FL_VERDICT_REJECTED], *before = &l->verdict[FL_VERDICT_BEFORE],
			      *unmatched = &l->verdict[FL_VERDICT_UNMATCHED];
	struct fl_count r = rejected(slot, d);

	if (moved->packets + unmatched->packets != sim->dropped[slot][egress].packets)
		fail_msg("fuse %u, half %u: slot %u egress %u: %llu moved, %llu unmatched of %llu", run_name[0],
			 run_name[1], slot, egress, (unsigned long long)moved->packets,
			 (unsigned long long)unmatched->packets,
			 (unsigned long long)sim->dropped[slot][egress].packets);
	assert_int_equal(before->packets, sim->before[slot][egress].packets);
	assert_int_equal(r.packets, moved->packets + before->packets);
	assert_int_equal(r.bytes, moved->bytes + before->bytes);
	if (all_matched)
		assert_int_equal(unmatched->packets, 0);
}

void everything_is_there(bool no_loss)
{
	for (uint32_t i = 0; i < sim->n_frames; i++)
		assert_true(sim->frame[i].committed);
	for (unsigned slot = 0; slot < 2; slot++)
		for (unsigned egress = 0; egress < 2; egress++) {
			/* The second interface is the host's end of a cable. */
			enum fl_dir d = (egress != (slot == 1)) ? FL_DIR_EGRESS : FL_DIR_INGRESS;
			struct fl_ledger l = total((int)slot, d);
			struct fl_count f = flows_of(slot, d);

			if (l.seen.packets != sim->sent[slot][egress].packets ||
			    l.seen.bytes != sim->sent[slot][egress].bytes)
				fail_msg("fuse %u, half %u: slot %u egress %u: seen %llu of %llu", run_name[0],
					 run_name[1], slot, egress, (unsigned long long)l.seen.packets,
					 (unsigned long long)sim->sent[slot][egress].packets);
			assert_int_equal(fl_ledger_gap(&l), 0);
			assert_int_equal(f.packets, l.recorded.packets);
			assert_int_equal(f.bytes, l.recorded.bytes);
			verdicts_are_there(slot, d, &l, egress, no_loss);
			if (no_loss)
				assert_int_equal(lost(&l), 0);
		}
}

/* Every window from the first to the last has one first frame of every interface, at the wall time
 * that follows. */
void no_window_is_missing(uint32_t seconds)
{
	for (unsigned slot = 0; slot < 2; slot++) {
		int64_t next = 0;
		char id[22];

		snprintf(id, sizeof id, "eni-%017u", slot);
		for (uint32_t i = 0; i < sim->n_frames; i++) {
			const struct sim_frame *f = &sim->frame[i];

			if (strcmp(f->interface_id, id) || f->window.part)
				continue;
			assert_int_equal(f->window.length, seconds);
			assert_int_equal(f->window.start % seconds, 0);
			if (next && f->window.start != next)
				fail_msg("slot %u: window %u starts at %lld instead of %lld", slot, f->window.window,
					 (long long)f->window.start, (long long)next);
			next = f->window.start + seconds;
		}
		assert_true(next);
	}
}

unsigned frames_at(int64_t start, uint32_t flag)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < sim->n_frames; i++)
		n += sim->frame[i].window.start == start && (sim->frame[i].window.flags & flag) == flag;
	return n;
}
