#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts the pinned libduckdb.so beside a built flowlog: tools/get-duckdb.sh [DIRECTORY OF THE PROGRAM]
# It is in a package of the npm registry; the ordinary npm client fetches it once into .deps/.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
into=${1:-$root/build/src/daemon}
version=1.5.6-r.1
declare -A sums=([x64]=3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633)
case $(uname -m) in
x86_64) arch=x64 ;;
*)
	echo "get-duckdb: no checksum is known for $(uname -m); install DuckDB's libduckdb.so (1.4 or later) and name it with FL_DUCKDB=/path" >&2
	exit 1
	;;
esac
kept=$root/.deps/libduckdb-$version-$arch.so

good() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "${sums[$arch]}" ]; }

fetch() {
	if ! command -v npm >/dev/null; then
		if [ "$(id -u)" = 0 ]; then
			DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm >&2
		else
			echo "get-duckdb: npm is needed to fetch it: sudo apt-get install --no-install-recommends npm" >&2
			exit 1
		fi
	fi
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && npm pack --loglevel=error "@duckdb/node-bindings-linux-$arch@$version" >/dev/null) || {
		echo "get-duckdb: npm could not fetch the package, see above; any libduckdb.so of 1.4 or later named with FL_DUCKDB=/path does as well" >&2
		exit 1
	}
	tar -xzf "$work"/*.tgz -C "$work" package/libduckdb.so
	if ! good "$work/package/libduckdb.so"; then
		echo "get-duckdb: the package's libduckdb.so is not the pinned one (sha256 differs); nothing was installed" >&2
		exit 1
	fi
	mkdir -p "$root/.deps"
	mv "$work/package/libduckdb.so" "$kept"
}

good "$kept" || fetch
mkdir -p "$into"
ln -f "$kept" "$into/libduckdb.so" 2>/dev/null || cp "$kept" "$into/libduckdb.so"
echo "$into/libduckdb.so"
