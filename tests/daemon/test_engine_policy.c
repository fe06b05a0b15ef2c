/* SPDX-License-Identifier: Apache-2.0 */
/* Rules in force: what they deny is REJECT, whatever happens to the meter. */
#include "sim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../policy/make.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/engine_state.h"
#include "record/record.h"

#define S FL_NS_PER_S
#define MS FL_NS_PER_MS
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, SYNACK = SYN | ACK | FL_TCP_SYNACK };

static struct fl_engine *engine;
static uint64_t snapshots;
static const struct fl_buf *connections; /* of the run before */
static struct make_world open_world, closed_world;
static int64_t closes_at; /* Unix time of the first window with the rules of closed_world */
static struct fl_addr own, peer;

static void compile(struct make_world *w)
{
	const struct fl_policy_conf conf = {.enis = &w->eni, .n_enis = 1};

	assert_int_equal(fl_policy_new(&w->policy, &conf), 0);
	assert_int_equal(fl_policy_filter(w->policy, &w->eni, &w->filter), 0);
}

/* TCP 80 and UDP 53 come in, nothing goes out of itself; later nothing comes in either. */
static void begin(void)
{
	sim_place();
	sim_new(1 * S, SIM_RING);
	make_world(&open_world);
	make_acl_open(&open_world);
	make_group_in(&open_world, "tcp 80", "0.0.0.0/0");
	make_group_in(&open_world, "udp 53", "0.0.0.0/0");
	compile(&open_world);
	make_world(&closed_world);
	make_acl_open(&closed_world);
	compile(&closed_world);
	own = make_addr("10.0.1.5", NULL);
	peer = make_addr("192.0.2.7", NULL);
	closes_at = INT64_MAX;
	connections = NULL;
}

static void finish(void)
{
	fl_policy_free(&open_world.policy);
	fl_policy_free(&closed_world.policy);
	sim_leave();
}

static bool enforced = true;

/* Slot 0 has rules, slot 1 has none. */
static const struct fl_filter *filter_of(void *ctx, const struct fl_eni *e, int64_t start, bool *ret_enforced)
{
	assert_ptr_equal(ctx, &open_world);
	*ret_enforced = enforced;
	if (e->ifindex != 10)
		return NULL;
	return start < closes_at ? open_world.filter : closed_world.filter;
}

static void start(bool reused)
{
	struct fl_engine_conf conf = {.shmfd = sim_dir,
				      .ops = &sim_ops,
				      .clock = fl_clock_sim(&sim->time),
				      .window_ns = sim->window_ns,
				      .memory_limit = 64u << 20,
				      .seed = (uint64_t)getpid(),
				      .filter = filter_of,
				      .filter_ctx = &open_world,
				      .connections = connections,
				      .boot_id = {1},
				      .reused = reused,
				      .snapshot_bytes = snapshots};
	int r = fl_engine_new(&engine, &conf);

	if (r)
		fail_msg("%s", fl_error_text(r));
	for (unsigned i = 0; i < 2; i++) {
		struct fl_eni e;
		bool known;

		memset(&e, 0, sizeof e);
		e.ifindex = i + 10;
		snprintf(e.interface_id, sizeof e.interface_id, "eni-%017u", i);
		assert_int_equal(fl_engine_slot(engine, &e, &known), i);
		if (!known || !reused)
			assert_int_equal(fl_engine_attached(engine, (uint16_t)i, &e), 0);
	}
}

static void run(uint64_t ns)
{
	for (; ns >= 100 * MS; ns -= 100 * MS) {
		sim_pass(100 * MS);
		assert_int_equal(fl_engine_tick(engine), 0);
	}
}

static void stop(void)
{
	assert_int_equal(fl_engine_finish(engine), 0);
	fl_engine_free(&engine);
}

static void asks(unsigned slot, uint8_t proto, uint16_t sport, uint16_t dport, uint8_t tcp)
{
	sim_tuple(slot, false, proto, &peer, sport, &own, dport, tcp);
}

static void answers(unsigned slot, uint8_t proto, uint16_t sport, uint16_t dport, uint8_t tcp)
{
	sim_tuple(slot, true, proto, &own, dport, &peer, sport, tcp);
}

/* ---- what the journal says ---- */

static struct fl_count sum_of(unsigned slot, int action, int port /* of either side, -1: any */)
{
	struct fl_count sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			const struct fl_flow *f = &sim->flow[sim->frame[i].first_flow + k];

