"use strict";
// Every table of the page: sorted by its headings, filtered by text and by tags, rows unfolded on a click. Values of the
// data only ever become text nodes.
(() => {
  const STEP = 50, MOST_WORDS = 1200, MOSTLY_NEW = 0.6;
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Words that are only in one of two texts, by their longest common subsequence.
  function onlyIn(one, other) {
    const width = other.length + 1, best = new Uint16Array((one.length + 1) * width);
    for (let i = one.length - 1; i >= 0; i--)
      for (let j = other.length - 1; j >= 0; j--)
        best[i * width + j] = one[i] === other[j] ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    const mine = new Set(one.keys()), theirs = new Set(other.keys());
    for (let i = 0, j = 0; i < one.length && j < other.length;)
      if (one[i] === other[j]) { mine.delete(i++); theirs.delete(j++); }
      else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
      else j++;
    return [mine, theirs];
  }

  // Words, each with the white space before it.
  const pieces = (text) => text.match(/\s*\S+/gu) || [];

  function marked(side, words, only) {
    const parts = document.createDocumentFragment();
    words.forEach((word, place) => {
      const start = word.length - word.trimStart().length;
      parts.append(...(only.has(place) ? [word.slice(0, start), make("mark", side, word.slice(start))] : [word]));
    });
    return parts;
  }

  function unfolded(details, texts) {
    const sides = make("div", "sides");
    const compared = details.map((d, k) => [d, k]).filter(([d, k]) => d.is_compared && texts[k] != null).map(([, k]) => k);
    let marks = null;
    if (compared.length === 2) {
      const words = compared.map((k) => pieces(texts[k]));
      if (words.every((w) => w.length <= MOST_WORDS)) {
        const only = onlyIn(...words.map((side) => side.map((word) => word.trim())));
        // Marks help where the answers share something; on two different texts they would mark everything.
        if (only.every((o, n) => o.size < MOSTLY_NEW * words[n].length))
          marks = compared.map((k, n) => marked(n ? "other" : "one", words[n], only[n]));
      }
    }
    details.forEach((detail, k) => {
      if (texts[k] == null) return;
      const side = make("div", detail.is_compared ? "side" : "side whole"), body = make("div", "text");
      const mark = marks && compared.indexOf(k);
      body.append(marks && mark >= 0 ? marks[mark] : String(texts[k]));
      side.append(make("h4", "", detail.title), body);
      sides.append(side);
    });
    return sides;
  }

  function start(root) {
    const { columns, details, rows, sort } = JSON.parse(document.getElementById(root.id + "-data").textContent);
    const body = root.querySelector("tbody"), search = root.querySelector(".search"), more = root.querySelector(".more");
    const count = root.querySelector(".count"), tagBar = root.querySelector(".filters"), heads = [...root.querySelectorAll("th")];
    let key = null, direction = 1, shown = STEP;
    const pressed = new Set();
    const tagColumns = columns.map((c, k) => (c.kind === "tags" ? k : -1)).filter((k) => k >= 0);
    if (sort) { direction = sort[0] === "-" ? -1 : 1; key = columns.findIndex((c) => c.key === sort.replace(/^-/, "")); }

    const words = rows.map((row) => row.map((v) => (v == null ? "" : Array.isArray(v) ? v.join(" ") : String(v))).join("\n").toLowerCase());
    const found = () => {
      const query = search.value.trim().toLowerCase();
      const kept = [...rows.keys()].filter((n) => (!query || words[n].includes(query)) &&
        [...pressed].every((tag) => tagColumns.some((k) => (rows[n][k] || []).includes(tag))));
      if (key === null || key < 0) return kept;
      const value = (n) => { const v = rows[n][key]; return Array.isArray(v) ? v.length : v; };
      // Empty values stay at the end in both directions.
      return kept.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x == null || y == null) return (x == null) - (y == null) || a - b;
        return (x > y ? 1 : x < y ? -1 : 0) * direction || a - b;
      });
    };

    function cell(column, value) {
      const td = make("td", `is-${column.kind}`);
      td.setAttribute("role", "cell");
      td.dataset.title = column.title;
      if (value == null) return td;
      if (column.kind === "number") td.textContent = value.toLocaleString("en", { minimumFractionDigits: column.digits, maximumFractionDigits: column.digits });
      else if (column.kind === "tags") for (const tag of value) td.append(make("span", "tag", tag), " ");
      else td.append(make("div", "clip", String(value).slice(0, 300)));
      return td;
    }

    function line(n) {
      const tr = make("tr", "row");
      tr.setAttribute("role", "row");
      columns.forEach((column, k) => tr.append(cell(column, rows[n][k])));
      if (!details.length) return tr;
      tr.tabIndex = 0;
      tr.setAttribute("aria-expanded", "false");
      const toggle = () => {
        const next = tr.nextElementSibling, isOpen = next && next.classList.contains("open");
        tr.setAttribute("aria-expanded", String(!isOpen));
        if (isOpen) { next.remove(); return; }
        const open = make("tr", "open"), td = make("td");
        td.colSpan = columns.length;
        td.append(unfolded(details, rows[n].slice(columns.length)));
        open.append(td);
        tr.after(open);
      };
      tr.addEventListener("click", () => { if (!String(getSelection())) toggle(); });
      tr.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(); });
      return tr;
    }

    function draw() {
      const kept = found();
      body.replaceChildren(...kept.slice(0, shown).map(line));
      more.hidden = kept.length <= shown;
      count.textContent = `${kept.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
      heads.forEach((head, k) => k === key ? head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
    }

    const tags = new Map();
    for (const row of rows) for (const k of tagColumns) for (const tag of row[k] || []) tags.set(tag, (tags.get(tag) || 0) + 1);
    for (const [tag, times] of [...tags].sort((a, b) => b[1] - a[1]).slice(0, 16)) {
      const button = make("button", "", `${tag} ${times}`);
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        if (!pressed.delete(tag)) pressed.add(tag);
        button.setAttribute("aria-pressed", String(pressed.has(tag)));
        shown = STEP;
        draw();
      });
      tagBar.append(button);
    }
    heads.forEach((head, k) => head.querySelector("button").addEventListener("click", () => {
      // Numbers and tags are mostly asked for from the top, texts from A.
      direction = key === k ? -direction : columns[k].kind === "text" ? 1 : -1;
      key = k;
      draw();
    }));
    search.addEventListener("input", () => { shown = STEP; draw(); });
    more.addEventListener("click", () => { shown += STEP * 4; draw(); });
    draw();
  }

  document.querySelectorAll(".table").forEach(start);
})();
