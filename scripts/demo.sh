#!/usr/bin/env bash
# Records a few seconds of live traffic, joins it, and shows the packets with their processes. Where
# this machine can't record, it says why and uses the recording in fixtures/ instead.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
out=$(mktemp -d "${TMPDIR:-/tmp}/ebpf-demo.XXXXXX")

# What makes a command run as root; nothing where we are root. Not a function: in the background
# that would be a shell of its own, and a signal would end the shell instead of the recorder.
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)

# A web server and two clients on the loopback interface, v4 and v6, and a refused connection.
traffic() {
	local port=${1:-8765} server
	(cd "$out" && exec python3 -m http.server "$port" --bind ::) >/dev/null 2>&1 &
	server=$!
	for _ in $(seq 50); do
		curl -fs -o /dev/null "http://127.0.0.1:$port/" && break
		sleep 0.1
	done
	curl -fs -o /dev/null "http://[::1]:$port/" || true
	curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:1/" || true
	kill "$server"
	wait "$server" 2>/dev/null || true
}

# The reason why this machine can't record, or nothing.
why_not() {
	for tool in curl python3; do
		command -v "$tool" >/dev/null || { echo "the demo's traffic needs $tool"; return; }
	done
	if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
		echo 'recording needs root (no password-less sudo here)'
		return
	fi
	"${as_root[@]}" "$bin/ebpfrec" check >"$out/check.txt" 2>&1 || head -n 1 "$out/check.txt"
}

reason=$(why_not)
if [ -z "$reason" ]; then
	echo '$ ebpfrec --events ev.parquet --packets trace.pcapng -i lo -f tcp'
	"${as_root[@]}" "$bin/ebpfrec" --events "$out/ev.parquet" --packets "$out/trace.pcapng" \
		-i lo -f tcp --duration 60s 2>"$out/ebpfrec.txt" &
	recorder=$!
	trap '"${as_root[@]}" kill "$recorder" 2>/dev/null || true' EXIT
	for _ in $(seq 100); do
		grep -q '^ebpfrec: recording' "$out/ebpfrec.txt" && break
		kill -0 "$recorder" 2>/dev/null || break
		sleep 0.1
	done
	traffic
	"${as_root[@]}" kill -TERM "$recorder" # sudo passes it on
	wait "$recorder"
	trap - EXIT
	cat "$out/ebpfrec.txt"
	if [ "$(id -u)" != 0 ]; then "${as_root[@]}" chown "$(id -u)" "$out"/*; fi
	capture=$out/trace.pcapng events=$out/ev.parquet
else
	echo "demo: cannot record here: $reason; joining the recorded fixture instead"
	capture=$root/fixtures/loopback.pcapng events=$root/fixtures/loopback.parquet
fi

echo
echo "\$ ebpfjoin ${capture##*/} ${events##*/} -o enriched.pcapng"
"$bin/ebpfjoin" "$capture" "$events" -o "$out/enriched.pcapng"
echo
echo '$ ebpfjoin show enriched.pcapng'
"$bin/ebpfjoin" show "$out/enriched.pcapng" -n 40
echo
echo "The files are in $out; to see enriched.pcapng in Wireshark: $bin/ebpfjoin wireshark --install"