			if (f->action == action && (port < 0 || f->key.sport == port || f->key.dport == port)) {
				sum.packets += f->packets;
				sum.bytes += f->bytes;
			}
		}
	return sum;
}

static uint64_t rejected(int port)
{
	return sum_of(0, FL_ACTION_REJECT, port).packets;
}

static uint64_t accepted(int port)
{
	return sum_of(0, FL_ACTION_ACCEPT, port).packets;
}

static struct fl_ledger ledger(unsigned slot)
{
	struct fl_ledger sum = {0};
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (unsigned d = 0; d < FL_DIR_N && !strcmp(sim->frame[i].interface_id, id); d++)
			fl_ledger_add(&sum, &sim->frame[i].ledger[d]);
	return sum;
}

static void it_adds_up(void)
{
	for (unsigned slot = 0; slot < 2; slot++) {
		struct fl_ledger l = ledger(slot);

		assert_int_equal(fl_ledger_gap(&l), 0);
		assert_int_equal(l.seen.packets, sim->sent[slot][0].packets + sim->sent[slot][1].packets);
		assert_int_equal(l.recorded.packets, l.seen.packets);
		assert_int_equal(sum_of(slot, FL_ACTION_REJECT, -1).packets,
				 l.verdict[FL_VERDICT_DENIED].packets + l.verdict[FL_VERDICT_REJECTED].packets);
		assert_int_equal(sum_of(slot, FL_ACTION_REJECT, -1).bytes,
				 l.verdict[FL_VERDICT_DENIED].bytes + l.verdict[FL_VERDICT_REJECTED].bytes);
	}
	for (uint32_t i = 0; i < sim->n_frames; i++)
		assert_int_equal(sim->frame[i].window.flags & FL_WINDOW_POLICY,
				 strcmp(sim->frame[i].interface_id, "eni-00000000000000000") ? 0 : FL_WINDOW_POLICY);
}

static uint64_t contradicted(void)
{
	return ledger(0).verdict[FL_VERDICT_CONTRADICTED].packets;
}

/* ---- tests ---- */

static void allowed_and_denied(void **state)
{
	begin();
	start(false);
	run(1 * S);
	for (unsigned slot = 0; slot < 2; slot++) {
		asks(slot, 6, 40000, 80, SYN);
		answers(slot, 6, 40000, 80, SYNACK);
		asks(slot, 6, 40001, 81, SYN);
		asks(slot, 17, 40002, 53, 0);
		answers(slot, 17, 40002, 53, 0);
	}
	sim_pass(20 * MS);
	asks(0, 6, 40000, 80, ACK);
	asks(0, 6, 40001, 81, SYN);
	sim_drop(FL_EVICT_DROPPED, 1, false, 9, 1, 60); /* the drops of another interface are no denials */
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(rejected(81), 2);
	assert_int_equal(rejected(-1), 2);
	assert_int_equal(accepted(80), 3);
	assert_int_equal(accepted(53), 2);
	assert_int_equal(contradicted(), 0);
	assert_int_equal(sum_of(1, FL_ACTION_REJECT, -1).packets, 0);
	finish();
}

/* Nobody answers what was denied. One interface, in one tick of the kernel's clock and over several. */
static void an_answer_contradicts(void **state)
{
	begin();
	start(false);
	run(1 * S);
	asks(0, 6, 40001, 81, SYN);
	answers(0, 6, 40001, 81, SYNACK);
	asks(0, 17, 40002, 54, 0);
	sim_pass(50 * MS);
	answers(0, 17, 40002, 54, 0);
	answers(0, 17, 40002, 54, 0);
	asks(0, 6, 40003, 82, SYN);
	answers(0, 6, 40003, 82, RST | ACK); /* a closed port says nothing about rules */
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(contradicted(), 1 + 2);
	assert_true(rejected(81) >= 1);
	finish();
}

/* The ACL lets no reply out. In a window that begins with a reply, the next question is not its answer. */
static void a_denied_reply_asks_nothing(void **state)
{
	begin();
	open_world.acl.out.n = 0;
	fl_policy_free(&open_world.policy);
	compile(&open_world);
	start(false);
	run(1 * S);
	asks(0, 17, 40002, 53, 0);
	run(1 * S);
	answers(0, 17, 40002, 53, 0);
	sim_pass(50 * MS);
	asks(0, 17, 40002, 53, 0);
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(rejected(53), 1);
	assert_int_equal(accepted(53), 2);
	assert_int_equal(contradicted(), 0);
	finish();
}

