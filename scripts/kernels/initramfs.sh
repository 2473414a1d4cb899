#!/usr/bin/env bash
# initramfs.sh KERNEL OUT PROGRAM SUITE PATH: what a machine under test boots into: busybox, the
# program, the test suite, which looks for the program at PATH, and the modules of KERNEL (a folder
# of fetch.sh) that sockets and translations need to be asked about. Tests listed in lacking.txt and lacking-SERIES.txt are skipped.
set -euo pipefail

kernel=$1 out=$2 program=$3 suite=$4 path=$5
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# Some tests run as somebody else.
chmod 755 "$root"

mkdir -p "$root"/{bin,dev,etc,lib,proc,run,sys,tmp}
install "$(command -v busybox)" "$root/bin/busybox"
for applet in cat cp dirname echo insmod ln mkdir mount poweroff sh sleep sync unshare; do
	ln -s busybox "$root/bin/$applet"
done
# What the tests run, with its libraries.
for tool in ip bash nft; do
	path_of=$(command -v "$tool")
	install "$path_of" "$root/bin/$tool"
	{ ldd "$path_of" || true; } | grep -oE '/[^ )]+' | while read -r library; do
		install -D "$library" "$root$library"
	done
done
install "$program" "$root/bin/ebpfrec"
echo "$path" >"$root/etc/program.path"
install "$suite" "$root/bin/suite"
install "$here/init" "$root/init"
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

for lacking in "$here/lacking.txt" "$here/lacking-${kernel##*/}.txt"; do
	if [ -f "$lacking" ]; then
		awk '!/^#/ { printf "--skip %s ", $1 }' "$lacking" >>"$root/etc/skip"
	fi
done

# Unpacked and in the order they have to be loaded in: so the machine needs no tools for that.
modules=$(dirname "$(find "$kernel" -name modules.order)")
base=${modules%/lib/modules/*}
[ -d "$base/lib" ] || base=${modules%%/usr/lib/modules/*}
version=${modules##*/}
depmod -b "$base" "$version" 2>/dev/null
for name in inet_diag tcp_diag udp_diag veth dummy bridge nf_conntrack_netlink nft_chain_nat nft_nat \
	nft_masq; do
	modprobe -d "$base" -S "$version" --show-depends "$name" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r module; do
	plain=${module##*/}
	plain=${plain%.xz}
	case $module in
	*.xz) xz -dc "$module" >"$root/lib/$plain" ;;
	*) cp "$module" "$root/lib/$plain" ;;
	esac
	echo "$plain" >>"$root/lib/order"
done

(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$out"
