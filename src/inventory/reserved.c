/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's own services at addresses that are the same in every network (../shared/spec/semantics.md sections 3 and 4.1).
 */
#include <string.h>

#include "base/mem.h"
#include "inventory/inventory.h"

#define P_TCP 6
#define P_UDP 17
#define V4(a, b, c, d)                                                                                                 \
	{                                                                                                              \
		{                                                                                                      \
			[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d                               \
		}                                                                                                      \
	}
#define FD00_EC2(last)                                                                                                 \
	{                                                                                                              \
		{                                                                                                      \
			0xfd, 0x00, 0x0e, 0xc2, [14] = (last) >> 8, [15] = (last)&0xff                                 \
		}                                                                                                      \
	}

static const struct {
	struct fl_addr addr;
	uint8_t kind;
	uint8_t proto; /* 0: any */
	uint16_t port;
} reserved[] = {
    {V4(169, 254, 169, 253), FL_RESERVED_DNS, P_UDP, 53},
    {V4(169, 254, 169, 253), FL_RESERVED_DNS, P_TCP, 53},
    {FD00_EC2(0x253), FL_RESERVED_DNS, P_UDP, 53},
    {FD00_EC2(0x253), FL_RESERVED_DNS, P_TCP, 53},
    {V4(169, 254, 169, 254), FL_RESERVED_METADATA, 0, 0},
    {FD00_EC2(0x254), FL_RESERVED_METADATA, 0, 0},
    {V4(169, 254, 169, 123), FL_RESERVED_TIME, 0, 0},
    {FD00_EC2(0x123), FL_RESERVED_TIME, 0, 0},
    {V4(169, 254, 170, 2), FL_RESERVED_TASKS, 0, 0},
    {V4(169, 254, 169, 250), FL_RESERVED_ACTIVATION, P_TCP, 1688},
    {V4(169, 254, 169, 251), FL_RESERVED_ACTIVATION, P_TCP, 1688},
};

/* Most addresses are neither: one look spares the table. */
static bool may_be_reserved(const struct fl_addr *a)
{
	static const uint8_t v6[14] = {0xfd, 0x00, 0x0e, 0xc2};

	return (a->b[12] == 169 && a->b[13] == 254 && fl_addr_is_mapped_v4(a)) || !memcmp(a->b, v6, sizeof v6);
}

int fl_reserved_at(const struct fl_addr *addr, uint8_t proto, uint16_t port)
{
	if (!may_be_reserved(addr))
		return -1;
	for (size_t i = 0; i < FL_ARRAY_LEN(reserved); i++)
		if (fl_addr_equal(addr, &reserved[i].addr) &&
		    (!reserved[i].proto || (reserved[i].proto == proto && reserved[i].port == port)))
			return reserved[i].kind;
	return -1;
}

bool fl_is_dns(uint8_t proto, uint16_t port)
{
	return port == 53 && (proto == P_UDP || proto == P_TCP);
}

bool fl_is_dhcp(const struct fl_key *key)
{
	const uint16_t a = key->sport, b = key->dport;

	/* A relay speaks from and to 67 (RFC 2131 section 4.1); DHCPv6 has 546 and 547 (RFC 8415 section 7.2). */
	return key->proto == P_UDP &&
	       (((a == 67 || a == 68) && (b == 67 || b == 68)) || ((a == 546 || a == 547) && (b == 546 || b == 547)));
}
