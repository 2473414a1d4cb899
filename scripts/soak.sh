#!/usr/bin/env bash
# Records loopback traffic for a while (seconds; default 180), in parts of which the newest stay, and
# prints what the recorder takes of memory as time goes by. Fails if it grew by more than a quarter
# after the first third, or if the parts are not those that were to stay. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-180}
recorder=${EBPFREC:-target/release/ebpfrec}
folder=$(mktemp -d)
recording='' traffic=''
trap 'kill $recording $traffic 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT

"$recorder" --events "$folder/ev.parquet" --packets "$folder/t.pcapng" -i lo -s 128 \
	--rotate-time 10s --rotate-size 32M --keep 3 --json \
	>"$folder/summary.json" 2>"$folder/said" &
recording=$!
for _ in $(seq 300); do
	grep -q '^ebpfrec: recording' "$folder/said" && break
	kill -0 "$recording" 2>/dev/null || { cat "$folder/said"; exit 1; }
	sleep 0.1
done

# A bounded loop of connections, by itself of some thousand a second.
timeout "$((seconds + 30))" python3 - "$seconds" <<'TRAFFIC' &
import socket, sys, threading, time
server = socket.create_server(("127.0.0.1", 0), backlog=512)
address = server.getsockname()
def accept():
    while True:
        server.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
end, count = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end and count < 50_000_000:
    try:
        socket.create_connection(address).close()
    except OSError:
        time.sleep(0.1)
    count += 1
print(f"{count} connections", flush=True)
TRAFFIC
traffic=$!

printf '%8s %10s %10s %8s\n' 'seconds' 'RSS KiB' 'peak KiB' 'files'
first=0 last=0
for at in $(seq 10 10 "$seconds"); do
	sleep 10
	rss=$(awk '/^VmRSS/ {print $2}' "/proc/$recording/status")
	peak=$(awk '/^VmHWM/ {print $2}' "/proc/$recording/status")
	printf '%8s %10s %10s %8s\n' "$at" "$rss" "$peak" "$(find "$folder" -name 'ev.*' | wc -l)"
	if [ "$at" -le $((seconds / 3)) ] && [ "$rss" -gt "$first" ]; then first=$rss; fi
	last=$rss
done
wait "$traffic"
traffic=''
kill -TERM "$recording"
wait "$recording"
recording=''
cat "$folder/summary.json"
parts=$(find "$folder" -name 'ev.*.parquet' | wc -l)
[ "$parts" -eq 3 ] || { echo "soak: $parts parts stayed, not 3"; exit 1; }
[ -z "$(find "$folder" -name '*.partial' -o -name '*.journal')" ] || { echo 'soak: files are left'; exit 1; }
[ "$last" -le $((first * 5 / 4)) ] || { echo "soak: memory grew from $first to $last KiB"; exit 1; }
echo "soak: memory is flat ($first KiB after the first third at most, $last KiB at the end)"