/* Both began in the same tick, and the higher port does not tell who asked. */
static void together_in_favour_of_the_packets(void **state)
{
	begin();
	start(false);
	run(5 * S);
	run(400 * S); /* UDP is no longer the middle of something */
	asks(0, 17, 500, 53, 0);
	answers(0, 17, 500, 53, 0);
	asks(0, 17, 40000, 53, 0);
	answers(0, 17, 40000, 53, 0);
	run(3 * S);
	answers(0, 17, 600, 53, 0); /* nobody asked */
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(accepted(53), 4);
	assert_int_equal(rejected(53), 1);
	assert_int_equal(contradicted(), 0);
	finish();
}

/* All of a window has one verdict; what closes holds from the next one on. */
static void closed_for_the_next_window(void **state)
{
	begin();
	start(false);
	run(1 * S);
	asks(0, 6, 40000, 80, SYN);
	asks(0, 6, 40000, 80, RST);
	sim_pass(30 * MS);
	answers(0, 6, 40000, 80, SYNACK);
	answers(0, 6, 40000, 80, ACK);
	run(2 * S);
	assert_int_equal(rejected(-1), 0);
	answers(0, 6, 40000, 80, ACK);
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(rejected(80), 1);
	assert_int_equal(accepted(80), 4);
	finish();
}

/* A drop of the packet filter and a denial of one flow are one REJECT. */
static void drops_of_what_is_denied(void **state)
{
	begin();
	start(false);
	run(1 * S);
	sim_send(0, false, 5, 10, 1000); /* to 53, from an address of which nothing is known */
	sim_drop(FL_EVICT_DROPPED, 0, false, 5, 4, 400);
	closes_at = 0;
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(rejected(-1), 10);
	assert_int_equal(ledger(0).verdict[FL_VERDICT_REJECTED].packets, 4);
	assert_int_equal(ledger(0).verdict[FL_VERDICT_DENIED].packets, 6);
	assert_int_equal(sim->n_grounds, 1);
	assert_string_equal(sim->grounds[0].drop, "NETFILTER_DROP");
	assert_string_equal(sim->grounds[0].rule, "sg-1/inbound/none");
	finish();
}

/* The one ground of what came to or from the port of the peer or ours with this action. */
static const struct fl_ground *ground(unsigned slot, int action, int port)
{
	const struct fl_ground *found = NULL;
	char id[22];

	snprintf(id, sizeof id, "eni-%017u", slot);
	for (uint32_t i = 0; i < sim->n_frames; i++)
		for (uint32_t k = 0; k < sim->frame[i].n_flows && !strcmp(sim->frame[i].interface_id, id); k++) {
			uint32_t at = sim->frame[i].first_flow + k;
			const struct fl_flow *f = &sim->flow[at];

			if (f->action != action || (f->key.sport != port && f->key.dport != port))
				continue;
			if (!sim->ground[at])
				return NULL;
			assert_true(!found || found == &sim->grounds[sim->ground[at] - 1]);
			found = &sim->grounds[sim->ground[at] - 1];
		}
	return found;
}

#define assert_ground(g, opinion_, rule_, drop_)                                                                       \
	do {                                                                                                           \
		const struct fl_ground *g_ = (g);                                                                      \
		assert_non_null(g_);                                                                                   \
		assert_int_equal(g_->opinion, opinion_);                                                               \
		assert_string_equal(g_->rule, rule_);                                                                  \
		assert_string_equal(g_->drop, drop_);                                                                  \
	} while (0)

