// Tables that sort by any column, show their first rows, and can be searched.

const FIRST_ROWS = 10;

// Columns: title, value (to sort by), cell (to show; the value if missing), number (right-aligned).
function table({ id, caption, columns, rows, sort, others, first = FIRST_ROWS }) {
  let [by, descending] = sort || [null, false];
  let wanted = "";
  let all = rows.length <= first + 2;
  const body = el("tbody", {});
  const wrap = el("div", { class: "scroll" });
  const more = el("button", { type: "button", class: "more", onclick: () => { all = !all; draw(); } });
  const heads = columns.map((column, at) => {
    const button = el("button", { type: "button", onclick: () => {
      descending = by === at ? !descending : Boolean(column.number);
      by = at;
      draw();
    } }, column.title, el("span", { class: "arrow", "aria-hidden": "true" }));
    const plain = column.fixed;
    return el("th", { scope: "col", class: column.number ? "number" : null, title: column.hint },
      plain ? column.title : button);
  });
  const text = rows.map((row) => columns.map((column) => String(column.text ? column.text(row)
    : column.value ? column.value(row) : "")).join("\n").toLowerCase());

  function order() {
    let list = rows.map((row, at) => at).filter((at) => !wanted || text[at].includes(wanted));
    if (by !== null) {
      const value = columns[by].value;
      const keys = rows.map(value);
      list.sort((a, b) => {
        const [x, y] = [keys[a], keys[b]];
        const empty = (z) => z === null || z === undefined;
        if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b;
        const less = typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0;
        return (descending ? -less : less) || a - b;
      });
    }
    return list;
  }

  function draw() {
    const list = order();
    const shown = all ? list : list.slice(0, first);
    body.replaceChildren(...shown.map((at) => el("tr", {}, columns.map((column) => {
      const show = column.cell || column.value;
      return el("td", { class: [column.number && "number", column.class].filter(Boolean).join(" ") || null },
        show(rows[at], at));
    }))));
    heads.forEach((node, at) => {
      node.setAttribute("aria-sort", at !== by ? "none" : descending ? "descending" : "ascending");
    });
    more.hidden = list.length <= first || rows.length <= first + 2;
    more.textContent = all ? "Show fewer" : "Show all " + count(list.length);
    more.setAttribute("aria-expanded", String(all));
  }

  const search = rows.length > first + 2 && el("input", {
    type: "search", class: "search", placeholder: "Find …", "aria-label": "Find in " + caption,
    oninput: (event) => { wanted = event.target.value.trim().toLowerCase(); draw(); },
  });
  wrap.append(el("table", { id }, el("caption", { class: "offscreen" }, caption),
    el("thead", {}, el("tr", {}, heads)), body));
  draw();
  return el("div", { class: "table" }, search, wrap,
    el("div", { class: "below" }, more, others && el("span", { class: "muted" }, others)));
}

const FILTER_COLUMN = {
  title: "Wireshark filter", fixed: true, class: "filters",
  text: (row) => row.filter || "", cell: (row) => filterCell(row.filter),
};

