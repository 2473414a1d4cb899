// Charts by time: stacked bars, one bucket after the other. The arrow keys walk through them, as the
// pointer does; Enter copies the filter of the bucket.

const CHART = { left: 72, right: 10, top: 10, bottom: 26, height: 210 };

// Steps that people count in; milliseconds.
const TIME_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3,
  300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3, 21600e3, 43200e3, 86400e3, 172800e3,
  604800e3, 2592000e3, 31536000e3];

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].map((step) => step * power).find((top) => top >= value);
}

function timeFilter(from, to) {
  const seconds = (ms) => (ms / 1000).toFixed(3);
  return "frame.time_epoch >= " + seconds(from) + " && frame.time_epoch < " + seconds(to);
}

function legend(series, total, hidden, change) {
  return el("ul", { class: "legend" }, series.map((one, at) => el("li", {},
    el("button", {
      type: "button", "aria-pressed": String(!hidden.has(at)), title: "Show or hide",
      onclick: () => { if (!hidden.delete(at)) hidden.add(at); change(); },
    }, el("span", { class: "swatch " + one.style }), one.node ? one.node() : el("bdi", {}, one.name),
    el("span", { class: "muted" }, total(one))))));
}

// Series: name, style (a class), values. Options: time {start_ms, width_ms}, label, show(value, at),
// axis(value), total(series), unit (how much one of a value is on the axis), bands.
function stacked(series, options) {
  const { time, show, axis, total, label, bands = [], filtered = true, unit = 1 } = options;
  const length = series.length ? series[0].values.length : 0;
  const hidden = new Set();
  const figure = el("figure", { class: "chart" });
  let cursor = null;

  function draw() {
    const width = Math.max(300, figure.clientWidth || 900);
    const inner = width - CHART.left - CHART.right;
    const tall = CHART.height - CHART.top - CHART.bottom;
    const seen = series.filter((one, at) => !hidden.has(at));
    const sums = Array.from({ length }, (_, at) => seen.reduce((sum, one) => sum + one.values[at], 0));
    const top = niceTop(Math.max(0, ...sums) * unit) / unit;
    const x = (at) => CHART.left + inner * at / length;
    const y = (value) => CHART.top + tall * (1 - value / top);
    const gap = inner / length > 5 ? 1 : 0;

    const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => svg("g", {},
      svg("line", { class: share ? "grid" : "base", x1: CHART.left, x2: width - CHART.right, y1: y(top * share), y2: y(top * share) }),
      svg("text", { class: "tick", x: CHART.left - 8, y: y(top * share) + 4, "text-anchor": "end" }, axis(top * share * unit))));

    const end = time.start_ms + length * time.width_ms;
    const most = Math.max(2, Math.floor(inner / 84));
    const step = TIME_STEPS.find((step) => (end - time.start_ms) / step <= most) || TIME_STEPS.at(-1);
    const ticks = [];
    for (let at = Math.ceil(time.start_ms / step) * step; at <= end; at += step) {
      const place = CHART.left + inner * (at - time.start_ms) / (end - time.start_ms);
      if (place < CHART.left + 24 || place > width - 34) continue;
      ticks.push(svg("line", { class: "mark", x1: place, x2: place, y1: CHART.top + tall, y2: CHART.top + tall + 4 }),
        svg("text", { class: "tick", x: place, y: CHART.height - 7, "text-anchor": "middle" }, clock(at, step)));
    }

    const shades = bands.map(([from, to]) => {
      const place = (ms) => Math.min(width - CHART.right,
        Math.max(CHART.left, CHART.left + inner * (ms - time.start_ms) / (end - time.start_ms)));
      return svg("rect", { class: "loss", x: place(from), width: Math.max(1, place(to) - place(from)), y: CHART.top, height: tall });
    });

    const floor = new Array(length).fill(0);
    const bars = seen.map((one) => {
      let path = "";
      for (let at = 0; at < length; at++) {
        const value = one.values[at];
        if (!value) continue;
        const [low, high] = [y(floor[at]), y(floor[at] + value)];
        floor[at] += value;
        // What is there must be seen.
        path += "M" + x(at).toFixed(1) + " " + low.toFixed(1) + "V" + Math.min(high, low - 0.6).toFixed(1) +
          "h" + (inner / length - gap).toFixed(2) + "V" + low.toFixed(1) + "z";
      }
      return svg("path", { class: "bar " + one.style, d: path });
    });

    const cursorMark = svg("rect", { class: "cursor", y: CHART.top, height: tall, width: inner / length, visibility: "hidden" });
    const picture = svg("svg", {
      viewBox: "0 0 " + width + " " + CHART.height, class: "plot", role: "img", tabindex: 0, "aria-label":
        label + ". " + span(time.width_ms) + " a bar. Arrow keys read the bars" + (filtered ? ", Enter copies the filter of one." : "."),
    }, grid, cursorMark, bars, shades, ticks);

    function point(at) {
      cursor = Math.max(0, Math.min(length - 1, at));
      cursorMark.setAttribute("x", x(cursor));
      cursorMark.setAttribute("visibility", "visible");
      const from = time.start_ms + cursor * time.width_ms;
      const lines = seen.map((one) => [one, one.values[cursor]]).filter(([, value]) => value).reverse();
      const shown = el("div", {}, el("strong", {}, clock(from, Math.min(time.width_ms, 1000)) + " UTC"),
        el("span", { class: "muted" }, " " + span(time.width_ms)),
        lines.length ? lines.map(([one, value]) => el("div", { class: "line" }, el("span", { class: "swatch " + one.style }),
          one.node ? one.node() : el("bdi", {}, one.name), el("b", {}, show(value)))) : el("div", { class: "muted" }, "nothing"));
      const box = picture.getBoundingClientRect();
      tooltip(shown, box.left + x(cursor + 0.5) * box.width / width, box.top + CHART.top);
    }
    function leave() {
      cursor = null;
      cursorMark.setAttribute("visibility", "hidden");
      tooltip(null);
    }
    const under = (event) => {
      const box = picture.getBoundingClientRect();
      const place = (event.clientX - box.left) * width / box.width;
      return Math.floor((place - CHART.left) / inner * length);
    };
    const copyBucket = () => {
      const from = time.start_ms + cursor * time.width_ms;
      copy(timeFilter(from, from + time.width_ms));
    };
    picture.addEventListener("pointermove", (event) => point(under(event)));
    picture.addEventListener("pointerleave", leave);
    picture.addEventListener("blur", leave);
    if (filtered) picture.addEventListener("click", (event) => { point(under(event)); copyBucket(); });
    picture.addEventListener("keydown", (event) => {
      const far = Math.max(1, Math.round(length / 10));
      const to = {
        ArrowRight: cursor === null ? 0 : cursor + 1, ArrowLeft: cursor === null ? length - 1 : cursor - 1,
        PageDown: (cursor || 0) + far, PageUp: (cursor || 0) - far, Home: 0, End: length - 1,
      }[event.key];
      if (to !== undefined) point(to);
      else if (event.key === "Enter" && cursor !== null && filtered) copyBucket();
      else if (event.key === "Escape") leave();
      else return;
      event.preventDefault();
    });
    figure.replaceChildren(picture, series.length > 1 || series[0] && series[0].name ? legend(series, total, hidden, draw) : "");
  }
  observe(figure, draw);
  return figure;
}

