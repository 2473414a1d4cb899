#!/usr/bin/env bash
# Installs what a fresh Debian or Ubuntu machine lacks for WHAT: build, static, demo, test, kernels,
# fuzz or probes. Asks nothing, touches nothing that is there already.
set -euo pipefail

what=${1:?usage: setup.sh build|static|demo|test|kernels|fuzz|probes}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# have_package NAME...: installed, by dpkg's own word.
have_packages() {
	local name
	for name; do
		dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || return 1
	done
}

packages() {
	have_packages "$@" && return
	if ! command -v apt-get >/dev/null; then
		echo "setup: not a Debian or Ubuntu machine; install the equivalents of: $*" >&2
		exit 1
	fi
	echo "setup: installing $*" >&2
	as_root apt-get update -qq
	DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

rust() {
	if command -v cargo >/dev/null; then return; fi
	packages rustup 2>/dev/null || {
		echo 'setup: no Rust here; install it from https://rustup.rs and run this again' >&2
		exit 1
	}
	rustup default stable
}

# The engines that docs/queries.md is tried with, in an environment of their own. Without a network
# the tests say what they skip.
engines() {
	local here=${CARGO_TARGET_DIR:-target}/queries wanted=tests/queries/requirements.txt
	if cmp -s "$wanted" "$here/requirements.txt"; then return; fi
	echo "setup: installing DuckDB and polars into $here" >&2
	rm -rf "$here"
	if python3 -m venv "$here" && "$here/bin/pip" install --quiet --disable-pip-version-check \
		--require-hashes --only-binary :all: -r "$wanted"; then
		cp "$wanted" "$here/requirements.txt"
	else
		echo 'setup: they could not be installed; the queries of docs/queries.md go untried' >&2
	fi
}

# The linker of the kernel programs; must be of the same LLVM as the compiler.
linker_version=0.13.0
llvm=22

case $what in
build | static)
	packages build-essential pkg-config libpcap-dev
	rust
	;;
demo)
	packages build-essential pkg-config libpcap-dev curl python3
	rust
	;;
test)
	packages build-essential pkg-config libpcap-dev tshark wireshark-common iproute2 \
		docker.io nftables busybox-static tcpdump chromium time python3 python3-venv
	rust
	engines
	;;
kernels)
	# Ubuntu has Debian's keys in a package of their own.
	packages build-essential pkg-config libpcap-dev debian-archive-keyring qemu-system-x86 \
		seabios busybox-static cpio kmod xz-utils jq nftables
	rust
	;;
fuzz)
	packages build-essential
	rust
	if ! cargo fuzz --version >/dev/null 2>&1; then
		echo "setup: building cargo-fuzz" >&2
		cargo install --quiet --locked cargo-fuzz
	fi
	;;
probes)
	packages build-essential rustc-web cargo-web rust-web-src "llvm-$llvm-dev" zlib1g-dev libzstd-dev
	rust
	linker=$(command -v bpf-linker || echo "${CARGO_HOME:-$HOME/.cargo}/bin/bpf-linker")
	if [ "$("$linker" --version 2>/dev/null)" != "bpf-linker $linker_version" ]; then
		echo "setup: building bpf-linker $linker_version" >&2
		LLVM_PREFIX=/usr/lib/llvm-$llvm cargo install --quiet --locked bpf-linker \
			--version "$linker_version" --no-default-features --features "llvm-$llvm"
	fi
	;;
*)
	echo "setup: unknown: $what" >&2
	exit 2
	;;
esac