/* Beside each flow: the rule, also of what is let pass, and what was late. */
static void what_decided_is_kept(void **state)
{
	begin();
	start(false);
	run(1 * S);
	asks(0, 6, 40000, 80, SYN);
	sim_pass(20 * MS);
	answers(0, 6, 40000, 80, SYNACK);
	asks(0, 6, 40001, 81, SYN);
	answers(0, 17, 600, 5353, 0);
	asks(1, 6, 40002, 80, SYN); /* an interface without rules */
	run(2 * S);
	closes_at = (int64_t)(sim->time.realtime / S);
	asks(0, 6, 40003, 80, SYN);
	run(2 * S);
	stop();
	it_adds_up();
	assert_ground(ground(0, FL_ACTION_REJECT, 40001), FL_OPINION_REJECT, "sg-1/inbound/none", "");
	assert_ground(ground(0, FL_ACTION_REJECT, 5353), FL_OPINION_REJECT, "sg-1/outbound/none", "");
	assert_ground(ground(0, FL_ACTION_REJECT, 40003), FL_OPINION_REJECT, "sg-1/inbound/none", "");
	assert_null(ground(1, FL_ACTION_ACCEPT, 40002));
	/* Both directions of the connection in its window; the answer is part of it. */
	assert_int_equal(accepted(40000), 2);
	for (uint32_t i = 0; i < sim->n_flows; i++) {
		if (sim->flow[i].key.dport == 80 && sim->flow[i].key.sport == 40000)
			assert_ground(&sim->grounds[sim->ground[i] - 1], FL_OPINION_ACCEPT,
				      "sg-1/inbound/tcp_80_from_0.0.0.0/0", "");
		if (sim->flow[i].key.sport == 80)
			assert_ground(&sim->grounds[sim->ground[i] - 1], FL_OPINION_ACCEPT,
				      "sg-1/inbound/tcp_80_from_0.0.0.0/0/connection", "");
	}
	finish();
}

static void late_and_gone_rules(void **state)
{
	begin();
	start(false);
	run(1 * S);
	asks(0, 6, 40000, 80, SYN);
	asks(0, 6, 40000, 80, RST);
	answers(0, 6, 40000, 80, SYNACK);
	asks(0, 6, 40001, 80, SYN);
	answers(0, 6, 40001, 80, SYNACK);
	run(2 * S);
	closes_at = (int64_t)(sim->time.realtime / S);
	answers(0, 6, 40000, 80, ACK);
	answers(0, 6, 40001, 80, ACK);
	asks(0, 6, 40001, 80, ACK);
	run(2 * S);
	stop();
	it_adds_up();
	assert_ground(ground(0, FL_ACTION_REJECT, 40000), FL_OPINION_REJECT, "late", "");
	assert_ground(&sim->grounds[sim->ground[sim->n_flows - 1] - 1], FL_OPINION_ACCEPT, "connection", "");
	finish();
}

/* What nobody declared to be in force has an opinion and changes nothing. */
static void opinions_of_what_is_not_in_force(void **state)
{
	begin();
	enforced = false;
	start(false);
	run(1 * S);
	asks(0, 6, 40000, 80, SYN);
	asks(0, 6, 40001, 81, SYN);
	answers(0, 6, 40001, 81, SYNACK);
	run(2 * S);
	stop();
	assert_int_equal(rejected(-1), 0);
	assert_int_equal(contradicted(), 0);
	assert_int_equal(ledger(0).verdict[FL_VERDICT_DENIED].packets, 0);
	assert_ground(ground(0, FL_ACTION_ACCEPT, 40000), FL_OPINION_ACCEPT, "sg-1/inbound/tcp_80_from_0.0.0.0/0", "");
	for (uint32_t i = 0; i < sim->n_flows; i++)
		if (sim->flow[i].key.dport == 81)
			assert_ground(&sim->grounds[sim->ground[i] - 1], FL_OPINION_REJECT, "sg-1/inbound/none", "");
	for (uint32_t i = 0; i < sim->n_frames; i++)
		assert_false(sim->frame[i].window.flags & FL_WINDOW_POLICY);
	enforced = true;
	finish();
}

