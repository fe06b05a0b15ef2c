# SPDX-License-Identifier: Apache-2.0
BUILD_DEPS = gcc clang bpftool meson ninja-build pkg-config libbpf-dev libmnl-dev libcap-ng-dev libseccomp-dev \
	libjansson-dev libyaml-dev libzstd-dev zlib1g-dev libdeflate-dev libisal-dev libcurl4-openssl-dev ca-certificates
TEST_DEPS = $(BUILD_DEPS) clang-format clang-tidy libclang-rt-14-dev libcmocka-dev python3 python3-pip python3-pytest python3-scapy mandoc \
	iproute2 iputils-ping nftables iptables conntrack openssl iperf3 ethtool procps tshark tcpdump nmap util-linux
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# $(call install,PACKAGES): those that are missing; with all of them there nobody is asked for a password.
define install
	@missing=$$(dpkg-query -W -f '$${Status} $${Package}\n' $(1) 2>/dev/null | sed -n 's/^install ok installed //p' | \
		sort >.have.$$$$; printf '%s\n' $(1) | sort | comm -23 - .have.$$$$; rm -f .have.$$$$); \
	[ -z "$$missing" ] || { \
		[ "$$(id -u)" = 0 ] || command -v sudo >/dev/null || { \
			echo "make: there is no sudo here; as root run: apt-get install" $$missing >&2; exit 1; }; \
		echo "installing" $$missing; \
		apt-cache show gcc >/dev/null 2>&1 || $(SUDO) apt-get update; \
		$(SUDO) apt-get install -y --no-install-recommends $$missing; }
endef

.PHONY: build deps run demo test-deps test lint format duckdb

build: build/build.ninja
	ninja -C build
	ln -sf src/daemon/flowlog build/flowlog

build/build.ninja:
	meson setup build

# Installs what the build needs, builds as the user, and starts only the program itself with privilege:
#   make run ARGS="--store /var/tmp/flows"
run: deps
	@$(MAKE) build
	@[ "$$(id -u)" = 0 ] || command -v sudo >/dev/null || { \
		echo "make: there is no sudo here; as root run: ./build/flowlog run --user $$(id -un) $(ARGS)" >&2; exit 1; }
	$(SUDO) ./build/flowlog run $(ARGS)

# The program at work in a user namespace: no root, no network.
demo: deps build
	./build/flowlog demo

deps:
	$(call install,$(BUILD_DEPS))

test-deps:
	$(call install,$(TEST_DEPS))

# The library behind `flowlog query`, beside the program.
duckdb: build
	tools/get-duckdb.sh build/src/daemon

# AddressSanitizer and UBSan on every test.
test: test-deps
	[ -f build-test/build.ninja ] || meson setup build-test -Dcapture=true -Dbuildtype=debugoptimized -Db_sanitize=address,undefined
	ninja -C build-test
	-tools/get-duckdb.sh build-test/src/daemon
	tools/test.sh build-test

# What CI checks beside the tests; `make format` mends the first.
lint: build-clang/build.ninja
	git ls-files '*.[ch]' | xargs clang-format --dry-run --Werror
	tools/layers.py
	tools/tidy.sh build-clang

build-clang/build.ninja:
	CC=clang meson setup build-clang -Dbuildtype=debug

format:
	git ls-files '*.[ch]' | xargs clang-format -i
