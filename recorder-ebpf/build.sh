#!/bin/sh
# Builds the kernel programs into recorder/probes/probes.o, and notes beside it by which tools and
# from which sources. With --check it writes nothing there, and fails if the committed object is not
# what the sources give: byte by byte where the tools are the noted ones; other tools choose other
# instructions, so then by the digest of the sources, and by the programs and maps in the object.
#
# Needed: bpf-linker, and a rustc with the sources of its library. Taken is, in this order: $RUSTC,
# the noted version, a rustup nightly with rust-src, the system's own rustc with its sources.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
object=$root/recorder/probes/probes.o
note=$root/recorder/probes/probes.txt
# The workspace's own folder, whatever CARGO_TARGET_DIR says: these artefacts fit nothing else.
target=$root/target/probes
check=false
locked=

die() {
    echo "build.sh: $*" >&2
    exit 1
}

case ${1-} in
'') ;;
--check) check=true locked=--locked ;;
*) die "usage: $0 [--check]" ;;
esac

has_sources() {
    [ -x "$1" ] && [ -f "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core/Cargo.toml" ]
}

version_of() {
    "$1" --version 2>/dev/null | sed 's/).*/)/'
}

# Every compiler that could do it, best first.
candidates() {
    if command -v rustup >/dev/null; then
        rustup which --toolchain nightly rustc 2>/dev/null || true
    fi
    echo /usr/bin/rustc
    command -v rustc || true
}

find_compiler() {
    if [ -n "${RUSTC-}" ]; then
        has_sources "$RUSTC" || die "$RUSTC has no library sources beside it"
        echo "$RUSTC"
        return
    fi
    noted=$(sed -n 's/^compiler: //p' "$note" 2>/dev/null || true)
    usable=
    for rustc in $(candidates); do
        has_sources "$rustc" || continue
        [ "$(version_of "$rustc")" != "$noted" ] || { echo "$rustc"; return; }
        : "${usable:=$rustc}"
    done
    [ -n "$usable" ] || die 'no rustc with library sources: install a nightly' \
        '(rustup toolchain install nightly --component rust-src) or rustc-web with rust-web-src'
    echo "$usable"
}

# strip_debug FROM TO: takes the debug sections out; what the kernel reads (.BTF, .BTF.ext) stays.
strip_debug() {
    for objcopy in "$("$RUSTC" --print sysroot)"/lib/rustlib/*/bin/rust-objcopy \
        "$HOME"/.rustup/toolchains/*/lib/rustlib/*/bin/rust-objcopy \
        /usr/lib/llvm-*/bin/llvm-objcopy "$(command -v llvm-objcopy || true)"; do
        [ -x "$objcopy" ] || continue
        # The one of a rustup toolchain finds its library only if it is told where.
        LD_LIBRARY_PATH=${objcopy%/rustlib/*} "$objcopy" --strip-debug "$1" "$2" && return
    done
    die 'no llvm-objcopy: install LLVM, or a rustup toolchain'
}

# Everything the object is made from, less the libraries, whose versions Cargo.lock holds.
digest_sources() {
    (
        cd "$root"
        find recorder-ebpf/src recorder-ebpf/Cargo.toml schema/src/wire.rs schema/src/wire -type f |
            LC_ALL=C sort | xargs cat -- | sha256sum | cut -d' ' -f1
    )
}

# The programs and maps, and the sections they are in, which say where a program is attached.
list_contents() {
    readelf -SW "$1" | sed -n 's/^ *\[ *[0-9]*\] \([a-z][a-z0-9_/]*\) .*/section \1/p'
    readelf -sW "$1" | awk '$5 == "GLOBAL" && $6 == "DEFAULT" { print $4, $8 }' | LC_ALL=C sort
}

command -v bpf-linker >/dev/null || die 'no bpf-linker: cargo install bpf-linker'
RUSTC=$(find_compiler)
cargo=$(dirname "$RUSTC")/cargo
[ -x "$cargo" ] || cargo=cargo
tools="compiler: $(version_of "$RUSTC")
linker: $(bpf-linker --version)"

cd "$root"
# The folders the libraries are unpacked to must be there before their names can be replaced.
RUSTC=$RUSTC "$cargo" fetch --quiet $locked --target bpfel-unknown-none

# No path of this machine may get into the object, or no other machine could build the same.
# Expanded in order means, for memset, not expanded at all: a call that clears byte by byte.
flags="-C linker=bpf-linker -C link-arg=--btf -C link-arg=--disable-expand-memcpy-in-order \
--remap-path-prefix=$root=. \
--remap-path-prefix=$("$RUSTC" --print sysroot)=rust"
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags="$flags --remap-path-prefix=$registry=registry"
done

# Debug information is what BTF is made from. Everything that shapes the code is set here, so that
# neither the workspace's profile nor the environment does. RUSTC_BOOTSTRAP lets a stable compiler
# build its library for another target.
(
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    export RUSTC RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags"
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_DEBUG=2
    export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_LTO=off
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_PANIC=abort
    # No program here depends on the processor, but the name of a source file does.
    export AYA_BPF_TARGET_ARCH=x86_64
    "$cargo" build --quiet $locked --release --package recorder-ebpf \
        --target bpfel-unknown-none -Z build-std=core --target-dir "$target"
)
built=$target/probes.o
strip_debug "$target/bpfel-unknown-none/release/probes" "$built"

if ! $check; then
    mkdir -p "$(dirname "$object")"
    cp "$built" "$object"
    printf '%s\nsources: %s\n' "$tools" "$(digest_sources)" >"$note"
    echo "built $(wc -c <"$object") bytes by $(echo "$tools" | sed 's/^[a-z]*: //' | paste -sd, -)"
    exit
fi

stale() {
    die "recorder/probes/probes.o is not what the sources give ($*): run \`make probes\` and commit it"
}

if [ "$tools" = "$(sed '/^sources: /d' "$note")" ]; then
    cmp "$built" "$object" >&2 || stale 'other bytes by the same tools'
    echo 'recorder/probes/probes.o is, byte by byte, what the sources give'
    exit
fi
[ "$(digest_sources)" = "$(sed -n 's/^sources: //p' "$note")" ] || stale 'the sources have changed'
list_contents "$built" >"$target/built.txt"
list_contents "$object" | diff - "$target/built.txt" >&2 || stale 'other programs or maps'
echo 'recorder/probes/probes.o has the programs and maps the sources give; by other tools, so the bytes were not compared'
