# SPDX-License-Identifier: Apache-2.0
BUILD_DEPS = gcc meson ninja-build pkg-config libjansson-dev libyaml-dev libzstd-dev zlib1g-dev libdeflate-dev
TEST_DEPS = $(BUILD_DEPS) clang libcmocka-dev python3
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: build deps test-deps test

build: build/build.ninja
	ninja -C build
	ln -sf src/daemon/flowlog build/flowlog

build/build.ninja:
	meson setup build

deps:
	$(SUDO) apt-get install -y --no-install-recommends $(BUILD_DEPS)

test-deps:
	$(SUDO) apt-get install -y --no-install-recommends $(TEST_DEPS)

# AddressSanitizer and UBSan on every test.
test: test-deps
	[ -f build-test/build.ninja ] || meson setup build-test -Dbuildtype=debugoptimized -Db_sanitize=address,undefined
	ninja -C build-test
	tools/test.sh build-test
