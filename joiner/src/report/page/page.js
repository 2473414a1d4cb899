// The page itself, from the data it carries.

const data = JSON.parse(byId("data").textContent);
const summary = data.summary;
const main = byId("main");

const MEANING = {
  exact: "a socket with these addresses and ports was open at this end at that time",
  early: "the packet precedes the socket's first event, as the SYN of a connection accepted a moment later",
  late: "the packet follows the socket's close: the kernel still speaks for it",
  listener: "only the local end is known: who listens there",
  proxy: "through a program that forwards for others",
  related: "an ICMP error about a known flow, or a fragment of one",
  remote: "the address belongs to no recorded host: normal for the far end",
  "no-socket": "the host was recorded, and nobody known owned this end",
  ambiguous: "several processes fit, and nothing decides between them",
  "before-recording": "seen before the recording began",
  "after-recording": "seen after the recording ended",
  "in-loss": "the recorder lost events around this time",
  "not-ip": "not an IP packet",
  "no-transport": "IP, but no protocol with ports",
  truncated: "cut before the ports",
  malformed: "the packet contradicts itself",
  "no-time": "a block without a time",
};

function meaning(name) {
  return name.startsWith("nat+") ? "as " + name.slice(4) + ", after undoing a translation of addresses" : MEANING[name];
}

const outcomeStyle = (name) => "o-" + name.replace("+", "-");
// With the day, where there are several.
const wide = data.recordings.rows.flatMap((row) => row.span_ms || []);
const isLong = wide.length > 0 && Math.max(...wide) - Math.min(...wide) > 20 * 3600e3;
const when = (ms) => isLong ? moment(ms) : clock(ms, 1);

const plural = (number, one, many) => count(number) + " " + (number === 1 ? one : many || one + "s");

// ---- What it is about

function fileName(path) {
  return path.split(/[/\\]/).pop();
}

function tile(value, label, note, tone) {
  return el("div", { class: "tile" + (tone ? " " + tone : "") }, el("div", { class: "value" }, value),
    el("div", { class: "label" }, label), note && el("div", { class: "note" }, note));
}

function drawTop() {
  const [from, to] = data.span_ms || [null, null];
  const host = summary.captured_on || (data.recordings.rows[0] && data.recordings.rows[0].host);
  document.title = fileName(summary.capture) + " – packets and their processes";
  const lost = data.recordings.rows.reduce((sum, row) =>
    Object.values(row.lost).reduce((sum, count) => sum + count, sum) + row.missing_rows, 0);
  const failed = data.connections.failed;
  byId("top").append(
    el("div", { class: "brand" }, data.program),
    el("h1", {}, el("bdi", {}, fileName(summary.capture))),
    el("p", { class: "lead" },
      from === null ? "No packet with a time." :
        [day(from) + " ", el("b", {}, clock(from, 1) + " – " + clock(to, 1)), " UTC, ", span(to - from)],
      host && [", captured on ", el("b", {}, el("bdi", {}, host))]),
    el("div", { class: "tiles" },
      tile(count(summary.packets), "packets", size(data.time.bytes.reduce((a, b) => a + b, 0)) + " on the wire"),
      tile(percent(summary.source.named, summary.packets), "of senders named", count(summary.source.named) + " packets"),
      tile(percent(summary.destination.named, summary.packets), "of receivers named", count(summary.destination.named) + " packets"),
      tile(count(data.processes.total), data.processes.total === 1 ? "process" : "processes", "with packets here"),
      tile(count(data.connections.outgoing), data.connections.outgoing === 1 ? "connection opened" : "connections opened",
        count(data.connections.incoming) + " accepted"),
      tile(count(failed), failed === 1 ? "connect failed" : "connects failed", data.connections.retransmits ?
        plural(data.connections.retransmits, "segment") + " sent again" : "no segment sent again", failed ? "warn" : ""),
      tile(lost ? count(lost) : "0", lost === 1 ? "thing lost" : "things lost", lost ? "see below what" : "by the recorder", lost ? "bad" : "good")),
    el("nav", { "aria-label": "Sections" }, [["complete", "Completeness"], ["named", "Names"], ["traffic", "Traffic"],
      ["pairs", "Who talks to whom"], ["processes", "Processes"], ["connections", "Connections"], ["notes", "Notes"]]
      .map(([id, text]) => el("a", { href: "#" + id }, text))));
}

