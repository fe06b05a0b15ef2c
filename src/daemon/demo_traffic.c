/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's two hosts. What the client did is counted where it happens: by the calls that succeeded. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/demo.h"

static struct sockaddr_in endpoint(const char *address, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &in.sin_addr);
	return in;
}

/* A socket that gives up after two seconds: the demo ends even when something is wrong. */
static int open_socket(int type, int protocol)
{
	struct timeval limit = {.tv_sec = 2};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return fl_fail(-errno, "the demo's sockets: %m");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return fd;
}

/* ---- server ---- */

static void answer(int fd)
{
	static const char page[FL_DEMO_PAGE_BYTES];
	char request[1024], head[128];
	int n;

	if (recv(fd, request, sizeof request, 0) <= 0)
		return;
	n = snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Length: %u\r\n\r\n", FL_DEMO_PAGE_BYTES);
	if (!fl_write_all(fd, head, (size_t)n))
		(void)fl_write_all(fd, page, sizeof page);
}

int fl_demo_serve(int ready_fd)
{
	struct sockaddr_in web = endpoint("0.0.0.0", FL_DEMO_WEB_PORT), sink = endpoint("0.0.0.0", FL_DEMO_UDP_PORT);
	int listener = open_socket(SOCK_STREAM, 0), datagrams = open_socket(SOCK_DGRAM, 0);

	if (listener < 0 || datagrams < 0 || bind(listener, (void *)&web, sizeof web) || listen(listener, 8) ||
	    bind(datagrams, (void *)&sink, sizeof sink) || write(ready_fd, "s", 1) != 1)
		return fl_fail(-errno, "the demo's server: %m");
	for (;;) {
		struct pollfd fd[2] = {{.fd = listener, .events = POLLIN}, {.fd = datagrams, .events = POLLIN}};
		char buffer[2048];

		if (poll(fd, 2, -1) < 0)
			return -errno;
		if (fd[1].revents)
			(void)!recv(datagrams, buffer, sizeof buffer, MSG_DONTWAIT);
		if (fd[0].revents) {
			int peer FL_CLEANUP(fl_closep) = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

			if (peer >= 0)
				answer(peer);
		}
	}
}

/* ---- client ---- */

static int fetch(struct fl_demo_truth *t)
{
	static const char request[] = "GET / HTTP/1.0\r\nHost: " FL_DEMO_SERVER "\r\n\r\n";
	static char buffer[65536];
	struct sockaddr_in to = endpoint(FL_DEMO_SERVER, FL_DEMO_WEB_PORT);
	int fd FL_CLEANUP(fl_closep) = open_socket(SOCK_STREAM, 0);
	uint64_t all = 0, head = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (connect(fd, (void *)&to, sizeof to))
		return fl_fail(-errno, "the demo's web server does not answer: %m");
	if (fl_write_all(fd, request, sizeof request - 1))
		return fl_fail(-EIO, "the demo's web server hung up");
	while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0) {
		const char *end = all ? NULL : memmem(buffer, (size_t)n, "\r\n\r\n", 4);

		if (end)
			head = (uint64_t)(end + 4 - buffer);
		all += (uint64_t)n;
	}
	t->page_bytes = all - head;
	return 0;
}

static int knock(struct fl_demo_truth *t)
{
	for (unsigned i = 0; i < FL_DEMO_SCAN_PORTS; i++) {
		struct sockaddr_in to = endpoint(FL_DEMO_SERVER, (uint16_t)(FL_DEMO_SCAN_FIRST + i));
		int fd FL_CLEANUP(fl_closep) = open_socket(SOCK_STREAM, 0);

		if (fd < 0)
			return fd;
		if (connect(fd, (void *)&to, sizeof to) && errno == ECONNREFUSED)
			t->refused++;
	}
	return 0;
}

static int send_datagrams(struct fl_demo_truth *t)
{
	static const char load[FL_DEMO_DATAGRAM_BYTES];
	struct sockaddr_in to = endpoint(FL_DEMO_SERVER, FL_DEMO_UDP_PORT);
	int fd FL_CLEANUP(fl_closep) = open_socket(SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < FL_DEMO_DATAGRAMS; i++)
		t->datagrams += sendto(fd, load, sizeof load, 0, (void *)&to, sizeof to) == sizeof load;
	return 0;
}

/* RFC 792 echo requests over a raw socket, which root of a user namespace may have. */
static int ping(struct fl_demo_truth *t)
{
	struct sockaddr_in to = endpoint(FL_DEMO_SERVER, 0);
	int fd FL_CLEANUP(fl_closep) = open_socket(SOCK_RAW, IPPROTO_ICMP);

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < FL_DEMO_ECHOES; i++) {
		/* Type 8, all else zero but the sequence number; so the checksum (RFC 1071) is their complement. */
		uint8_t echo[64] = {[0] = 8, [7] = (uint8_t)i}, reply[256];
		uint16_t sum = (uint16_t) ~(0x0800 + i);
		ssize_t n;

		echo[2] = (uint8_t)(sum >> 8);
		echo[3] = (uint8_t)sum;
		if (sendto(fd, echo, sizeof echo, 0, (void *)&to, sizeof to) != sizeof echo)
			return fl_fail(-errno, "the demo's ping: %m");
		n = recv(fd, reply, sizeof reply, 0);
		t->echoes += n >= 28 && reply[20] == 0 && reply[27] == i;
	}
	return 0;
}

int fl_demo_visit(struct fl_demo_truth *ret)
{
	int r = fetch(ret);

	if (!r)
		r = send_datagrams(ret);
	if (!r)
		r = ping(ret);
	return r ? r : knock(ret);
}
