/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against the oracle over random policies and packets: no difference in action, decider, tracking, opener
 * or rule. FL_POLICY_PAIRS says how many (policy, packets) pairs; FL_POLICY_SEED begins elsewhere. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "oracle.h"
#include "random_policy.h"

#define PACKETS 40
#define START ((uint64_t)1700000000000)

static unsigned long number(const char *name, unsigned long deflt)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : deflt;
}

struct run {
	struct random_network network;
	struct oracle oracle;
	uint64_t accepted, rejected, by[FL_BY_N];
};

static void describe(const char *who, const struct fl_decision *d)
{
	fprintf(stderr, "  %s: accept %d by %s tracked %d opener %u group rule %p acl rule %p\n", who, d->accept,
		fl_decider_names[d->by], d->tracked, d->opener, (const void *)d->group_rule, (const void *)d->acl_rule);
}

static void compare(uint64_t seed, unsigned packet, const struct fl_subject *s, const struct fl_decision *got,
		    const struct fl_decision *want)
{
	char a[FL_ADDR_TEXT_MAX + 1] = "", b[FL_ADDR_TEXT_MAX + 1] = "";

	if (got->accept == want->accept && got->by == want->by && got->tracked == want->tracked &&
	    got->opener == want->opener && got->group == want->group && got->group_rule == want->group_rule &&
	    got->acl_rule == want->acl_rule)
		return;
	*fl_addr_print(a, &s->key.src, s->key.dirfam & FL_KEY_V6) = '\0';
	*fl_addr_print(b, &s->key.dst, s->key.dirfam & FL_KEY_V6) = '\0';
	fprintf(stderr, "seed %" PRIu64 " packet %u: %s:%u > %s:%u proto %u dir %u tcp %u icmp %d/%d at %" PRIu64 "\n",
		seed, packet, a, s->key.sport, b, s->key.dport, s->key.proto, s->key.dirfam & FL_KEY_DIR, s->tcp,
		s->icmp_type, s->icmp_code, s->first_ms - START);
	describe("engine", got);
	describe("oracle", want);
	fail();
}

/* A restart in the middle: the table goes through its bytes. */
static void restart(struct fl_connections **c, uint64_t now)
{
	struct fl_connections_conf conf = {.capacity = 1024, .seed = now * 77, .start_ms = START};
	struct fl_buf bytes = FL_BUF(1u << 20);
	struct fl_cursor cursor;
	struct fl_connections *next = NULL;

	assert_int_equal(fl_connections_new(&next, &conf), 0);
	assert_int_equal(fl_connections_encode(*c, now, &bytes), 0);
	cursor = fl_cursor(bytes.data, bytes.len);
	assert_int_equal(fl_connections_decode(next, &cursor), 0);
	assert_int_equal(fl_cur_left(&cursor), 0);
	fl_buf_free(&bytes);
	fl_connections_free(c);
	*c = next;
}

static void one_pair(struct run *run, uint64_t seed, unsigned rules)
{
	struct random_state r = {seed * 0x9e3779b97f4a7c15ull + 1};
	struct random_network *n = &run->network;
	struct fl_connections_conf conf = {.capacity = 1024, .seed = seed, .start_ms = START};
	struct fl_connections *c = NULL;
	struct fl_policy *policy = NULL;
	struct random_traffic traffic;
	bool remembers = pick(&r, 10);

	random_network(n, &r, rules);
	run->oracle.enis = n->eni;
	run->oracle.n_enis = RANDOM_ENIS;
	run->oracle.start = START;
	run->oracle.remembers = remembers;
	run->oracle.n = 0;
	assert_int_equal(fl_policy_new(&policy, &(struct fl_policy_conf){n->eni, RANDOM_ENIS}), 0);
	assert_int_equal(fl_connections_new(&c, &conf), 0);
	random_traffic(&traffic, n, &r, START);
	for (unsigned p = 0; p < PACKETS; p++) {
		struct fl_decision got, want;
		struct fl_subject s;
		const struct fl_filter *f = NULL;
		unsigned e = random_packet(&traffic, &r, &s);

		assert_int_equal(fl_policy_filter(policy, &n->eni[e], &f), 0);
		fl_judge(f, remembers ? c : NULL, &s, &got);
		oracle_judge(&run->oracle, &n->eni[e], &s, &want);
		compare(seed, p, &s, &got, &want);
		run->accepted += got.accept;
		run->rejected += !got.accept;
		run->by[got.by]++;
		/* The latest time seen: what is over then is over for every packet that follows, but one that looks
		 * back by up to two seconds may still want it. */
		if (!pick(&r, 16) && traffic.now > START + 2000)
			fl_connections_expire(c, traffic.now - 2000, 512);
		if (!pick(&r, 16) && traffic.now > START + 2000)
			restart(&c, traffic.now - 2000);
	}
	fl_connections_free(&c);
	fl_policy_free(&policy);
}

static void engine_and_oracle_agree(void **state)
{
	static struct run run;
	unsigned long pairs = number("FL_POLICY_PAIRS", 20000), seed = number("FL_POLICY_SEED", 1);

	(void)state;
	for (unsigned long i = 0; i < pairs; i++)
		one_pair(&run, seed + i, i % 500 == 499 ? 1000 : i % 50 == 49 ? 150 : 1 + (unsigned)(i % 12));
	print_message("%lu pairs, %" PRIu64 " accepted, %" PRIu64 " rejected\n", pairs, run.accepted, run.rejected);
	for (unsigned b = 0; b < FL_BY_N; b++) {
		print_message("  %-20s %" PRIu64 "\n", fl_decider_names[b], run.by[b]);
		/* Random that never reaches a decider tests nothing of it. */
		assert_true(run.by[b] > pairs / 1000);
	}
	assert_true(run.accepted > run.rejected / 8 && run.rejected > run.accepted / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(engine_and_oracle_agree)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