// What is drawn for a width is drawn again when that changes.
let drawn = [];

function drawAll() {
  drawn = drawn.filter(({ figure }) => figure.isConnected);
  for (const one of drawn) {
    if (one.figure.clientWidth === one.width) continue;
    one.width = one.figure.clientWidth;
    one.draw();
  }
}

function observe(figure, draw) {
  drawn.push({ figure, draw, width: null });
  queueMicrotask(drawAll);
}

addEventListener("resize", () => requestAnimationFrame(drawAll));

function tooltip(content, left, top) {
  const tip = byId("tip");
  tip.hidden = !content;
  if (!content) return;
  tip.replaceChildren(content);
  const { width } = tip.getBoundingClientRect();
  const place = left + 14 + width > window.innerWidth - 8 ? left - width - 14 : left + 14;
  tip.style.left = Math.max(8, place) + "px";
  tip.style.top = Math.max(8, top) + "px";
}

// Plain bars side by side: [label, value, hint].
function histogram(bars, label) {
  const figure = el("figure", { class: "chart" });
  function draw() {
    const width = Math.max(300, figure.clientWidth || 900);
    const inner = width - CHART.left - CHART.right;
    const tall = CHART.height - CHART.top - CHART.bottom;
    const top = niceTop(Math.max(0, ...bars.map(([, value]) => value)));
    const y = (value) => CHART.top + tall * (1 - value / top);
    const each = Math.min(96, inner / bars.length);
    const grid = [0, 0.5, 1].map((share) => svg("g", {},
      svg("line", { class: share ? "grid" : "base", x1: CHART.left, x2: width - CHART.right, y1: y(top * share), y2: y(top * share) }),
      svg("text", { class: "tick", x: CHART.left - 8, y: y(top * share) + 4, "text-anchor": "end" }, short(top * share))));
    const every = Math.ceil(60 / each);
    const marks = bars.map(([text, value, hint], at) => svg("g", { class: "column" },
      svg("rect", { class: "hit", x: CHART.left + each * at, y: CHART.top, width: each, height: tall }),
      svg("rect", {
        class: "bar s0", x: CHART.left + each * at + 1, width: Math.max(1, each - 2), rx: 1.5,
        y: value ? Math.min(y(value), y(0) - 1.5) : y(0), height: value ? Math.max(1.5, y(0) - y(value)) : 0,
      }, svg("title", {}, hint)),
      svg("title", {}, hint),
      at % every ? null : svg("text", { class: "tick", x: CHART.left + each * at, y: CHART.height - 7, "text-anchor": at ? "middle" : "start" }, text)));
    figure.replaceChildren(svg("svg", {
      viewBox: "0 0 " + width + " " + CHART.height, class: "plot", role: "img", "aria-label":
        label + ": " + bars.filter(([, value]) => value).map(([, , hint]) => hint).join("; "),
    }, grid, marks));
  }
  observe(figure, draw);
  return figure;
}

