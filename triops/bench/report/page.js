"use strict";
// Sorting: a heading's button sorts its table, and the other way round the next time. What is no number comes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th").forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      const rows = [...body.rows];
      const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
      const key = (row) => {
        const cell = row.cells[column];
        return numeric ? (cell.dataset.value === undefined ? null : Number(cell.dataset.value)) : cell.textContent;
      };
      rows.sort((one, other) => {
        const a = key(one), b = key(other);
        if (a === null || b === null) return (a === null) - (b === null);
        const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return down ? -order : order;
      });
      body.append(...rows);
      for (const each of table.tHead.querySelectorAll("th")) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}
// Filtering: a form filters the table beside it.
for (const form of document.querySelectorAll("form.filters")) {
  const rows = [...form.parentElement.querySelector("table.sortable tbody").rows];
  const said = form.querySelector("output");
  const filter = () => {
    const text = form.querySelector("input.filter").value.toLowerCase();
    const chosen = [...form.querySelectorAll("select.filter")].filter((select) => select.value);
    let shown = 0;
    for (const row of rows) {
      const fits =
        row.textContent.toLowerCase().includes(text) &&
        chosen.every((select) => row.dataset[select.dataset.name] === select.value);
      row.hidden = !fits;
      shown += fits;
    }
    said.textContent = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
