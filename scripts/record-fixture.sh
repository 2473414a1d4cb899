#!/usr/bin/env bash
# Records fixtures/loopback.{pcapng,parquet} anew, with their text twin: a web server, its clients
# over v4 and v6, a refused connection, and a datagram each way, in a network namespace of their own
# on a host called web-1. Needs root, and a machine on which nothing else talks meanwhile.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$bin/ebpfrec" "$work/"
cat >"$work/datagrams.py" <<'PY'
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 5353))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("127.0.0.1", 5353))
client.send(b"question")
question, peer = server.recvfrom(100)
server.sendto(b"answer", peer)
client.recv(100)
PY

# Only Debian's own programs, so that the same paths are recorded wherever this runs.
cat >"$work/run.sh" <<'SH'
set -eu
cd "$1"
PATH=/usr/bin:/bin:/usr/sbin:/sbin
hostname web-1
ip link set lo up
./ebpfrec --events loopback.parquet --packets loopback.pcapng -i lo 2>log.txt &
recorder=$!
until grep -q '^ebpfrec: recording' log.txt; do sleep 0.1; kill -0 $recorder; done
mkdir www
echo hello >www/index.html
/usr/bin/python3 -m http.server 8080 --bind :: --directory www >/dev/null 2>&1 &
server=$!
until curl -fs -o /dev/null http://127.0.0.1:8080/; do sleep 0.1; done
curl -fs -o /dev/null 'http://[::1]:8080/'
curl -s -o /dev/null http://127.0.0.1:9/ || true
/usr/bin/python3 datagrams.py
kill $server
sleep 0.5
kill -INT $recorder
wait $recorder
SH
unshare --net --uts bash "$work/run.sh" "$work"

if grep -aqE "$work|$root" "$work/loopback.parquet"; then
	echo 'record-fixture: a path of this machine got into the recording; is something else running?' >&2
	exit 1
fi
cp "$work"/loopback.pcapng "$work"/loopback.parquet "$root/fixtures/"
cd "$root/fixtures"
"$bin/ebpfjoin" loopback.pcapng loopback.parquet -o "$work/enriched.pcapng" --quiet
{
	echo 'loopback.pcapng + loopback.parquet: a web server on a dual-stack socket, curl over v4 and'
	echo 'v6, a refused connection (and the tries before the server listened), a datagram each way.'
	echo 'Recorded by scripts/record-fixture.sh. What `ebpfjoin show` prints of the enriched capture:'
	echo
	"$bin/ebpfjoin" show "$work/enriched.pcapng"
} >loopback.txt
ls -l loopback.*
