// What all figures share; inlined before the figure's own script (house.py).

const count = (value) => Math.round(value).toLocaleString("en");

function element(tag, name, text, attributes) {
  const found = document.createElement(tag);
  if (name) found.className = name;
  if (text !== undefined) found.textContent = text;
  for (const key in attributes) found.setAttribute(key, attributes[key]);
  return found;
}

// Dark or light is as on the page: Sphinx themes and JupyterLab say it, elsewhere the background does.
function theme(root) {
  const decide = () => {
    const said = document.documentElement.dataset.theme || { true: "light", false: "dark" }[document.body.dataset.jpThemeLight];
    if (said === "light" || said === "dark") {
      root.dataset.theme = said;
      return;
    }
    const prefers = matchMedia("(prefers-color-scheme: dark)").matches;
    let dark = prefers && getComputedStyle(document.documentElement).colorScheme.includes("dark");
    for (let at = root.parentElement; at; at = at.parentElement) {
      const part = getComputedStyle(at).backgroundColor.match(/[\d.]+/g) || [];
      if (part.length < 3 || part[3] === "0") continue;
      dark = 0.299 * part[0] + 0.587 * part[1] + 0.114 * part[2] < 128;
      break;
    }
    root.dataset.theme = dark ? "dark" : "light";
  };
  decide();
  const watch = new MutationObserver(() => setTimeout(decide, 50));
  const filter = { attributes: true, attributeFilter: ["class", "data-theme", "data-jp-theme-name", "data-jp-theme-light", "style"] };
  watch.observe(document.body, filter);
  watch.observe(document.documentElement, filter);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", decide);
  requestAnimationFrame(decide);
  return () => {
    watch.disconnect();
    media.removeEventListener("change", decide);
  };
}

// Start every figure of a kind that is not running yet.
function startAll(kind, start) {
  for (const root of document.querySelectorAll("." + kind + ":not([data-ready])")) {
    const data = root.querySelector("script[type='application/json']");
    if (!data) continue;
    root.dataset.ready = "1";
    // JupyterLab: the keys are ours while the focus is in here.
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    theme(root);
    root.pyvirt = start(root, JSON.parse(data.textContent));
  }
}
