# SPDX-License-Identifier: Apache-2.0
"""Traffic generators that run inside a network namespace: `python3 traffic.py NAME ARGUMENT...`."""
import fcntl
import socket
import struct
import sys
import threading
import time


def serve(port, ports=1):
    """Answers every connection to one of the ports with what it sent, then closes. Ends with its standard input."""
    def loop(s):
        while True:
            c = s.accept()[0]
            c.sendall(c.recv(65536))
            c.close()

    for i in range(int(ports)):
        s = socket.create_server(("", int(port) + i), backlog=4096)
        threading.Thread(target=loop, args=[s], daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def connections(host, port, n, ports=1):
    """n connections one after another, each of other ports than all before, closed by reset so that nothing lingers."""
    ports = int(ports)
    for i in range(int(n)):
        with socket.create_connection((host, int(port) + i % ports), source_address=("", 20000 + i // ports)) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sendall(b"x" * 100)
            assert s.recv(1000)


def datagrams(host, port, n, size, segment=0):
    """n datagrams of a size; segment: the kernel cuts each buffer (UDP_SEGMENT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    if int(segment):
        s.setsockopt(17, 103, int(segment))
    for i in range(int(n)):
        s.sendto(bytes(int(size)), (host, int(port)))
        if i % 20 == 19:
            time.sleep(0.002)


def sink(port, family):
    """Receives datagrams so that no port-unreachable answers. Ends with its standard input."""
    s = socket.socket(socket.AF_INET6 if family == "6" else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", int(port)))
    print("ready", flush=True)
    sys.stdin.read()


def multicast(address, group, n):
    """Datagrams to a group this host is itself a member of: the stack gives its own members a copy that never crossed a cable."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 4001))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(address))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    for _ in range(int(n)):
        s.sendto(b"m" * 100, (group, 4001))
        assert s.recv(200)


def frames(device, source):
    """Frames as hexadecimal lines of a file, sent as they are."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    for line in open(source):
        s.send(bytes.fromhex(line))


def tap(device, source):
    """Makes a tap device (persistent while this runs), says ready, then writes the file's frames into it at each line of input:
    "plain" as they are, "gso SIZE" with a virtio-net header that says TCP in segments of SIZE. Ends with its standard input."""
    fd = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", device.encode(), 0x0002 | 0x1000 | 0x4000))  # TAP, NO_PI, VNET_HDR
    print("ready", flush=True)
    for command in sys.stdin:
        words = command.split()
        for line in open(source):
            frame = bytes.fromhex(line)
            header = bytes(10)
            if words[0] == "gso":
                # NEEDS_CSUM, TCPV4, header length, segment size, checksum from byte 34, 16 bytes into it
                header = struct.pack("<BBHHHH", 1, 1, 54, int(words[1]), 34, 16)
            fd.write(header + frame)
        print("done", flush=True)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    {"serve": serve, "connections": connections, "datagrams": datagrams, "sink": sink, "frames": frames, "tap": tap,
     "multicast": multicast}[name](*arguments)
