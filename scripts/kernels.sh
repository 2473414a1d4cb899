#!/usr/bin/env bash
# kernels.sh [SERIES...]: boots Debian's kernels in an emulated machine (nothing but software: it
# works where virtual machines can't), asks `ebpfrec check` in each, runs the live tests there, and
# prints which hook each kernel takes: those of this run, and those tried before with the same
# program. Fails if a hook is missing that a recording can't do without, or if a test fails.
# Everything it makes is in target/kernels.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/kernels
all=(5.10 6.1 6.12 7)
series=("$@")
[ $# -gt 0 ] || series=("${all[@]}")
# Seconds: ten times what it takes on an idle machine with two CPUs.
patience=3600
# Debian ships this one in /usr/sbin, which is not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin

# The emulated clock counts instructions, 2 ns each, and jumps over what nobody waits for. So the
# tests, many of which are about time, don't notice how busy the real machine is. (8 ns make a CPU
# that can't keep up with the storms of connections.) It takes a single CPU: emulated in turn, one
# CPU that waits for another would use up the time they both have.
machine=(-accel 'tcg,thread=single' -icount 'shift=1,sleep=off' -smp 1 -cpu max -m 1536)

if [ "$(uname -m)" != x86_64 ]; then
	echo 'kernels: only written for x86-64 so far' >&2
	exit 1
fi
"$root/scripts/kernels/fetch.sh" "$work" "${series[@]}"
program=$(cat "$target/static/ebpfrec" "$target/static/suite" | sha256sum | cut -d' ' -f1)

failed=()
for name in "${series[@]}"; do
	kernel=$work/$name
	image=$(find "$kernel" -name 'vmlinuz*' | head -n 1)
	"$root/scripts/kernels/initramfs.sh" "$kernel" "$kernel/initramfs.gz" \
		"$target/static/ebpfrec" "$target/static/suite" "$(cat "$target/static/suite.path")"
	rm -f "$kernel"/*.txt
	timeout "$patience" qemu-system-x86_64 "${machine[@]}" \
		-nodefaults -no-user-config -display none -no-reboot \
		-serial "file:$kernel/console.txt" -serial "file:$kernel/check.txt" \
		-serial "file:$kernel/suite.txt" -kernel "$image" -initrd "$kernel/initramfs.gz" \
		-append 'console=ttyS0 panic=-1 loglevel=7' </dev/null || true
	echo "$program" >"$kernel/program.txt"
	verdict=$(tr -d '\r' <"$kernel/console.txt" | grep '^kernels: check=' || echo 'kernels: did not come to an end')
	echo "$(cat "$kernel/version"): ${verdict#kernels: }"
	if [ "$verdict" != 'kernels: check=0 suite=0' ]; then
		failed+=("$name")
		tail -n 20 "$kernel/console.txt"
		grep -A 3 -E '^test .* FAILED|^---- ' "$kernel/suite.txt" || true
	fi
done

reports=()
for name in "${all[@]}"; do
	kernel=$work/$name
	[ "$(cat "$kernel/program.txt" 2>/dev/null)" = "$program" ] || continue
	passed=$(grep -oE 'test result: .*' "$kernel/suite.txt" | tail -n 1 | grep -oE '[0-9]+ (passed|failed)' | paste -sd' ' || true)
	# Where `check` had nothing to say, the matrix says so.
	report=$(tr -d '\r' <"$kernel/check.txt" | jq -c . 2>/dev/null || echo '{"kernel": "none", "hooks": []}')
	reports+=("$(jq -c --arg series "$name" --arg suite "$passed" '. + {series: $series, suite: $suite}' <<<"$report")")
done
echo
printf '%s\n' "${reports[@]}" | jq -rs -f "$root/scripts/kernels/matrix.jq"
if [ ${#failed[@]} -gt 0 ]; then
	echo "kernels: failed on ${failed[*]}; see $work" >&2
	exit 1
fi
