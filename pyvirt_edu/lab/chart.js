// A chart: the plain picture stands in the page; where the book's plotly.js is found, it takes over.

// One copy for all charts of a page. Sphinx says where its root is.
function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  if (!window.pyvirtPlotly)
    window.pyvirtPlotly = new Promise((done, failed) => {
      const root = document.documentElement.dataset.content_root;
      if (root === undefined) return failed(new Error("not a page of the book"));
      const script = element("script", "", undefined, { src: root + "_static/plotly.min.js" });
      script.addEventListener("load", () => (window.Plotly ? done(window.Plotly) : failed(new Error("no Plotly"))));
      script.addEventListener("error", () => failed(new Error("no plotly.js")));
      document.head.append(script);
    });
  return window.pyvirtPlotly;
}

function startChart(root, data) {
  const colours = () => {
    const style = getComputedStyle(root);
    const [ink, line, back] = ["--fg", "--line", "--bg"].map((name) => style.getPropertyValue(name).trim());
    return {
      "font.color": ink, paper_bgcolor: back, plot_bgcolor: back,
      "xaxis.linecolor": ink, "yaxis.linecolor": ink, "xaxis.gridcolor": line, "yaxis.gridcolor": line,
      "xaxis.zerolinecolor": line, "yaxis.zerolinecolor": line,
    };
  };
  const ready = plotly().then(async (Plotly) => {
    const plot = element("div", "pv-plot");
    root.querySelector(".pv-plain").replaceWith(plot);
    await Plotly.newPlot(plot, data.data, data.layout, { responsive: true, displayModeBar: false });
    const dress = () => Plotly.relayout(plot, colours());
    await dress();
    new MutationObserver(dress).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    return plot;
  });
  // Without plotly.js the picture stays.
  ready.catch(() => {});
  return { ready };
}
