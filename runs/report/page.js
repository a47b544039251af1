"use strict";
(function () {
  const { template, figures } = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: true };
  const places = Array.from(document.querySelectorAll("[data-figure]"));
  function draw(place) {
    const { data, layout } = figures[Number(place.dataset.figure)];
    Plotly.newPlot(place, data, { ...layout, template }, config);
  }
  // One figure after the other, so that the page can be read and scrolled while the rest is drawn.
  let next = 0;
  (function step() {
    if (next < places.length) {
      setTimeout(step, 0); // first, so that one figure's failure does not cost the others
      draw(places[next++]);
    }
  })();
  function resize(width) {
    places.forEach((place) => { if (place.data) Plotly.relayout(place, width ? { width } : { width: null, autosize: true }); });
  }
  window.addEventListener("beforeprint", () => {
    while (next < places.length) draw(places[next++]);
    resize(680);
  });
  window.addEventListener("afterprint", () => resize(null));
})();
