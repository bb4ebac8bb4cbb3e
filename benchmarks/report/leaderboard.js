
// The leaderboard's filters: a row is shown when it has every chosen value, a table when a row of it is shown.
const filters = [...document.querySelectorAll("select[data-filter]")];
function filter() {
  for (const row of document.querySelectorAll(".board tbody tr")) {
    row.hidden = filters.some((choice) => choice.value && row.dataset[choice.dataset.filter] !== choice.value);
  }
  for (const board of document.querySelectorAll(".board")) {
    board.hidden = !board.querySelector("tbody tr:not([hidden])");
  }
}
filters.forEach((choice) => choice.addEventListener("change", filter));
document.getElementById("filters").hidden = false;
filter();
