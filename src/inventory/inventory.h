/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Face of the stage "inventory": what an interface is called and who it belongs to. In this issue
 * the identity is discovered (discover.c, Linux only); AWS's describe-* JSON joins it later.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "flow/flow.h"

/*
 * Identity of an ENI at one time, as records need it. Empty strings are "-" in a record. Plain
 * bytes, no pointers, so that it rides in the journal's frames. eni.def names the members once for
 * record/fields.def and the journal's encoder.
 */
struct fl_eni {
	char account_id[13];
	char interface_id[22]; /* eni-0123456789abcdef0 */
	char vpc_id[22], subnet_id[25], instance_id[20];
	char region[32], az_id[16];
	char name[64];   /* for people: container, VM, else the interface */
	char kind[16];   /* "container", "vm", "host", "bridge", "tunnel", "capture" */
	char device[16]; /* Linux interface name */
	char netns[32];  /* name of the network namespace, empty for ours */
	uint32_t ifindex;
	uint8_t mac[6];
	bool flip; /* the metered end is the host's end of a cable: tc ingress is ENI egress */
	bool has_v4;
	struct fl_addr primary_v4; /* the primary private IPv4 address when has_v4 */
};

/* Ids of a machine without an inventory: account 000000000000, region us-east-1, the rest derived
 * from machine id, MAC and network by SHA-256, in AWS's shape (17 hex digits). */
struct fl_identity_conf {
	char account_id[13];
	char region[32];
	char machine_id[33]; /* /etc/machine-id; the seed of all derived ids */
};
void fl_identity_defaults(struct fl_identity_conf *ret);
/* prefix "eni", "vpc", "subnet", "i", "fl", ...; ret holds strlen(prefix) + 1 + 17 + 1 bytes */
void fl_derive_id(const struct fl_identity_conf *conf, const char *prefix, const char *what, char *ret,
		  size_t ret_size);
/* The ENI of a capture file: id derived from the file's interface name or "capture". */
void fl_eni_for_capture(const struct fl_identity_conf *conf, const char *name, struct fl_eni *ret);

/* ---- labels: what a container or a VM is tagged with ---- */

#define FL_LABEL_KEY_MAX 128   /* bytes; AWS's tag keys have 128 characters, their values 256 */
#define FL_LABEL_VALUE_MAX 256 /* a longer value is cut */
#define FL_LABELS_BYTES 4096   /* of one container: what does not fit is left out */
/* "key\0value\0" one after the other; no control characters, well-formed UTF-8. */
struct fl_label_buf {
	uint16_t n;
	char text[FL_LABELS_BYTES];
};
struct fl_labels { /* a view */
	const char *text;
	size_t n;
};
void fl_label_add(struct fl_label_buf *l, const char *key, const char *value); /* the first of a key stays */
const char *fl_label_value(const struct fl_labels *l, const char *key);        /* NULL: there is none */
/* The labels one after the other, from *at = 0; false: at the end. */
bool fl_label_next(const struct fl_labels *l, size_t *at, const char **ret_key, const char **ret_value);

/* ---- who an interface was, and when (identities.c) ---- */

/*
 * STATE/inventory/discovered.jsonl: a line an event, appended by one process as it finds out. An identity holds from
 * its "at" (Unix milliseconds) until the next event of its interface: {"at":...,"eni":...,"device":...,"name":...,
 * "kind":...,"labels":{...}}, or {"at":...,"eni":...,"gone":true}. Bounded: the oldest that have ended are dropped.
 */
#define FL_IDENTITIES_FILE "inventory/discovered.jsonl"
#define FL_IDENTITIES_MAX 8192

struct fl_identity {
	char interface_id[22]; /* as discovered */
	char device[16], name[64], kind[16];
	int64_t since, until; /* milliseconds; until INT64_MAX: holds */
	struct fl_labels labels;
};
struct fl_identities;
/* The store by its directory, or by a path such as /proc/self/fd/N. A file that is not there is an empty history. */
int fl_identities_new(struct fl_identities **ret, const char *store);
void fl_identities_free(struct fl_identities **i);
/* Reads what has been added. true: something has. */
bool fl_identities_refresh(struct fl_identities *i);
/*
 * Who it was in a window (Unix seconds): a change counts from the next window on, and whoever comes first to a nameless
 * interface has the window it came in. Refreshes. NULL: nobody known. Valid until the next refresh.
 */
const struct fl_identity *fl_identities_at(struct fl_identities *i, const char *interface_id, int64_t start,
					   int64_t length);
const struct fl_identity *fl_identities_now(const struct fl_identities *i, const char *interface_id);
/* All that hold now, in no order to rely on; NULL: at the end. From *at = 0. */
const struct fl_identity *fl_identities_next(const struct fl_identities *i, size_t *at);

/* The one writer. The directory is made when the first event comes. */
struct fl_identity_log;
int fl_identity_log_new(struct fl_identity_log **ret, int statefd);
void fl_identity_log_free(struct fl_identity_log **l);
/* Who it is from now on; nothing is written when that is known. Negative: it could not be written, ask again. */
int fl_identity_log_set(struct fl_identity_log *l, const struct fl_identity *who, int64_t now_ms);
/* Ends what holds of interfaces that are not among these n. */
int fl_identity_log_only(struct fl_identity_log *l, const char (*interface_ids)[22], size_t n, int64_t now_ms);

