// Exits on the clock: choose one, look closer. The lanes stand in the page already.

const SVG = "http://www.w3.org/2000/svg";

class Timeline {
  constructor(root, data) {
    this.root = root;
    [this.width, this.labels, this.lane] = data.layout;
    let at = 0;
    this.exits = data.exits.map(([reason, gap, length, eip, idle]) => {
      at += gap;
      return { reason: data.reasons[reason], lane: data.lanes[reason], start: at, end: at + length, eip, idle };
    });
    this.whole = data.span;
    [this.low, this.high] = data.span;
    this.chosen = 0;
    if (!this.exits.length) return;
    this.svg = root.querySelector("svg[role=img]");
    this.marks = root.querySelector(".pv-marks");
    this.ends = root.querySelectorAll(".pv-end");
    this.status = root.querySelector(".pv-status");
    this.build();
    this.draw();
    this.choose(0);
  }

  build() {
    const { root } = this;
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", root.querySelector(".pv-title").textContent);
    const bar = element("div", "pv-bar");
    const button = (text, name, action) => {
      const found = element("button", "pv-button", text, { type: "button", "aria-label": name, title: name });
      found.addEventListener("click", action);
      bar.append(found);
    };
    button("◀ Exit", "Exit before", () => this.choose(this.chosen - 1));
    button("Exit ▶", "Next exit", () => this.choose(this.chosen + 1));
    button("◀ Same", "Exit before, of the same reason", () => this.same(-1));
    button("Same ▶", "Next exit of the same reason", () => this.same(1));
    this.slider = element("input", "pv-slider", undefined, { type: "range", min: 0, max: this.exits.length - 1, "aria-label": "Exit" });
    this.slider.addEventListener("input", () => this.choose(Number(this.slider.value)));
    bar.append(this.slider);
    button("Closer", "Look closer", () => this.zoom(1 / 4));
    button("Wider", "See more", () => this.zoom(4));
    button("All", "See all", () => this.zoom(Infinity));
    this.svg.before(bar);
    const foot = element("div", "pv-foot");
    const keys = [["← →", "exit by exit"], ["Shift ← →", "the same reason"], ["+ −", "closer, wider"], ["0", "all"], ["mouse", "points at an exit"], ["hollow", "asleep in it"]];
    for (const [key, what] of keys) {
      const part = element("span");
      part.append(element("b", "", key), " " + what);
      foot.append(part);
    }
    this.svg.after(foot);
    root.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("mousemove", (event) => this.point(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const actions = {
      ArrowRight: () => (event.shiftKey ? this.same(1) : this.choose(this.chosen + 1)),
      ArrowLeft: () => (event.shiftKey ? this.same(-1) : this.choose(this.chosen - 1)),
      Home: () => this.choose(0),
      End: () => this.choose(this.exits.length - 1),
      "+": () => this.zoom(1 / 4),
      "-": () => this.zoom(4),
      0: () => this.zoom(Infinity),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  }

  x(cycle) {
    return this.labels + ((cycle - this.low) * (this.width - this.labels)) / (this.high - this.low);
  }

  // The nearest exit of the lane under the mouse.
  point(event) {
    const place = this.svg.createSVGPoint();
    place.x = event.clientX;
    place.y = event.clientY;
    const { x, y } = place.matrixTransform(this.svg.getScreenCTM().inverse());
    const lane = Math.floor(y / this.lane);
    let best = -1;
    let near = 5;
    this.exits.forEach((exit, i) => {
      if (exit.lane !== lane) return;
      const away = Math.max(this.x(exit.start) - x, x - this.x(exit.end), 0);
      if (away < near) [best, near] = [i, away];
    });
    if (best >= 0) this.choose(best, true);
  }

  same(direction) {
    const { reason } = this.exits[this.chosen];
    for (let i = this.chosen + direction; this.exits[i]; i += direction)
      if (this.exits[i].reason === reason) return this.choose(i);
    this.status.textContent = "No other " + reason + (direction > 0 ? " after this one." : " before this one.");
  }

  zoom(factor) {
    const [first, last] = this.whole;
    const exit = this.exits[this.chosen];
    const width = Math.min(Math.max((this.high - this.low) * factor, 40, 2 * (exit.end - exit.start)), last - first);
    this.center(width);
  }
  center(width) {
    const [first, last] = this.whole;
    const exit = this.exits[this.chosen];
    const middle = (exit.start + exit.end) / 2;
    this.low = Math.round(Math.min(Math.max(middle - width / 2, first), last - width));
    this.high = Math.round(this.low + width);
    this.draw();
    this.choose(this.chosen);
  }

  draw() {
    const { low, high, lane } = this;
    const paths = [...this.marks.querySelectorAll("path:not(.pv-needle)")];
    const text = paths.map(() => "");
    const covered = paths.map(() => -1);
    for (const exit of this.exits) {
      if (exit.end < low || exit.start > high) continue;
      // two paths for each lane: awake, asleep
      const at = 2 * exit.lane + (exit.idle ? 1 : 0);
      const x = Math.max(this.x(exit.start), this.labels, covered[at]);
      const wide = Math.max(Math.min(this.x(exit.end), this.width) - x, 1.2);
      text[at] += "M" + x.toFixed(1) + " " + (lane * exit.lane + 3) + "h" + wide.toFixed(1) + "v" + (lane - 6) + "h-" + wide.toFixed(1) + "z";
      covered[at] = x + 1.2;
    }
    paths.forEach((path, i) => path.setAttribute("d", text[i]));
    this.ends[0].textContent = "cycle " + count(low);
    this.ends[1].textContent = "cycle " + count(high);
  }

  choose(number, pointed) {
    const exit = this.exits[Math.max(0, Math.min(this.exits.length - 1, number))];
    this.chosen = this.exits.indexOf(exit);
    if (!pointed && (exit.start < this.low || exit.end > this.high)) this.center(this.high - this.low);
    this.slider.value = this.chosen;
    const asleep = exit.idle ? ", " + count(exit.idle) + " of them asleep" : "";
    const said =
      "Exit " + count(this.chosen + 1) + " of " + count(this.exits.length) + ": " + exit.reason + ", instruction at 0x" +
      exit.eip.toString(16) + ", from cycle " + count(exit.start) + ", " + count(exit.end - exit.start) + " cycles" + asleep + ".";
    this.slider.setAttribute("aria-valuetext", said);
    if (this.status.textContent !== said) this.status.textContent = said;
    for (const old of this.marks.querySelectorAll(".pv-cursor, .pv-needle")) old.remove();
    const x = Math.max(this.x(exit.start), this.labels);
    const wide = Math.max(Math.min(this.x(exit.end), this.width) - x, 3);
    const top = this.lane * exit.lane;
    const box = document.createElementNS(SVG, "rect");
    box.setAttribute("class", "pv-cursor");
    for (const [name, value] of [["x", x - 1.5], ["y", top + 1], ["width", wide + 3], ["height", this.lane - 2]]) box.setAttribute(name, value);
    const needle = document.createElementNS(SVG, "path");
    needle.setAttribute("class", "pv-needle");
    const bottom = this.lane * (Math.max(...this.exits.map((one) => one.lane)) + 1);
    needle.setAttribute("d", "M" + (x + wide / 2) + " " + (bottom + 1) + "l5 8h-10z");
    this.marks.append(box, needle);
  }
}
