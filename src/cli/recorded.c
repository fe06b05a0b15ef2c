/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/recorded.h"

#include <stdio.h>
#include <string.h>

static bool owns(const struct fl_net_eni *eni, const struct fl_addr *a)
{
	for (size_t i = 0; i < eni->n_addrs; i++)
		if (fl_addr_equal(&eni->addr[i].addr, a))
			return true;
	return false;
}

void fl_recorded_subject(const struct fl_record *record, const struct fl_record_meta *meta,
			 const struct fl_net_eni *eni, struct fl_subject *ret)
{
	*ret = (struct fl_subject){.key = record->key,
				   .icmp_type = -1,
				   .icmp_code = -1,
				   .tcp = record->tcp,
				   .packets = (uint32_t)FL_MIN(record->packets, (uint64_t)UINT32_MAX),
				   .first_ms = (uint64_t)record->start * 1000,
				   .last_ms = (uint64_t)record->end * 1000};
	if (meta && meta->pkt_src)
		ret->key.src = *meta->pkt_src;
	if (meta && meta->pkt_dst)
		ret->key.dst = *meta->pkt_dst;
	ret->key.iface = 0;
	if (fl_key_dir(&ret->key) == FL_DIR_NONE)
		ret->key.dirfam |= owns(eni, &record->key.dst) ? FL_DIR_INGRESS : FL_DIR_EGRESS;
}

int fl_recorded_locate(const struct fl_network *net, struct fl_policy *policy, const char *interface_id,
		       struct fl_recorded_at *at)
{
	if (*at->interface_id && !strcmp(at->interface_id, interface_id))
		return 0;
	snprintf(at->interface_id, sizeof at->interface_id, "%s", interface_id);
	at->eni = fl_network_eni(net, interface_id);
	at->filter = NULL;
	return at->eni ? fl_policy_filter(policy, at->eni, &at->filter) : 0;
}
