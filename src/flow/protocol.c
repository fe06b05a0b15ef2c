/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"
#include "flow/flow.h"

/* IANA "Protocol Numbers", those that people meet. */
static const struct {
	uint8_t number;
	const char *name;
} protocols[] = {
    {1, "icmp"},       {2, "igmp"},      {4, "ipip"},         {6, "tcp"},    {17, "udp"},    {33, "dccp"},
    {41, "ipv6"},      {47, "gre"},      {50, "esp"},         {51, "ah"},    {58, "icmpv6"}, {88, "eigrp"},
    {89, "ospf"},      {94, "ipip"},     {103, "pim"},        {112, "vrrp"}, {115, "l2tp"},  {132, "sctp"},
    {135, "mobility"}, {136, "udplite"}, {137, "mpls-in-ip"},
};

const char *fl_protocol_name(uint8_t proto)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].name;
	return NULL;
}

int fl_protocol_number(const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(protocols); i++)
		if (!strcasecmp(protocols[i].name, name))
			return protocols[i].number;
	return fl_fail(-EINVAL, "\"%s\" is not a protocol that is known by name; its number can be given", name);
}