// ---- How complete it is

const MARKS = { good: "✓", warn: "!", bad: "✕", info: "i" };

function check(tone, title, ...rest) {
  return el("li", { class: tone }, el("span", { class: "mark", "aria-hidden": "true" }, MARKS[tone]),
    el("div", {}, el("span", { class: "offscreen" }, { good: "Good: ", warn: "Note: ", bad: "Problem: ", info: "" }[tone]),
      el("strong", {}, title), el("div", { class: "muted" }, rest)));
}

function recordingChecks(row) {
  const host = el("bdi", {}, row.host || "?");
  const lost = Object.entries(row.lost);
  const lasted = row.span_ms ? [clock(row.span_ms[0], 1000) + " – " + clock(row.span_ms[1], 1000) + " UTC, " + span(row.span_ms[1] - row.span_ms[0])] : ["no time known"];
  return [
    check(row.complete ? "good" : "bad", row.complete ? ["Recording of ", host, " ended cleanly"] : ["Recording of ", host, " has no clean end"],
      plural(row.rows, "event"), ", ", lasted, row.parts > 1 && [", ", row.parts, " parts"],
      row.kernel && [", kernel ", el("bdi", {}, row.kernel)], row.version && [", ebpfrec ", el("bdi", {}, row.version)], ". ", el("bdi", { class: "path" }, fileName(row.file))),
    lost.length || row.missing_rows || row.missing_parts
      ? check("bad", "Something was lost", [
        ...lost.map(([stage, number]) => [count(number), " (", el("bdi", {}, stage), ")"]),
        ...(row.missing_rows ? [[count(row.missing_rows), " rows without a word"]] : []),
        ...(row.missing_parts ? [[plural(row.missing_parts, "earlier part"), " not there"]] : []),
      ].flatMap((part, at) => at ? [", ", part] : [part]))
      : check("good", "Nothing was lost", "no event, packet or row, by the recorder’s own count and by the rows’ numbers"),
    row.missing.length
      ? check("warn", plural(row.missing.length, "hook") + " of " + (row.missing.length + row.attached) + " not in place",
        el("ul", {}, row.missing.map(([hook, why]) => el("li", {}, el("bdi", { class: "path" }, hook), ": ", el("bdi", {}, why)))))
      : row.attached ? check("good", "All " + row.attached + " hooks in place", "the kernel took every one") : check("info", "Hooks unknown", "the file does not tell which the kernel took"),
  ];
}

function clockCheck(clock) {
  const off = clock.offset_ns / 1e9;
  const text = Math.abs(off).toFixed(6) + " s";
  const detail = clock.pairs ? ["the capture is ", off >= 0 ? "ahead" : "behind", " by ", text, ", spread ", (clock.spread_ns / 1e9).toFixed(6), " s, ",
    clock.drift_ppm ? clock.drift_ppm.toFixed(2) + " ppm, " : "", "by ", plural(clock.pairs, "connection")] : "no connection was both recorded and captured";
  const name = el("bdi", {}, clock.host);
  if (clock.use === "not needed") return check("good", ["Clocks of capture and ", name, " agree"], detail);
  if (clock.use === "applied") return check("warn", ["Clock of ", name, " was off, and put right"], detail);
  if (clock.use.startsWith("given")) return check("info", ["Clock offset of ", name, " was given"], "the capture is ", off >= 0 ? "ahead" : "behind", " by ", text);
  return check("warn", ["Clock of ", name, ": offset ", clock.use], detail);
}

