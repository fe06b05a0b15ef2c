/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inventory's benchmark: bench_inventory [INTERFACES [ROUNDS]] (default 10000, 5). Writes AWS's JSON for that many
 * interfaces, in 100 subnets with a security group of 20 rules for each 10 interfaces, as the CLI prints it, and reads
 * it over and over, the last one kept, as a running meter does. Then look-ups by address and by service.
 */
#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "inventory/network.h"

#define SUBNETS 100u
#define RULES 20u
#define LOOKUPS 1000000u

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static FILE *begin(const char *dir, const char *top, const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s.json", dir, name);
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(1);
	}
	fprintf(f, "{\n    \"%s\": [", top);
	return f;
}

static long end(FILE *f)
{
	long n;

	fputs("\n    ]\n}\n", f);
	n = ftell(f);
	fclose(f);
	return n;
}

static long make(const char *dir, unsigned n)
{
	FILE *f = begin(dir, "Vpcs", "vpcs");
	unsigned groups = n / 10 + 1;
	long bytes;

	fputs("\n        {\"OwnerId\": \"111122223333\", \"VpcId\": \"vpc-00000000000000001\", \"CidrBlock\": "
	      "\"10.0.0.0/8\", "
	      "\"Tags\": [], \"IsDefault\": false}",
	      f);
	bytes = end(f);
	f = begin(dir, "Subnets", "subnets");
	for (unsigned i = 0; i < SUBNETS; i++)
		fprintf(
		    f,
		    "%s\n        {\"OwnerId\": \"111122223333\", \"SubnetId\": \"subnet-%017x\", \"VpcId\": "
		    "\"vpc-00000000000000001\", \"CidrBlock\": \"10.%u.0.0/16\", \"AvailabilityZone\": \"us-east-1a\", "
		    "\"AvailabilityZoneId\": \"use1-az1\", \"Tags\": [{\"Key\": \"Name\", \"Value\": \"net-%u\"}]}",
		    i ? "," : "", i, i, i);
	bytes += end(f);
	f = begin(dir, "SecurityGroups", "security-groups");
	for (unsigned i = 0; i < groups; i++) {
		fprintf(
		    f,
		    "%s\n        {\"GroupId\": \"sg-%017x\", \"GroupName\": \"group-%u\", \"OwnerId\": "
		    "\"111122223333\", \"VpcId\": \"vpc-00000000000000001\", \"Description\": \"made\", \"Tags\": [], "
		    "\"IpPermissionsEgress\": [{\"IpProtocol\": \"-1\", \"UserIdGroupPairs\": [], \"IpRanges\": "
		    "[{\"CidrIp\": \"0.0.0.0/0\"}], \"Ipv6Ranges\": [], \"PrefixListIds\": []}], \"IpPermissions\": [",
		    i ? "," : "", i, i);
		for (unsigned r = 0; r < RULES; r++)
			fprintf(f,
				"%s\n            {\"IpProtocol\": \"tcp\", \"FromPort\": %u, \"ToPort\": %u, "
				"\"UserIdGroupPairs\": [{\"UserId\": \"111122223333\", \"GroupId\": \"sg-%017x\"}], "
				"\"IpRanges\": [{\"CidrIp\": \"10.%u.0.0/16\", \"Description\": \"rule %u\"}], "
				"\"Ipv6Ranges\": [], \"PrefixListIds\": []}",
				r ? "," : "", 1000 + r, 1000 + r, (i + r) % groups, r, r);
		fputs("]}", f);
	}
	bytes += end(f);
	f = begin(dir, "NetworkInterfaces", "network-interfaces");
	for (unsigned i = 0; i < n; i++) {
		unsigned subnet = i % SUBNETS, host = i / SUBNETS + 10;

		fprintf(
		    f,
		    "%s\n        {\n            \"Attachment\": {\"AttachTime\": \"2026-01-05T08:00:00+00:00\", "
		    "\"AttachmentId\": \"eni-attach-%017x\", \"DeviceIndex\": 0, \"InstanceId\": \"i-%017x\", "
		    "\"Status\": \"attached\"},\n            \"AvailabilityZone\": \"us-east-1a\",\n            "
		    "\"Description\": \"\",\n            \"Groups\": [{\"GroupName\": \"group-%u\", \"GroupId\": "
		    "\"sg-%017x\"}],\n            \"InterfaceType\": \"interface\",\n            \"Ipv6Addresses\": "
		    "[],\n"
		    "            \"MacAddress\": \"02:00:%02x:%02x:%02x:%02x\",\n            \"NetworkInterfaceId\": "
		    "\"eni-%017x\",\n            \"OwnerId\": \"111122223333\",\n            \"PrivateIpAddress\": "
		    "\"10.%u.%u.%u\",\n            \"PrivateIpAddresses\": [{\"Primary\": true, \"PrivateIpAddress\": "
		    "\"10.%u.%u.%u\"}],\n            \"RequesterManaged\": false,\n            \"SourceDestCheck\": "
		    "true,\n            \"Status\": \"in-use\",\n            \"SubnetId\": \"subnet-%017x\",\n         "
		    "   "
		    "\"TagSet\": [{\"Key\": \"Name\", \"Value\": \"host-%u\"}, {\"Key\": \"Team\", \"Value\": "
		    "\"team-%u\"}],\n            \"VpcId\": \"vpc-00000000000000001\"\n        }",
		    i ? "," : "", i, i, i / 10, i / 10, i >> 24 & 255, i >> 16 & 255, i >> 8 & 255, i & 255, i, subnet,
		    host >> 8, host & 255, subnet, host >> 8, host & 255, subnet, i, i % 50);
	}
	bytes += end(f);
	f = begin(dir, "prefixes", "ip-ranges");
	for (unsigned i = 0; i < 10000; i++)
		fprintf(f,
			"%s\n        {\"ip_prefix\": \"%u.%u.0.0/%u\", \"region\": \"us-east-1\", \"service\": \"%s\"}",
			i ? "," : "", 11 + i / 256, i % 256, 16 + i % 3,
			i % 4   ? "AMAZON"
			: i % 8 ? "S3"
				: "EC2");
	return bytes + end(f);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static void look_up(const struct fl_network *net, unsigned n)
{
	size_t found = 0;
	double t = now(CLOCK_PROCESS_CPUTIME_ID);

	for (unsigned i = 0; i < LOOKUPS; i++) {
		unsigned e = i * 2654435761u % n;
		uint8_t b[4] = {10, (uint8_t)(e % SUBNETS), (uint8_t)((e / SUBNETS + 10) >> 8),
				(uint8_t)(e / SUBNETS + 10)};
		struct fl_addr a = fl_addr_v4(b);

		found += fl_network_eni_at(net, NULL, &a) != NULL;
	}
	t = now(CLOCK_PROCESS_CPUTIME_ID) - t;
	printf("interface by address: %.2f M/s (%zu of %u found)\n", LOOKUPS / t / 1e6, found, LOOKUPS);
	t = now(CLOCK_PROCESS_CPUTIME_ID);
	found = 0;
	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint32_t r = i * 2654435761u;
		uint8_t b[4] = {(uint8_t)(11 + (r >> 24) % 40), (uint8_t)(r >> 16), (uint8_t)(r >> 8), (uint8_t)r};
		struct fl_addr a = fl_addr_v4(b);

		found += fl_network_service(net, &a) != NULL;
	}
	t = now(CLOCK_PROCESS_CPUTIME_ID) - t;
	printf("service by address: %.2f M/s (%zu of %u found)\n", LOOKUPS / t / 1e6, found, LOOKUPS);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;
	char dir[] = "/tmp/bench-inventory-XXXXXX";
	struct fl_network *net = NULL;
	double best = 1e9;
	long bytes;
	size_t enis, problems, before, one;

	if (!n || !rounds || !mkdtemp(dir)) {
		fputs("usage: bench_inventory [INTERFACES [ROUNDS]]\n", stderr);
		return 2;
	}
	bytes = make(dir, n);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (unsigned i = 0; i < rounds; i++) {
		struct fl_network *next;
		double t = now(CLOCK_PROCESS_CPUTIME_ID);
		int r = fl_network_read(&next, dir);

		t = now(CLOCK_PROCESS_CPUTIME_ID) - t;
		if (r) {
			fprintf(stderr, "%s\n", fl_error_text(r));
			return 1;
		}
		best = t < best ? t : best;
		fl_network_free(&net);
		net = next;
	}
	one = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	fl_network_enis(net, &enis);
	fl_network_problems(net, &problems);
	printf("%zu interfaces, %.1f MB of JSON, %zu problems: read in %.3f s (best of %u), %.1f MiB kept\n", enis,
	       (double)bytes / 1e6, problems, best, rounds, (double)one / 1048576);
	look_up(net, n);
	fl_network_free(&net);
	nftw(dir, visit, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
