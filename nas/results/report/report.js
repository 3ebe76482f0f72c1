"use strict";
// Colours of text and grid come from the style sheet; only sizes have to be told when the page goes to paper.
const figures = JSON.parse(document.getElementById("figures").textContent);
const places = Object.keys(figures).map((name) => document.getElementById(name));
const config = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};
for (const place of places) {
  const figure = figures[place.id];
  Plotly.newPlot(place, figure.data, figure.layout, config);
}
const PAPER_WIDTH = 640;
window.addEventListener("beforeprint", () => {
  for (const place of places) Plotly.relayout(place, { width: PAPER_WIDTH });
});
window.addEventListener("afterprint", () => {
  for (const place of places) Plotly.relayout(place, { width: null, autosize: true });
});