function drawComplete() {
  const rows = data.recordings.rows;
  const outside = (side) => (side.by_reason["before-recording"] || 0) + (side.by_reason["after-recording"] || 0);
  const most = Math.max(outside(summary.source), outside(summary.destination));
  const checks = [
    ...rows.flatMap(recordingChecks),
    data.recordings.total > rows.length && check("info", plural(data.recordings.total - rows.length, "more recording"), "not listed here"),
    ...summary.unfinished.slice(0, 20).map((path) => check("bad", "A file was left out", el("bdi", { class: "path" }, fileName(path)),
      ": not finished; ", el("code", {}, "ebpfrec recover"), " if it was cut off")),
    ...summary.clocks.slice(0, 20).map(clockCheck),
    summary.damage ? check("bad", "The capture is damaged", "at byte ", count(summary.damage.offset), ", after ", plural(summary.damage.packets, "packet"), ": ", el("bdi", {}, summary.damage.what))
      : check("good", "The capture is whole", plural(summary.packets, "packet") + ", ", size(summary.bytes_in)),
    summary.cut_options > 0 && check("warn", plural(summary.cut_options, "packet") + " copied without a name", "their options are cut"),
    most > 0 ? check("warn", plural(most, "packet") + " at times that were not recorded", "see before-recording and after-recording below")
      : check("good", "Every packet falls into the recorded time", ""),
  ];
  main.append(section("complete", "How complete it is", null, card(el("ul", { class: "checks" }, checks))));
}

// ---- How packets were named

function drawNamed() {
  const holder = el("div", {});
  const bands = data.losses;
  function draw(side) {
    const key = side + "_series";
    const series = data.outcomes.filter((row) => row[side] > 0)
      .map((row) => ({ name: row.name, style: outcomeStyle(row.name), values: row[key], sum: row[side] }));
    holder.replaceChildren(stacked(series, {
      time: data.time, bands, label: "Packets by how their " + (side === "src" ? "sender" : "receiver") + " was found, over time",
      show: (value) => plural(value, "packet"), axis: short, total: (one) => percent(one.sum, summary.packets),
    }));
  }
  draw("src");
  const all = summary.packets;
  const share = (side) => (row) => [count(row[side]), " ", el("span", { class: "share" }, percent(row[side], all))];
  main.append(section("named", "How packets were named",
    "Every name says how it was found, and every packet without one says why. A wrong name is worse than none.",
    card(head("Packets per " + span(data.time.width_ms),
      chooser("Which end", [["src", "Sender"], ["dst", "Receiver"]], "src", draw)), holder,
    bands.length > 0 && el("p", { class: "muted small" }, el("span", { class: "swatch lossy" }), "events were lost here"),
    table({
      id: "outcomes", caption: "Packets by match and reason", rows: data.outcomes, first: 30,
      columns: [
        { title: "Match or reason", value: (row) => row.name, cell: (row) => [el("span", { class: "swatch " + outcomeStyle(row.name) }), el("b", {}, row.name)] },
        { title: "Sender", number: true, value: (row) => row.src, cell: share("src") },
        { title: "Receiver", number: true, value: (row) => row.dst, cell: share("dst") },
        { title: "Meaning", value: (row) => (row.named ? "0" : "1") + row.name, text: (row) => meaning(row.name),
          cell: (row) => el("span", { class: "muted" }, row.named ? "" : "no name: ", meaning(row.name)) },
        FILTER_COLUMN,
      ],
      others: data.time.untimed > 0 && plural(data.time.untimed, "packet") + " without a time are in no chart, but in these numbers",
    }))));
}

// ---- Traffic over time

