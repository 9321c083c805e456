"use strict";
(() => {
  const table = document.getElementById("tests"), rows = [...table.tBodies[0].rows];
  const form = document.getElementById("filter"), shown = document.getElementById("shown");
  let texts = null;
  const apply = () => {
    texts ??= rows.map(row => row.cells[1].textContent.toLowerCase());
    const words = form.words.value.toLowerCase().split(/\s+/).filter(word => word);
    const kind = form.kind.value;
    const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map(box => box.value));
    let count = 0;
    rows.forEach((row, place) => {
      const keep = verdicts.has(row.dataset.v) && (!kind || row.dataset.k === kind)
        && words.every(word => texts[place].includes(word));
      row.hidden = !keep;
      count += keep;
    });
    shown.textContent = count + " of " + rows.length + " tests";
  };
  const byColumn = button => {
    const column = +button.dataset.column, up = button.getAttribute("aria-pressed") !== "true";
    table.querySelectorAll("thead button").forEach(other => other.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(up));
    const key = row => row.cells[column].dataset.s ?? row.cells[column].textContent;
    const order = (a, b) => isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
    const sorted = [...rows].sort((a, b) => up ? order(a, b) : order(b, a));
    table.tBodies[0].append(...sorted);
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  table.querySelectorAll("thead button").forEach(button => {
    button.disabled = false;
    button.addEventListener("click", () => byColumn(button));
  });
  shown.textContent = rows.length + " tests";
})();
