# SPDX-License-Identifier: Apache-2.0
BUILD_DEPS = gcc clang bpftool meson ninja-build pkg-config libbpf-dev libmnl-dev libcap-ng-dev libseccomp-dev \
	libjansson-dev libyaml-dev libzstd-dev zlib1g-dev libdeflate-dev libisal-dev
TEST_DEPS = $(BUILD_DEPS) clang-format clang-tidy libclang-rt-14-dev libcmocka-dev python3 python3-pytest python3-scapy mandoc \
	iproute2 iputils-ping nftables iperf3 ethtool procps tshark
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: build deps run test-deps test duckdb

build: build/build.ninja
	ninja -C build
	ln -sf src/daemon/flowlog build/flowlog

build/build.ninja:
	meson setup build $(if $(CAPTURE),-Dcapture=$(CAPTURE))

# Installs what the build needs, builds as the user, and starts only the program itself with privilege:
#   make run ARGS="--store /var/tmp/flows"
run: deps
	[ -f build/build.ninja ] || meson setup build -Dcapture=true
	meson configure build -Dcapture=true
	$(MAKE) build
	$(SUDO) ./build/flowlog run $(ARGS)

deps:
	$(SUDO) apt-get install -y --no-install-recommends $(BUILD_DEPS)

test-deps:
	$(SUDO) apt-get install -y --no-install-recommends $(TEST_DEPS)

# The library behind `flowlog query`, beside the program.
duckdb: build
	tools/get-duckdb.sh build/src/daemon

# AddressSanitizer and UBSan on every test.
test: test-deps
	[ -f build-test/build.ninja ] || meson setup build-test -Dcapture=true -Dbuildtype=debugoptimized -Db_sanitize=address,undefined
	ninja -C build-test
	-tools/get-duckdb.sh build-test/src/daemon
	tools/test.sh build-test