function drawTraffic() {
  const kinds = ["program", "container", "pod", "host"].filter((kind) => data.series[kind] && (kind !== "host" || data.series.host.total > 1));
  const holder = el("div", {});
  const perSecond = 8000 / data.time.width_ms;
  let [kind, way] = [kinds[0], "sent"];
  const minus = (a, b) => a.map((value, at) => Math.max(0, value - b[at]));
  function draw() {
    const zero = data.time.bytes.map(() => 0);
    const { shown = [], total = 0 } = data.series[kind] || {};
    const sum = shown.reduce((sum, one) => sum.map((value, at) => value + one[way][at]), zero);
    const series = shown.map((one, at) => ({
      name: nameText(one.label), node: () => nameCell(one.label), style: "s" + at, values: one[way],
    }));
    const rest = total > shown.length ? plural(total - shown.length, "other " + kind) : "";
    const outside = kind === "program" ? "" : "in no " + kind;
    series.push({ name: [rest, outside].filter(Boolean).join(", or ") || "others", style: "s8", values: minus(data.series.all[way], sum) });
    series.push({ name: "nobody known", style: "nobody", values: minus(data.time.bytes, data.series.all[way]) });
    holder.replaceChildren(stacked(series.filter((one) => one.values.some(Boolean)), {
      time: data.time, label: "Bytes " + way + " by " + kind + ", over time", show: (value) => size(value) + "  " + rate(value * perSecond),
      axis: rate, unit: perSecond, total: (one) => size(one.values.reduce((a, b) => a + b, 0)),
    }));
  }
  draw();
  main.append(section("traffic", "Traffic over time", null, card(
    head("Average of each " + span(data.time.width_ms),
      kinds.length > 1 && chooser("By what", kinds.map((kind) => [kind, kind[0].toUpperCase() + kind.slice(1)]), kind, (value) => { kind = value; draw(); }),
      chooser("Which way", [["sent", "Sent by"], ["received", "Received by"]], way, (value) => { way = value; draw(); })), holder)));
}

// ---- Who talks to whom

const bytesOf = (pair) => pair.out[1] + pair.back[1];
const packetsOf = (pair) => pair.out[0] + pair.back[0];

function drawPairs() {
  const { rows, others, endless } = data.pairs;
  const rest = [
    others.rows > 0 && plural(others.rows, "smaller pair") + ": " + plural(packetsOf(others), "packet") + ", " + size(bytesOf(others)),
    endless[0] > 0 && plural(endless[0], "packet") + " without addresses and ports: " + size(endless[1]),
  ].filter(Boolean).join("; ");
  main.append(section("pairs", "Who talks to whom", null, card(
    rows.length > 0 && [head("From clients to servers, by bytes"), ribbons(rows), head("In numbers")],
    table({
      id: "pairs-table", caption: "Pairs of client and server", rows, sort: [5, true], others: rest,
      columns: [
        { title: "Client", value: (row) => nameText(row.client), cell: (row) => nameCell(row.client) },
        { title: "Server", value: (row) => nameText(row.server), cell: (row) => nameCell(row.server) },
        { title: "Port", value: (row) => row.port === null ? null : row.port, text: (row) => row.proto + "/" + row.port, cell: (row) => el("span", { class: "port" }, row.proto + (row.port ? "/" + row.port : "")) },
        { title: "There", number: true, hint: "Bytes from client to server", value: (row) => row.out[1], cell: (row) => size(row.out[1]) },
        { title: "Back", number: true, hint: "Bytes from server to client", value: (row) => row.back[1], cell: (row) => size(row.back[1]) },
        { title: "Bytes", number: true, value: bytesOf, cell: (row) => size(bytesOf(row)) },
        { title: "Packets", number: true, value: packetsOf, cell: (row) => count(packetsOf(row)) },
        FILTER_COLUMN,
      ],
    }))));
}

// ---- Processes

