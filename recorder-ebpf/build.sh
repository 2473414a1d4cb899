#!/bin/sh
# Builds the kernel programs into recorder/probes/probes.o and notes the toolchain beside it.
# With --check it writes nothing, and fails if the committed object is not what the sources give:
# byte by byte where the toolchain is the noted one, else by what programs and maps there are.
#
# Needed: bpf-linker, and a rustc with the sources of its library. Taken is, in this order: $RUSTC,
# the noted version, a rustup nightly with rust-src, the system's own rustc with its sources.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
object=$root/recorder/probes/probes.o
note=$root/recorder/probes/toolchain.txt
# The workspace's own folder, whatever CARGO_TARGET_DIR says: these artefacts fit nothing else.
target=$root/target/probes
check=false

die() {
    echo "build.sh: $*" >&2
    exit 1
}

case ${1-} in
'') ;;
--check) check=true ;;
*) die "usage: $0 [--check]" ;;
esac

has_sources() {
    [ -x "$1" ] && [ -f "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core/Cargo.toml" ]
}

version_of() {
    "$1" --version 2>/dev/null | cut -d' ' -f1-3
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
    noted=$(sed -n 1p "$note" 2>/dev/null || true)
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

# Takes the debug sections out; what the kernel reads (.BTF, .BTF.ext) stays.
find_objcopy() {
    sysroot=$("$1" --print sysroot)
    for objcopy in "$sysroot"/lib/rustlib/*/bin/rust-objcopy /usr/lib/llvm-*/bin/llvm-objcopy \
        "$HOME"/.rustup/toolchains/*/lib/rustlib/*/bin/rust-objcopy; do
        [ ! -x "$objcopy" ] || { echo "$objcopy"; return; }
    done
    command -v llvm-objcopy || die 'no llvm-objcopy: install LLVM, or a rustup toolchain'
}

command -v bpf-linker >/dev/null || die 'no bpf-linker: cargo install bpf-linker'
RUSTC=$(find_compiler)
cargo=$(dirname "$RUSTC")/cargo
[ -x "$cargo" ] || cargo=cargo
objcopy=$(find_objcopy "$RUSTC")
toolchain="$(version_of "$RUSTC")
$(bpf-linker --version)"

# No path of this machine may get into the object, or no other machine could build the same.
remap="--remap-path-prefix=$root=. \
--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo \
--remap-path-prefix=$("$RUSTC" --print sysroot)=rust"

# Debug information is what BTF is made from. Everything that shapes the code is set here, so that
# neither the workspace's profile nor the environment does. RUSTC_BOOTSTRAP lets a stable compiler
# build its library for another target.
(
    cd "$root"
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    export RUSTC RUSTC_BOOTSTRAP=1
    export RUSTFLAGS="-C linker=bpf-linker -C link-arg=--btf $remap"
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_DEBUG=2
    export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_LTO=off
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_PANIC=abort
    "$cargo" build --quiet --locked --release --package recorder-ebpf \
        --target bpfel-unknown-none -Z build-std=core --target-dir "$target"
)
built=$target/probes.o
"$objcopy" --strip-debug "$target/bpfel-unknown-none/release/probes" "$built"

if ! $check; then
    mkdir -p "$(dirname "$object")"
    cp "$built" "$object"
    echo "$toolchain" >"$note"
    echo "built $(wc -c <"$object") bytes with $(echo "$toolchain" | tr '\n' ' ')"
    exit
fi

cmp -s "$built" "$object" && { echo 'recorder/probes/probes.o is what the sources give'; exit; }
[ "$toolchain" != "$(cat "$note")" ] ||
    die 'recorder/probes/probes.o is not what the sources give: run `make probes` and commit it'
die 'fallback to be written'
