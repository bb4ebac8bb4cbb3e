"use strict";
// Everything is readable without this script; with it tables sort, two checkpoints compare, and paper shows all.

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, column));
  });
}

function sort(table, column) {
  const headings = [...table.tHead.rows[0].cells];
  const falling = headings[column].getAttribute("aria-sort") === "ascending";
  headings.forEach((heading) => heading.removeAttribute("aria-sort"));
  headings[column].setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[column];
    const number = cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
    return { row, number, text: cell.textContent.trim() };
  });
  keyed.sort((a, b) => {
    const missing = (entry) => Number.isNaN(entry.number) && entry.text === "-";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = Number.isNaN(a.number) || Number.isNaN(b.number)
      ? a.text.localeCompare(b.text, undefined, { numeric: true })
      : a.number - b.number;
    return falling ? -order : order;
  });
  body.append(...keyed.map((entry) => entry.row));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values) => {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
};
const round = (value, signed) => (signed && value >= 0 ? "+" : "") + value.toFixed(3);
const spread = (values) => round(mean(values)) + (values.length > 1 ? ` ± ${round(deviation(values))}` : "");

function compare(groups, first, second) {
  const place = document.getElementById("differences");
  place.replaceChildren();
  for (const group of groups) {
    const rows = [];
    for (const [metric, names] of Object.entries(group.metrics)) {
      const left = names[first] || [];
      const right = names[second] || [];
      if (!left.length || !right.length) continue;
      const pairs = left.flatMap(([seed, value]) =>
        right.filter((other) => other[0] === seed).map((other) => other[1] - value));
      const values = [left, right].map((runs) => runs.map((run) => run[1]));
      const row = [metric, spread(values[0]), spread(values[1])];
      if (!pairs.length) row.push("-", "no run with the same seed");
      else if (pairs.length === 1) row.push(round(pairs[0], true), "one pair, no spread");
      else {
        const clear = Math.abs(mean(pairs)) > deviation(pairs) ? "larger than its spread" : "within its spread";
        row.push(`${round(mean(pairs), true)} ± ${round(deviation(pairs))}`, `${pairs.length} pairs, ${clear}`);
      }
      rows.push(row);
    }
    if (rows.length) place.append(table(group.title, ["metric", first, second, "difference", ""], rows));
  }
  if (!place.children.length) place.textContent = "These two were not run on a benchmark in common.";
}

function table(title, headings, rows) {
  const element = document.createElement("table");
  element.createCaption().textContent = title;
  const head = element.createTHead().insertRow();
  for (const heading of headings) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = heading;
    head.append(cell);
  }
  const body = element.createTBody();
  for (const values of rows) {
    const row = body.insertRow();
    values.forEach((value, index) => {
      const cell = index ? row.insertCell() : row.appendChild(document.createElement("th"));
      cell.textContent = value;
      if (index && index < 4) cell.className = "number";
    });
  }
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.append(element);
  return scroll;
}

const chosen = ["first", "second"].map((name) => document.getElementById(name));
if (chosen.every(Boolean)) {
  const groups = JSON.parse(document.getElementById("numbers").textContent);
  const update = () => compare(groups, chosen[0].value, chosen[1].value);
  chosen.forEach((choice) => choice.addEventListener("change", update));
  document.getElementById("compare").hidden = false;
  update();
}

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
