// The comparison: what comparisons.py computes, again at the prices that the reader sets. The
// figure stands in the page already; this only changes its numbers and its bars.

const DEAREST = 60000;
const TICKS = 5;
const ROUND = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
const decimal = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });

// A round number of which TICKS make up at least so much.
function tick(biggest) {
  for (let unit = 1; ; unit *= 10)
    for (const digits of ROUND) if (TICKS * digits * unit >= biggest) return digits * unit;
}

class Comparison {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.whole = true;
    this.prices = data.prices.map((pair) => pair[1]);
    this.names = data.runs.map((run) => run.name);
    this.last = -1;
    this.status = root.querySelector(".pv-status");
    this.ratio = root.querySelector("svg[role=img]").viewBox.baseVal.width;
    this.explained = root.querySelector(".pv-view").textContent;
    this.controls();
    this.show();
  }

  controls() {
    const { data, root } = this;
    this.inputs = [...root.querySelectorAll(".pv-price[data-price]")].map((cell) => {
      const k = Number(cell.dataset.price);
      const [name, measured] = data.prices[k];
      const box = element("div", "pv-control");
      const label = "Price of " + name + ", in cycles";
      const slider = element("input", "", undefined, { type: "range", min: 0, max: this.reach(k), step: 1, "aria-label": label });
      const exact = element("input", "", undefined, { type: "number", min: 0, max: DEAREST, step: 1, "aria-label": label + ", exactly" });
      slider.addEventListener("input", () => this.move(k, Number(slider.value)));
      exact.addEventListener("input", () => this.move(k, Math.max(0, Math.min(DEAREST, Number(exact.value) || 0)), exact));
      box.append(slider, exact);
      box.dataset.measured = measured;
      cell.replaceChildren(box);
      return { k, slider, exact, cell };
    });
    const bar = element("div", "pv-bar");
    this.reset = element("button", "pv-button", "Prices as measured", { type: "button" });
    this.reset.addEventListener("click", () => {
      this.prices = data.prices.map((pair) => pair[1]);
      this.last = -1;
      this.show();
    });
    const choice = element("label");
    const box = element("input", "", undefined, { type: "checkbox" });
    box.addEventListener("change", () => {
      this.whole = box.checked;
      this.show();
    });
    box.checked = true;
    choice.append(box, " with the guest's own work");
    bar.append(this.reset, choice);
    root.querySelector("svg[role=img]").before(bar);
  }

  // How far a slider goes: to where the winner changes, if that is not too far.
  reach(k) {
    const measured = this.data.prices[k][1];
    const far = this.winners(k).slice(0, -1).map((span) => span[1]).filter((place) => place < 20 * measured);
    return Math.min(DEAREST, Math.ceil(Math.max(4 * measured, 20, ...far.map((place) => 1.25 * place))));
  }

  move(k, value, typed) {
    this.prices[k] = value;
    this.last = k;
    this.show(typed);
  }

  cost(run, prices, whole) {
    const found = this.data.runs[run];
    let sum = found.rest + (whole ? found.own : 0);
    prices.forEach((price, k) => (sum += found.counts[k] * price));
    return sum;
  }
  order(prices) {
    return [...this.data.contestants].sort((a, b) => this.cost(a, prices, this.whole) - this.cost(b, prices, this.whole));
  }
  winners(k) {
    const { contestants, runs } = this.data;
    const prices = [...this.prices];
    prices[k] = 0;
    const zero = {};
    for (const run of contestants) zero[run] = this.cost(run, prices, this.whole);
    const slope = (run) => runs[run].counts[k];
    const cuts = new Set([0, DEAREST]);
    for (const a of contestants)
      for (const b of contestants) {
        const crossing = (zero[b] - zero[a]) / (slope(a) - slope(b));
        if (a < b && crossing > 0 && crossing < DEAREST) cuts.add(crossing);
      }
    const places = [...cuts].sort((a, b) => a - b);
    const out = [];
    for (let i = 1; i < places.length; i++) {
      const middle = (places[i - 1] + places[i]) / 2;
      const value = (run) => zero[run] + slope(run) * middle;
      const best = contestants.reduce((a, b) => (value(b) < value(a) ? b : a));
      if (out.length && out[out.length - 1][0] === best) out.pop();
      out.push([best, places[i]]);
    }
    return out;
  }

  verdict() {
    const { names, prices, whole } = this;
    const order = this.order(prices);
    const best = this.cost(order[0], prices, whole);
    let said = names[order[0]] + " wins with " + count(best) + " cycles";
    for (const run of order.slice(1)) {
      const more = this.cost(run, prices, whole);
      said += "; " + names[run] + " takes " + count(more) + (best ? ", " + decimal((100 * (more - best)) / best) + "% more" : "");
    }
    names.forEach((name, run) => {
      if (!this.data.contestants.includes(run)) said += "; " + name + ": " + count(this.cost(run, prices, whole));
    });
    return said + ".";
  }
  change(k) {
    const spans = this.winners(k);
    if (spans.length === 1) return "always " + this.names[spans[0][0]];
    return spans
      .map(([run, high], i) => {
        if (i === spans.length - 1) return "then " + this.names[run];
        return this.names[run] + (i ? " to " : " below ") + decimal(high);
      })
      .join(", ");
  }
  sweep() {
    const now = this.order(this.prices).join();
    const found = [];
    this.data.prices.forEach(([name], k) => {
      for (const [factor, how] of [[0.5, "halved"], [1.5, "raised by half"]]) {
        const moved = [...this.prices];
        moved[k] *= factor;
        const after = this.order(moved);
        if (after.join() !== now)
          found.push(name + " " + how + " (" + decimal(moved[k]) + "): " + after.map((run) => this.names[run]).join(", then "));
      }
    });
    return "Each of the " + this.data.prices.length + " prices halved, and raised by half: " +
      (found.length ? "the order changes with " + found.join("; ") + "." : "the order stays.");
  }

  // Cycles of a part: the guest's own work, its ports, each price, the rest.
  part(run, k) {
    const found = this.data.runs[run];
    const { prices, data } = this;
    if (k === 0) return found.own;
    if (k === 1) return data.port < 0 ? 0 : found.ownPorts * prices[data.port];
    if (k === prices.length + 2) return found.rest;
    const own = k - 2 === data.port ? found.ownPorts : 0;
    return (found.counts[k - 2] - own) * prices[k - 2];
  }

  show(typed) {
    const { data, root, prices } = this;
    for (const { k, slider, exact, cell } of this.inputs) {
      const moved = prices[k] !== data.prices[k][1];
      slider.value = prices[k];
      slider.setAttribute("aria-valuetext", count(prices[k]) + " cycles" + (moved ? ", measured with " + count(data.prices[k][1]) : ""));
      if (exact !== typed) exact.value = prices[k];
      cell.parentElement.firstElementChild.classList.toggle("pv-moved", moved);
    }
    const totals = data.runs.map((_, run) => this.cost(run, prices, this.whole));
    const step = tick(Math.max(...totals));
    const at = data.runs.map(() => 0);
    for (const rect of root.querySelectorAll("rect[data-run]")) {
      const run = Number(rect.dataset.run);
      const k = Number(rect.dataset.part);
      const cycles = k || this.whole ? this.part(run, k) : 0;
      const wide = (cycles * this.ratio) / (TICKS * step);
      rect.setAttribute("x", at[run].toFixed(2));
      rect.setAttribute("width", Math.max(0, wide).toFixed(2));
      at[run] += wide;
      const title = rect.querySelector("title");
      title.textContent = title.textContent.replace(/[\d,]+ cycles$/, count(cycles) + " cycles");
    }
    for (const text of root.querySelectorAll("[data-total]")) text.textContent = count(totals[text.dataset.total]) + " cycles";
    for (const text of root.querySelectorAll("[data-tick]")) text.textContent = count(step * text.dataset.tick);
    for (const cell of root.querySelectorAll("[data-cell]")) {
      const [run, k] = cell.dataset.cell.split(",").map(Number);
      cell.textContent = count(this.part(run, k));
    }
    for (const cell of root.querySelectorAll("[data-whole]"))
      cell.textContent = count(this.cost(Number(cell.dataset.whole), prices, true));
    for (const cell of root.querySelectorAll(".pv-change[data-price]")) cell.textContent = this.change(Number(cell.dataset.price));
    root.querySelector(".pv-sweep").textContent = this.sweep();
    root.querySelector(".pv-view").textContent = this.whole ? this.explained : "Compared is what the runs spend in exits, and on port accesses, their own or the monitor's.";
    let said = this.verdict();
    if (this.last >= 0) said += " If the price of " + data.prices[this.last][0] + " alone moves: " + this.change(this.last) + ".";
    root.querySelector("svg[role=img]").setAttribute("aria-label", "Cycles by part. " + said);
    if (this.status.textContent !== said) this.status.textContent = said;
  }
}