/* A frame has room for so many names; of further rules the verdict is kept, and what it is about is counted. */
static void more_rules_than_a_frame_names(void **state)
{
	enum { N = FL_GROUNDS_MAX + 50 };
	static struct fl_verdict_cause cause[N];
	static struct fl_flow rows[N];
	static struct fl_ground table[FL_GROUNDS_MAX];
	static uint16_t ground[N];
	static struct fl_group_rule rules[N];
	static struct fl_acl_rule entries[N];
	struct fl_ledger sums[FL_DIR_N] = {0};
	struct fl_subject s = {.key = {.dirfam = FL_DIR_INGRESS}};
	struct fl_opinions *opinions = NULL;
	uint32_t n;

	begin();
	assert_int_equal(fl_opinions_new(&opinions), 0);
	for (unsigned i = 0; i < N; i++) {
		struct fl_decision d = {.accept = i & 1,
					.by = i & 1 ? FL_BY_GROUP : FL_BY_ACL,
					.opener = FL_DIR_INGRESS,
					.group = &open_world.group,
					.group_rule = &rules[i],
					.acl_rule = &entries[i]};

		rules[i].id = "sgr-1";
		cause[i].opinion = fl_opinions_add(opinions, open_world.filter, &s, &d);
		cause[i].dropped = i % 5 == 0;
		rows[i].key.dirfam = FL_DIR_INGRESS;
		rows[i].packets = 2;
		rows[i].bytes = 100;
	}
	cause[3] = (struct fl_verdict_cause){0};
	assert_int_equal(fl_verdicts_grounds(opinions, cause, rows, N, table, &n, ground, sums), 0);
	assert_in_range(n, FL_GROUNDS_MAX - 4, FL_GROUNDS_MAX);
	assert_int_equal(ground[3], 0);
	for (unsigned i = 0; i < N; i++) {
		const struct fl_ground *g = ground[i] ? &table[ground[i] - 1] : NULL;
		bool other = g && !strcmp(g->rule, "other");

		if (i == 3)
			continue;
		assert_in_range(ground[i], 1, n);
		assert_int_equal(g->opinion, i & 1 ? FL_OPINION_ACCEPT : FL_OPINION_REJECT);
		assert_string_equal(g->drop, i % 5 ? "" : "NETFILTER_DROP");
		assert_int_equal(other, i > FL_GROUNDS_MAX - 4);
	}
	assert_int_equal(sums[FL_DIR_INGRESS].verdict[FL_VERDICT_UNNAMED].packets, 2 * (N - FL_GROUNDS_MAX + 3));
	assert_int_equal(sums[FL_DIR_INGRESS].verdict[FL_VERDICT_UNNAMED].bytes, 100 * (N - FL_GROUNDS_MAX + 3));
	fl_opinions_free(&opinions);
	finish();
}

static void connect_and_close_rules(void)
{
	begin();
	start(false);
	run(1 * S);
	asks(0, 6, 40000, 80, SYN);
	answers(0, 6, 40000, 80, SYNACK);
	run(2 * S);
	closes_at = (int64_t)(sim->time.realtime / S);
}

static void only_the_old_connection_lives(void)
{
	asks(0, 6, 40000, 80, ACK);
	asks(0, 6, 40001, 80, SYN);
	asks(0, 6, 40002, 80, ACK);
	run(3 * S);
	stop();
	it_adds_up();
	assert_int_equal(accepted(40000), 3);
	assert_int_equal(rejected(40000), 0);
	assert_int_equal(rejected(40001), 1);
	assert_int_equal(rejected(40002), 1);
	finish();
}

static void connections_survive_a_kill(void **state)
{
	connect_and_close_rules();
	fl_engine_free(&engine);
	start(true);
	only_the_old_connection_lives();
}

static void connections_survive_a_stop(void **state)
{
	struct fl_buf kept FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
	const struct fl_buf *now;

	connect_and_close_rules();
	assert_int_equal(fl_engine_finish(engine), 0);
	now = fl_engine_connections(engine);
	assert_true(now->len > FL_CONNECTION_BYTES);
	assert_int_equal(fl_buf_add(&kept, now->data, now->len), 0);
	fl_engine_free(&engine);
	assert_int_equal(fl_wal_remove(sim_dir), 0);
	sim_kernel_dies();
	connections = &kept;
	start(false);
	/* taken over by the log: a death at once costs nothing */
	fl_engine_free(&engine);
	connections = NULL;
	start(true);
	only_the_old_connection_lives();
}

static void bytes_that_are_no_connections(void **state)
{
	uint8_t bad[40] = {0};
	struct fl_buf kept FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);

	for (size_t n = 1; n <= sizeof bad; n += 3) {
		fl_buf_reset(&kept);
		memset(bad, (int)(n * 37), sizeof bad);
		assert_int_equal(fl_buf_add(&kept, bad, n), 0);
		begin();
		connections = &kept;
		start(false);
		asks(0, 6, 40000, 80, SYN);
		asks(0, 6, 40001, 81, SYN);
		run(3 * S);
		stop();
		it_adds_up();
		assert_int_equal(rejected(-1), 1);
		finish();
	}
}

/* ---- death at every step ---- */

#define STEPS 60
#define CLOSES_AFTER 3 /* windows */

/* In memory that outlives the process. */
static struct truth {
	uint64_t denied, allowed, contradicted;
} * truth;