function drawProcesses() {
  const { rows, others } = data.processes;
  main.append(section("processes", "Processes", null, card(head("By bytes"), table({
    id: "processes-table", caption: "Processes", rows, sort: [4, true],
    others: others.rows > 0 && plural(others.rows, "process", "processes") + " more: " + size(bytesOf(others)),
    columns: [
      { title: "Process", value: nameText, cell: nameCell },
      { title: "Command", value: (row) => row.cmdline || row.exe || "", class: "command", cell: (row) => el("bdi", { class: "path", title: row.cmdline || row.exe || "" }, row.cmdline || row.exe || "–") },
      { title: "User", value: (row) => row.user, cell: (row) => el("bdi", {}, row.user || "–") },
      { title: "Sent", number: true, value: (row) => row.out[1], cell: (row) => [size(row.out[1]), " ", el("span", { class: "share" }, count(row.out[0]))] },
      { title: "Received", number: true, value: (row) => row.back[1], cell: (row) => [size(row.back[1]), " ", el("span", { class: "share" }, count(row.back[0]))] },
      FILTER_COLUMN,
    ],
  }))));
}

// ---- Connections

const OPENED = [["outgoing", "s0", "opened"], ["incoming", "s2", "accepted"], ["failed", "o-in-loss", "failed"]];

function connectionColumns(extra) {
  return [
    { title: "Process", value: nameText, cell: nameCell },
    { title: "From", value: (row) => row.local, cell: (row) => el("span", { class: "address" }, row.local) },
    { title: "To", value: (row) => row.remote, cell: (row) => el("span", { class: "address" }, row.remote) },
    { title: "Time", value: (row) => row.time_ms, cell: (row) => when(row.time_ms) },
    ...extra,
    FILTER_COLUMN,
  ];
}

const LATENCY = { title: "Latency", number: true, value: (row) => row.latency_us, cell: (row) => micros(row.latency_us) };
const RESENT = { title: "Sent again", number: true, value: (row) => row.retransmits, cell: (row) => row.retransmits === null ? "–" : count(row.retransmits) };
const PAYLOAD = { title: "Payload", number: true, value: (row) => row.bytes && row.bytes[0] + row.bytes[1], cell: (row) => row.bytes ? size(row.bytes[0] + row.bytes[1]) : "–" };

function beyond({ rows, total }) {
  return total > rows.length ? "the first " + count(rows.length) + " of " + count(total) : null;
}

