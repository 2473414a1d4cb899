// Numbers and times as people read them. All times are UTC.

const whole = new Intl.NumberFormat("en-US");
const count = (number) => whole.format(number);

function scaled(value, units, step) {
  let unit = 0;
  while (Math.abs(value) >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  const digits = value !== 0 && Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toFixed(digits) + " " + units[unit];
}

const size = (bytes) => scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"], 1000);
const rate = (bits) => scaled(bits, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
const short = (number) => scaled(number, ["", "k", "M", "G", "T"], 1000).replace(" ", "");

function micros(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return us + " µs";
  if (us < 1e6) return (us / 1e3).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0) + " ms";
  return (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + " s";
}

// Of a round number, without the zeros that tell how exact it is.
const plain = (us) => micros(us).replace(/\.0+ /, " ");

function span(ms) {
  if (ms < 1000) return (ms < 10 ? ms.toFixed(1).replace(/\.0$/, "") : ms.toFixed(0)) + " ms";
  const s = ms / 1000;
  if (s < 60) return s.toFixed(s < 10 ? 1 : 0).replace(/\.0$/, "") + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (Math.round(s % 60) ? " " + Math.round(s % 60) + " s" : "");
  if (s < 86400) return Math.floor(s / 3600) + " h" + (Math.round(s % 3600 / 60) ? " " + Math.round(s % 3600 / 60) + " min" : "");
  return (s / 86400).toFixed(s < 864000 ? 1 : 0).replace(/\.0$/, "") + " d";
}

const two = (number) => String(number).padStart(2, "0");

function day(ms) {
  const date = new Date(ms);
  return date.getUTCFullYear() + "-" + two(date.getUTCMonth() + 1) + "-" + two(date.getUTCDate());
}

// As many digits as a step of this length needs.
function clock(ms, step) {
  const date = new Date(Math.floor(ms));
  if (step >= 86400e3) return day(ms);
  let text = two(date.getUTCHours()) + ":" + two(date.getUTCMinutes());
  if (step >= 60e3) return text;
  text += ":" + two(date.getUTCSeconds());
  if (step >= 1000) return text;
  return text + "." + String(date.getUTCMilliseconds()).padStart(3, "0");
}

const moment = (ms) => day(ms) + " " + clock(ms, 1);

function percent(part, all) {
  if (!all) return "–";
  const share = 100 * part / all;
  // Rounding must not make all of it, or none.
  if (part < all && share > 99.9) return ">99.9 %";
  if (part > 0 && share < 0.1) return "<0.1 %";
  return share.toFixed(1).replace(/\.0$/, "") + " %";
}

// A program, container or address, in one line.
function named(of) {
  if (of.address) return of.address;
  const parts = [];
  if (of.comm) parts.push(of.comm);
  else if (of.container || of.pod) parts.push(of.pod || of.container);
  else if (of.host) parts.push(of.host);
  else parts.push("(no name)");
  return parts.join(" ");
}

const placeOf = (of) => of.comm ? of.pod || of.container : null;

// The same with where it runs, as elements.
function nameCell(of) {
  const place = placeOf(of);
  const parts = [el("bdi", { class: of.address ? "address" : "name" }, named(of))];
  if (of.pid !== undefined && of.pid !== null) parts.push(el("span", { class: "pid" }, of.pid));
  if (place) parts.push(el("bdi", { class: "tag" }, place));
  if (of.host && named(of) !== of.host) parts.push(el("bdi", { class: "tag host" }, of.host));
  if (of.why && of.why !== "remote") parts.push(el("span", { class: "tag why" }, of.why));
  if (of.behind) parts.push(el("span", { class: "for" }, " for ", nameCell(of.behind)));
  return el("span", { class: "who" }, parts);
}

function nameText(of) {
  const place = placeOf(of);
  let text = named(of) + (of.pid ? " " + of.pid : "") + (place ? " " + place : "");
  if (of.host && named(of) !== of.host) text += " " + of.host;
  if (of.why && of.why !== "remote") text += " " + of.why;
  return of.behind ? text + " for " + nameText(of.behind) : text;
}

