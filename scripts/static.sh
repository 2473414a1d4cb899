#!/usr/bin/env bash
# Builds one `ebpfrec` that needs no library of the machine it is copied to: target/static/ebpfrec.
# glibc and libpcap are linked in. Debian's libpcap.a wants libdbus and libibverbs besides, for
# sniffing D-Bus and InfiniBand; we don't, and they can't be linked statically, so a copy without
# those two is made first. With `suite` as argument, the tests of tests/record too, as
# target/static/suite, for machines that have nothing else.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
libs=$target/static/lib
cc=${CC:-cc}

archive=$("$cc" -print-file-name=libpcap.a)
if [ ! -f "$archive" ]; then
	echo 'static: no libpcap.a here; install libpcap-dev' >&2
	exit 1
fi
mkdir -p "$libs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$archive" "$work/libpcap.a"

# What libpcap itself does when it is configured without them: finds no devices of that kind, and
# says of no name that it is one.
for part in dbus rdmasniff; do
	ar t "$work/libpcap.a" | grep -qx "pcap-$part.o" || continue
	cat >"$work/pcap-$part.c" <<C
struct pcap_if_list;
int ${part}_findalldevs(struct pcap_if_list *list, char *error) { (void)list; (void)error; return 0; }
void *${part}_create(const char *device, char *error, int *is_ours) { (void)device; (void)error; *is_ours = 0; return 0; }
C
	"$cc" -c -O2 -o "$work/pcap-$part.o" "$work/pcap-$part.c"
	ar r "$work/libpcap.a" "$work/pcap-$part.o"
done
# Only when it changed: cargo would build again otherwise.
cmp -s "$work/libpcap.a" "$libs/libpcap.a" || cp "$work/libpcap.a" "$libs/libpcap.a"

# Named, though it is this machine's: the flags are then those of the program alone, and not of
# build scripts and macros, which must stay dynamic.
triple=$(rustc -vV | sed -n 's/^host: //p')
version=$(pcap-config --version 2>/dev/null || pkg-config --modversion libpcap)
export LIBPCAP_LIBDIR=$libs LIBPCAP_VER=${version%%-*} RUSTFLAGS='-C target-feature=+crt-static'
options=(--release --locked -p recorder --target "$triple" --config "build.target-dir='$target'")
cargo build "${options[@]}" --bin ebpfrec
cp "$target/$triple/release/ebpfrec" "$target/static/ebpfrec"
if [ "${1:-}" = suite ]; then
	suite=$(cargo test "${options[@]}" --test record --no-run --message-format=json |
		jq -r 'select(.target.name == "record") | .executable // empty')
	cp "$suite" "$target/static/suite"
	# Where it looks for the program.
	echo "$target/$triple/release/ebpfrec" >"$target/static/suite.path"
fi

if readelf -l "$target/static/ebpfrec" | grep -q INTERP; then
	echo 'static: the program still wants a dynamic linker' >&2
	exit 1
fi
ls -l "$target/static/ebpfrec"
