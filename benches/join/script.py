"""What people do today to see processes in a capture: tshark's fields of every packet, DuckDB's ASOF
join with the events, comments by editcap, as many at a time as a command line holds, and mergecap.

script.py CAPTURE EVENTS OUT
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

# Comments of one editcap: some 100 bytes each, and a command line holds 2 MB.
CHUNK = 15_000

FIELDS = "frame.number frame.time_epoch ip.src ipv6.src ip.dst ipv6.dst tcp.srcport udp.srcport tcp.dstport udp.dstport"

QUERY = """
WITH packets AS (
    SELECT "frame.number" AS frame, ("frame.time_epoch"::DECIMAL(20, 9) * 1000000000)::BIGINT AS ns,
        CASE WHEN "tcp.srcport" IS NULL THEN 'udp' ELSE 'tcp' END AS proto,
        coalesce("ip.src", "ipv6.src") AS src, coalesce("tcp.srcport", "udp.srcport") AS sport,
        coalesce("ip.dst", "ipv6.dst") AS dst, coalesce("tcp.dstport", "udp.dstport") AS dport
    FROM read_csv($fields, delim = '\t', header = true, all_varchar = true)
), events AS (
    SELECT epoch_ns(ts) AS ns, proto, local_addr, local_port::VARCHAR AS local_port, remote_addr,
        remote_port::VARCHAR AS remote_port, 'pid=' || pid || ' comm=' || comm AS name
    FROM read_parquet($events) WHERE pid IS NOT NULL AND remote_port IS NOT NULL
), named AS (
    SELECT frame::BIGINT AS frame, s.name AS src, d.name AS dst
    FROM packets p
    ASOF LEFT JOIN events s ON p.proto = s.proto AND p.src = s.local_addr AND p.sport = s.local_port
        AND p.dst = s.remote_addr AND p.dport = s.remote_port AND p.ns >= s.ns
    ASOF LEFT JOIN events d ON p.proto = d.proto AND p.dst = d.local_addr AND p.dport = d.local_port
        AND p.src = d.remote_addr AND p.sport = d.remote_port AND p.ns >= d.ns
)
SELECT frame, concat_ws(' ', 'src ' || src, 'dst ' || dst) FROM named
WHERE src IS NOT NULL OR dst IS NOT NULL ORDER BY frame
"""


def run(*words, **options):
    subprocess.run(words, check=True, **options)


def main(capture, events, out):
    with tempfile.TemporaryDirectory(dir=Path(out).parent) as folder:
        folder = Path(folder)
        fields = folder / "fields.tsv"
        with fields.open("w") as file:
            picked = [word for field in FIELDS.split() for word in ("-e", field)]
            run("tshark", "-n", "-r", capture, "-T", "fields", "-E", "header=y", *picked, stdout=file)
        database = duckdb.connect()
        rows = database.execute(QUERY, {"fields": str(fields), "events": events}).fetchall()
        # Nobody's files are compared here, but a pipeline that names nothing is none.
        assert rows, "no packet has a name"
        comments = {}
        for frame, name in rows:
            comments.setdefault((frame - 1) // CHUNK, []).append(((frame - 1) % CHUNK + 1, name))
        run("editcap", "-c", str(CHUNK), capture, folder / "part.pcapng")
        done = []
        for number, part in enumerate(sorted(folder.glob("part_*"))):
            words = [w for frame, name in comments.get(number, ()) for w in ("-a", f"{frame}:{name}")]
            done.append(folder / f"done-{number:06}.pcapng")
            run("editcap", *words, part, done[-1])
        run("mergecap", "-a", "-w", out, *done)


main(*sys.argv[1:])
