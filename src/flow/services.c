/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"
#include "flow/flow.h"

#define TCP 6
#define UDP 17

static const struct service {
	uint16_t port;
	bool tcp, udp;
	const char *name;
} services[] = {
#define FL_SERVICE(port, tcp, udp, name) {port, tcp, udp, name},
#include "flow/services.def"
#undef FL_SERVICE
};

/* The rows are in the order of ports. */
const char *fl_service_name(unsigned protocol, uint64_t port)
{
	size_t low = 0, high = FL_ARRAY_LEN(services);

	if (protocol != TCP && protocol != UDP)
		return NULL;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (services[mid].port < port)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < FL_ARRAY_LEN(services) && services[low].port == port; low++)
		if (protocol == TCP ? services[low].tcp : services[low].udp)
			return services[low].name;
	return NULL;
}

int fl_service_port(const char *name)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(services); i++)
		if (!strcasecmp(services[i].name, name))
			return services[i].port;
	return fl_fail(-EINVAL, "\"%s\" is not a service that is known by name; its port can be given", name);
}
