/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack's messages: the input is what stands behind the netlink header; its first byte is the type. */
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter/nfnetlink.h>

#include "inventory/nat.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	const struct fl_nat_conf conf = {.clock = fl_clock_system, .seed = 1, .keep_s = 1};
	struct nlmsghdr *h = n && n < 65536 ? malloc(sizeof *h + n) : NULL;
	struct fl_nat *nat = NULL;

	if (h && !fl_nat_alloc(&nat, &conf)) {
		memset(h, 0, sizeof *h);
		h->nlmsg_len = (uint32_t)(sizeof *h + n - 1);
		h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | data[0]);
		memcpy(h + 1, data + 1, n - 1);
		fl_nat_message(nat, 0, h, 1);
	}
	fl_nat_free(&nat);
	free(h);
	return 0;
}