/* Port 80 is open for three windows. Of the connections that were made then every one goes on to the end; new ones are
 * denied, and each seventh is answered all the same. */
static void traffic(unsigned i)
{
	bool closed = (int64_t)(sim->time.realtime / S) >= closes_at;

	asks(0, 6, (uint16_t)(40000 + i), 80, SYN);
	*(closed ? &truth->denied : &truth->allowed) += 1;
	if (!closed || i % 7 == 0) {
		answers(0, 6, (uint16_t)(40000 + i), 80, SYNACK);
		*(closed ? &truth->denied : &truth->allowed) += 1;
		truth->contradicted += closed;
	}
	for (unsigned old = 0; closed && old < 5; old++) {
		asks(0, 6, (uint16_t)(40000 + old), 80, ACK);
		truth->allowed++;
	}
	asks(1, 6, (uint16_t)(40000 + i), 80, SYN);
}

static void live_on(void)
{
	start(sim->step > 0 || sim->burnt > 0);
	for (; sim->step < STEPS; sim->step++) {
		unsigned i = sim->step;

		traffic(i);
		sim_pass(100 * MS);
		/* The step is over for the world before the meter does its part. */
		sim->step = i + 1;
		if (fl_engine_tick(engine))
			_exit(3);
		sim->step = i;
	}
	stop();
}

static unsigned one_run(unsigned fuse, unsigned half_write)
{
	int status = 0, lives = 0;
	uint64_t answered;

	begin();
	memset(truth, 0, sizeof *truth);
	closes_at = (int64_t)(sim->time.realtime / S) + CLOSES_AFTER;
	sim->fuse = fuse;
	sim->half_write = half_write;
	do {
		pid_t pid = fork();

		if (!pid) {
			live_on();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 42))
			fail_msg("fuse %u: status %x in step %u", fuse, status, sim->step);
		if (WEXITSTATUS(status) == 42) {
			uint32_t n = 0;

			sim->half_write = 0;
			while (n < sim->n_frames && sim->frame[n].committed)
				n++;
			sim->n_frames = n;
		}
	} while (WEXITSTATUS(status) == 42 && ++lives < 4);
	assert_int_equal(WEXITSTATUS(status), 0);
	it_adds_up();
	answered = contradicted();
	if (rejected(-1) != truth->denied || accepted(-1) != truth->allowed || answered != truth->contradicted)
		fail_msg("fuse %u, half %u: %llu denied of %llu, %llu accepted of %llu, %llu answered of %llu", fuse,
			 half_write, (unsigned long long)rejected(-1), (unsigned long long)truth->denied,
			 (unsigned long long)accepted(-1), (unsigned long long)truth->allowed,
			 (unsigned long long)answered, (unsigned long long)truth->contradicted);
	assert_true(truth->denied > 10 && truth->allowed > 100 && truth->contradicted);
	finish();
	return sim->burnt;
}

static void death_at_every_step(void **state)
{
	unsigned steps;

	snapshots = *state ? 1 : 0;
	steps = one_run(0, 0);
	assert_true(steps > 100);
	for (unsigned fuse = 1; fuse <= steps; fuse += getenv("FL_ALL_STEPS") ? 1 : 2)
		one_run(fuse, 0);
	for (unsigned i = 1; i < 100; i += 5)
		one_run(0, i);
	snapshots = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(allowed_and_denied),
	    cmocka_unit_test(an_answer_contradicts),
	    cmocka_unit_test(a_denied_reply_asks_nothing),
	    cmocka_unit_test(together_in_favour_of_the_packets),
	    cmocka_unit_test(closed_for_the_next_window),
	    cmocka_unit_test(what_decided_is_kept),
	    cmocka_unit_test(late_and_gone_rules),
	    cmocka_unit_test(opinions_of_what_is_not_in_force),
	    cmocka_unit_test(more_rules_than_a_frame_names),
	    cmocka_unit_test(drops_of_what_is_denied),
	    cmocka_unit_test(connections_survive_a_kill),
	    cmocka_unit_test(connections_survive_a_stop),
	    cmocka_unit_test(bytes_that_are_no_connections),
	    cmocka_unit_test(death_at_every_step),
	    cmocka_unit_test_prestate(death_at_every_step, (void *)"with snapshots"),
	};

	truth = mmap(NULL, sizeof *truth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return truth == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
