#!/usr/bin/env bash
# Runs the fuzz targets (fuzz/) one after the other, SECONDS each; of TARGETS, if some are named. What
# they find stops them, and lies in fuzz/artifacts/.
#
#   scripts/fuzz.sh SECONDS [TARGET…]
set -euo pipefail

seconds=${1:?usage: fuzz.sh SECONDS [TARGET…]}
shift
cd "$(dirname "$0")/../fuzz"
[ $# -gt 0 ] || set -- blocks decode events rows join pieces

# Coverage needs nothing but what stable compilers have as well, where they are told to allow it; of
# sanitizers there is no need, as nothing here is unsafe.
export RUSTC_BOOTSTRAP=1
cargo fuzz build -s none

# Files of the targets are in memory, where there is such a place.
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$memory/fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

for target; do
	corpus=corpus/$target
	mkdir -p "$corpus"
	echo "fuzz: $target for $seconds s" >&2
	FUZZ_SEEDS=$corpus cargo fuzz run -s none "$target" "$corpus" -- \
		-max_total_time="$seconds" -max_len=32768 -timeout=30 -rss_limit_mb=2048 \
		-dict=pcapng.dict -print_final_stats=1 -verbosity=1
done
