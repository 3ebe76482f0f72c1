"use strict";
// Colours of text and grid come from the style sheet; only sizes have to be told when the page goes to paper.
const figures = JSON.parse(document.getElementById("figures").textContent);
const places = Object.keys(figures).map((name) => document.getElementById(name));
// The buttons are listed, since plotly's own choice has one that sends the chart to a server.
const config = {
  responsive: true,
  displaylogo: false,
  plotlyServerURL: "",
  displayModeBar: window.matchMedia("(hover: hover) and (min-width: 600px)").matches ? "hover" : false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
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
