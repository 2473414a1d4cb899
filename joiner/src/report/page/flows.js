// Who talks to whom, as ribbons from clients to servers; as thick as they have bytes.

const MAX_RIBBONS = 14;

function ribbons(pairs) {
  const shown = pairs.slice(0, MAX_RIBBONS);
  const figure = el("figure", { class: "chart ribbons" });
  const weight = (pair) => pair.out[1] + pair.back[1];
  const label = (of, port) => nameText(of) + (port ? " " + port : "");

  function ends(side) {
    const found = new Map();
    for (const pair of shown) {
      const port = side === "server" && pair.port ? pair.proto + "/" + pair.port : side === "server" ? pair.proto : "";
      const text = label(pair[side], port);
      if (!found.has(text)) found.set(text, { text, of: pair[side], port, bytes: 0, members: [] });
      const end = found.get(text);
      end.bytes += weight(pair);
      end.members.push(pair);
    }
    return [...found.values()].sort((a, b) => b.bytes - a.bytes);
  }

  function draw() {
    const width = Math.max(300, figure.clientWidth || 900);
    const [left, right] = [ends("client"), ends("server")];
    // Ribbons leave an end in the order of where they go, so that they cross less.
    const untangle = (list, other) => {
      const rank = new Map(other.flatMap((end, at) => end.members.map((pair) => [pair, at])));
      for (const end of list) end.members.sort((a, b) => rank.get(a) - rank.get(b));
    };
    untangle(left, right);
    untangle(right, left);
    const all = shown.reduce((sum, pair) => sum + weight(pair), 0) || 1;
    // The smallest is two pixels thick, and every end has room for its name.
    const thick = (bytes) => 2 + 220 * bytes / all;
    const tall = (end) => end.members.reduce((sum, pair) => sum + thick(weight(pair)), 0);
    const slot = (end) => Math.max(placeOf(end.of) || end.of.why ? 34 : 24, tall(end) + 10);
    const needs = (list) => list.reduce((sum, end) => sum + slot(end), 0);
    const height = Math.max(needs(left), needs(right));
    const column = Math.min(260, width * 0.34);
    const [x0, x1] = [column, width - column];

    const places = new Map();
    const node = (list, side) => {
      const space = (height - needs(list)) / list.length;
      let top = 0;
      return list.map((end, rank) => {
        const begin = top + (slot(end) + space - tall(end)) / 2;
        let at = begin;
        top += slot(end) + space;
        for (const pair of end.members) {
          if (!places.has(pair)) places.set(pair, { rank });
          places.get(pair)[side] = at;
          at += thick(weight(pair));
        }
        const middle = (begin + at) / 2;
        const mark = svg("rect", { class: "node", x: side === "client" ? x0 - 4 : x1, y: begin, width: 4, height: at - begin, rx: 1.5 });
        const anchor = side === "client" ? "end" : "start";
        const where = placeOf(end.of) || (end.of.why && end.of.why !== "remote" ? end.of.why : null);
        const room = Math.floor(column / 7.2);
        const cut = (text) => [...text].length > room ? [...text].slice(0, room - 1).join("") + "…" : text;
        const main = named(end.of) + (end.port ? "  " + end.port : "");
        return svg("g", {}, mark, svg("text", { class: "end", x: side === "client" ? x0 - 12 : x1 + 12, y: middle + (where ? -2 : 4), "text-anchor": anchor },
          cut(main), svg("title", {}, end.text + ": " + size(end.bytes))),
        where && svg("text", { class: "end small", x: side === "client" ? x0 - 12 : x1 + 12, y: middle + 11, "text-anchor": anchor }, cut(where)));
      });
    };
    const nodes = [node(left, "client"), node(right, "server")];
    const middle = (x0 + x1) / 2;
    const paths = shown.map((pair) => {
      const { client, server, rank } = places.get(pair);
      const t = thick(weight(pair));
      return svg("path", {
        class: "ribbon s" + Math.min(rank, 8),
        d: `M${x0} ${client}C${middle} ${client} ${middle} ${server} ${x1} ${server}v${t}C${middle} ${server + t} ${middle} ${client + t} ${x0} ${client + t}z`,
      }, svg("title", {}, nameText(pair.client) + " → " + label(pair.server, pair.port ? pair.proto + "/" + pair.port : pair.proto) +
        ": " + size(pair.out[1]) + " there, " + size(pair.back[1]) + " back"));
    });
    figure.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": "Who talks to whom; the table below has the same in numbers" }, paths, nodes));
  }
  observe(figure, draw);
  return figure;
}

