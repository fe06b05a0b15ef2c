/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory/inventory.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define ID_DIGITS 17 /* AWS's long ids */

void fl_identity_defaults(struct fl_identity_conf *ret)
{
	FILE *f = fopen("/etc/machine-id", "re");

	*ret = (struct fl_identity_conf){.account_id = "000000000000", .region = "us-east-1"};
	if (!f)
		return; /* without a seed the ids are still valid, only not the machine's own */
	if (!fgets(ret->machine_id, sizeof(ret->machine_id), f))
		ret->machine_id[0] = '\0';
	ret->machine_id[strcspn(ret->machine_id, "\n")] = '\0';
	fclose(f);
}

void fl_derive_id(const struct fl_identity_conf *conf, const char *prefix, const char *what, char *ret, size_t ret_size)
{
	uint8_t seed[3][32], digest[32];
	char hex[65];

	/* hashes of the parts, so that no two triples run together */
	fl_sha256(conf->machine_id, strlen(conf->machine_id), seed[0]);
	fl_sha256(prefix, strlen(prefix), seed[1]);
	fl_sha256(what, strlen(what), seed[2]);
	fl_sha256(seed, sizeof(seed), digest);
	fl_hex(digest, sizeof(digest), hex);
	snprintf(ret, ret_size, "%s-%.*s", prefix, ID_DIGITS, hex);
}

void fl_eni_for_capture(const struct fl_identity_conf *conf, const char *name, struct fl_eni *ret)
{
	if (!name || !*name)
		name = "capture";
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->account_id, conf->account_id, sizeof(ret->account_id));
	memcpy(ret->region, conf->region, sizeof(ret->region));
	fl_derive_id(conf, "eni", name, ret->interface_id, sizeof(ret->interface_id));
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->device, sizeof(ret->device), "%.15s", name);
	snprintf(ret->kind, sizeof(ret->kind), "capture");
}