/* ---- discovery (Linux; built with -Dcapture=true) ---- */

enum fl_skip {
	FL_SKIP_NONE = 0,
	FL_SKIP_LOOPBACK,
	FL_SKIP_DOWN,
	FL_SKIP_BOND_MEMBER,
	FL_SKIP_BRIDGE,
	FL_SKIP_PEER_METERED,
	FL_SKIP_CONFIGURED,
	FL_SKIP_UNSUPPORTED,
	FL_SKIP_N
};
extern const char *const fl_skip_reasons[FL_SKIP_N]; /* sentences for people */

struct fl_interface {
	struct fl_eni eni;
	enum fl_skip skip; /* FL_SKIP_NONE: metered */
	uint16_t arphrd;
	uint32_t mtu;
	int32_t link_ifindex, link_netnsid; /* veth peer, a VLAN's lower device: -1 when not known */
	uint16_t vlan_proto, vlan_id;       /* of a VLAN interface: 0x8100 or 0x88a8 and its id; else 0 */
	int32_t
	    vlan_parent; /* index in this list of the metered interface whose tagged frames a metered VLAN takes; -1 */
	bool has_vlans;  /* such a parent */
	uint32_t other_ifindex;            /* the cable's other end, left out in favour of this one; 0: none */
	char other_netns[32];              /* as eni.netns */
	char discovered_id[22], owner[64]; /* before an inventory's identity was put over it; owner "": nobody */
	/* /sys or netlink statistics, for audit */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_dropped, tx_dropped;
};

struct fl_discovery; /* rtnetlink sockets, one a network namespace */
struct fl_discovery_conf {
	struct fl_identity_conf identity;
	const char *const *include, *const
					*exclude; /* shell patterns on the device name, NULL-terminated, may be NULL */
	const char *const *netns; /* names under /run/netns or paths to follow besides our own; NULL-terminated */
	const char *root;         /* prefix of the files that names come from; NULL: none */
	bool no_names;            /* somebody else finds those: interfaces are called as the device */
};
int fl_discovery_new(struct fl_discovery **ret, const struct fl_discovery_conf *conf);
void fl_discovery_free(struct fl_discovery **d);
int fl_discovery_fd(const struct fl_discovery *d); /* readable when something may have changed
						      (epoll fd over the sockets) */
/* Drain notifications; positive when the list may have changed. */
int fl_discovery_poll(struct fl_discovery *d);
/* A fresh list; malloc'd. Sorted by (netns, ifindex). */
int fl_discovery_list(struct fl_discovery *d, struct fl_interface **ret, size_t *ret_n);
/* Labels of an interface of the last list; empty when it has none. Valid until the next list. */
struct fl_labels fl_discovery_labels(const struct fl_discovery *d, const struct fl_interface *i);
/* Looks at the files of whoever is named; everything: at who is behind each interface as well. true: the next list may
 * tell another name. */
bool fl_discovery_look_again(struct fl_discovery *d, bool everything);
/* Directories and files that names are looked for in, for whoever confines itself to them; ret: of max paths. */
#define FL_NAMES_PLACES_MAX 256
size_t fl_names_places(const char *root, char (*ret)[1024], size_t max);
bool fl_discovery_is_named(const struct fl_interface *i); /* somebody's: a container's, a VM's */

/* ---- translated addresses (Linux) ---- */

struct fl_nat; /* conntrack's word, a socket a network namespace */
struct fl_nat_conf {
	struct fl_clock clock;
	uint64_t seed;
	uint32_t keep_s; /* a connection that has ended is known for that long */
};
/* Needs CAP_NET_ADMIN, afterwards none. Listens in the namespaces that d follows. Negative: conntrack does not tell. */
int fl_nat_new(struct fl_nat **ret, const struct fl_discovery *d, const struct fl_nat_conf *conf);
void fl_nat_free(struct fl_nat **n);
int fl_nat_fd(const struct fl_nat *n); /* readable when there is something for fl_nat_poll */
void fl_nat_poll(struct fl_nat *n);
/* What stands behind dst of a tuple that came in on the wire in this namespace; in->iface is not looked at. */
bool fl_nat_behind(const struct fl_nat *n, const char *netns, const struct fl_key *in, struct fl_addr *ret);
uint64_t fl_nat_missed(const struct fl_nat *n); /* how often the kernel had more to tell than we took */

/* ---- AWS's own services ---- */

/* At addresses that are the same everywhere; filters let them pass, and flow logs leave most of them out. */
enum fl_reserved {
	FL_RESERVED_DNS,
	FL_RESERVED_METADATA,
	FL_RESERVED_TIME,
	FL_RESERVED_TASKS, /* metadata and credentials of ECS tasks */
	FL_RESERVED_ACTIVATION,
	FL_RESERVED_N
};
/* The service with this address and port; negative: none. */
int fl_reserved_at(const struct fl_addr *addr, uint8_t proto, uint16_t port);
bool fl_is_dns(uint8_t proto, uint16_t port);
bool fl_is_dhcp(const struct fl_key *key);