function drawConnections() {
  const all = data.connections;
  const latency = all.latency;
  const series = OPENED.map(([key, style, name]) => ({ name, style, values: all.time[key] })).filter((one) => one.values.some(Boolean));
  const bounds = [0, ...all.classes_us];
  const last = all.classes.findLastIndex(Boolean);
  const first = all.classes.findIndex(Boolean);
  const bars = all.classes.slice(Math.max(0, first - 1), last + 2).map((value, at) => {
    const index = at + Math.max(0, first - 1);
    const from = bounds[index];
    const [low, high] = [plain(from), plain(bounds[index + 1])];
    return [low, value, count(value) + " from " + low + (index < bounds.length - 1 ? " to " + high : " on")];
  });
  const quantiles = [["p50", "half below"], ["p95", "95 % below"], ["p99", "99 % below"], ["max", "slowest"]];
  const failing = all.failing;
  main.append(section("connections", "Connections", "TCP, as the recorder saw them, whether or not their packets were captured.",
    el("div", { class: "columns" },
      card(head("Opened and failed, per " + span(all.time.width_ms)), series.length ? stacked(series, {
        time: all.time, label: "Connections over time", show: (value) => count(value), axis: short, filtered: true,
        total: (one) => count(one.values.reduce((a, b) => a + b, 0)),
      }) : el("p", { class: "muted" }, "None.")),
      card(head("Connect latency"), latency.count ? [el("dl", { class: "quantiles" }, quantiles.map(([key, text]) =>
        el("div", {}, el("dt", {}, text), el("dd", {}, micros(latency[key]))))), histogram(bars, "Connects by latency")]
        : el("p", { class: "muted" }, "No outgoing connection was established."))),
    card(head("Failed, most frequent first"), failing.rows.length ? table({
      id: "failing", caption: "Failed connects", rows: failing.rows, sort: [3, true], others: beyond(failing),
      columns: [
        { title: "Program", value: nameText, cell: nameCell },
        { title: "To", value: (row) => row.remote, cell: (row) => el("span", { class: "address" }, row.remote) },
        { title: "Error", value: (row) => row.error, cell: (row) => row.error ? el("bdi", { class: "error" }, row.error) : el("span", { class: "muted" }, "not told") },
        { title: "Times", number: true, value: (row) => row.count, cell: (row) => count(row.count) },
        { title: "First", value: (row) => row.first_ms, cell: (row) => when(row.first_ms) },
        { title: "Last", value: (row) => row.last_ms, cell: (row) => when(row.last_ms) },
        FILTER_COLUMN,
      ],
    }) : el("p", { class: "muted" }, "No connect failed.")),
    card(head("By program"), table({
      id: "programs", caption: "Connect latency by program", rows: all.programs.rows, sort: [1, true], others: beyond(all.programs),
      columns: [
        { title: "Program", value: nameText, cell: nameCell },
        { title: "Connects", number: true, value: (row) => row.latency.count, cell: (row) => count(row.latency.count) },
        ...[["p50", "Median"], ["p95", "95 %"], ["p99", "99 %"], ["max", "Slowest"]].map(([key, title]) => (
          { title, number: true, value: (row) => row.latency[key], cell: (row) => micros(row.latency[key]) })),
        { title: "Failed", number: true, value: (row) => row.latency.failed, cell: (row) => count(row.latency.failed) },
        { title: "Sent again", number: true, hint: "Segments", value: (row) => row.latency.retransmits, cell: (row) => count(row.latency.retransmits) },
        FILTER_COLUMN,
      ],
    })),
    card(head("Slowest to open"), all.slowest.rows.length ? table({
      id: "slowest", caption: "Connections that took longest to open", rows: all.slowest.rows, sort: [4, true],
      others: beyond(all.slowest), columns: connectionColumns([LATENCY, RESENT, PAYLOAD]),
    }) : el("p", { class: "muted" }, "No outgoing connection was established.")),
    card(head("Most segments sent again"), all.resent.rows.length ? table({
      id: "resent", caption: "Connections that sent most segments again", rows: all.resent.rows, sort: [4, true],
      others: beyond(all.resent), columns: connectionColumns([RESENT, LATENCY, PAYLOAD]),
    }) : el("p", { class: "muted" }, "No connection sent a segment again."))));
}

// ---- Notes

function drawNotes() {
  main.append(section("notes", "Notes", null, card(el("ul", { class: "notes" },
    el("li", {}, "Filters are for the enriched capture, ", el("bdi", { class: "path" }, fileName(summary.output)),
      ", in Wireshark with the plugin ", el("code", {}, "ebpf.lua"), "; those that begin with ", el("code", {}, "ip."), " or ", el("code", {}, "frame."), " need no plugin."),
    el("li", {}, "A flow without a name on either side has its reasons on its first packet only, so the filter of a reason shows that one; ",
      el("code", {}, "--detail full"), " writes them on every packet."),
    el("li", {}, "Filters of single connections have the addresses of the socket. Where addresses were translated before the capture, its packets have others; the filter of the process finds them."),
    el("li", {}, "Bytes are those of whole packets on the wire. Where both ends are on recorded hosts, a packet counts as sent by one and received by the other."),
    el("li", {}, "Characters of names that can’t be seen, or that change the order of a line, are spelled out, as \\u{202e}.")))));
  byId("foot").append(data.program, " joined ", plural(summary.packets, "packet"), " in ", span(summary.elapsed_s * 1000), ".");
}

drawTop();
drawComplete();
drawNamed();
drawTraffic();
drawPairs();
drawProcesses();
drawConnections();
drawNotes();
document.documentElement.dataset.ready = "yes";
