// Spans in lanes: choose one, look closer. The lanes stand in the page already (timelines.py).

const SVG = "http://www.w3.org/2000/svg";

class Timeline {
  constructor(root, data) {
    this.root = root;
    [this.width, this.labels, this.lane] = data.layout;
    let at = 0;
    this.words = data.words;
    this.spans = data.spans.map(([reason, gap, length, detail, idle]) => {
      at += gap;
      return { reason: data.reasons[reason], lane: data.lanes[reason], start: at, end: at + length, detail: data.details[detail], idle };
    });
    this.whole = data.span;
    [this.low, this.high] = data.span;
    this.chosen = 0;
    if (!this.spans.length) return;
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
    const { one, keys, idle } = this.words;
    const small = one.toLowerCase();
    button("◀ " + one, one + " before", () => this.choose(this.chosen - 1));
    button(one + " ▶", "Next " + small, () => this.choose(this.chosen + 1));
    button("◀ Same", one + " before, in the same lane", () => this.same(-1));
    button("Same ▶", "Next " + small + " in the same lane", () => this.same(1));
    this.slider = element("input", "pv-slider", undefined, { type: "range", min: 0, max: this.spans.length - 1, "aria-label": one });
    this.slider.addEventListener("input", () => this.choose(Number(this.slider.value)));
    bar.append(this.slider);
    button("Closer", "Look closer", () => this.zoom(1 / 4));
    button("Wider", "See more", () => this.zoom(4));
    button("All", "See all", () => this.zoom(Infinity));
    this.svg.before(bar);
    const foot = element("div", "pv-foot");
    const help = [["← →", keys], ["Shift ← →", "in the same lane"], ["+ −", "closer, wider"], ["0", "all"], ["mouse", "points at one"]];
    if (idle) help.push(["hollow", idle + " in it"]);
    for (const [key, what] of help) {
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
      End: () => this.choose(this.spans.length - 1),
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

  // The nearest span of the lane under the mouse.
  point(event) {
    const place = this.svg.createSVGPoint();
    place.x = event.clientX;
    place.y = event.clientY;
    const { x, y } = place.matrixTransform(this.svg.getScreenCTM().inverse());
    const lane = Math.floor(y / this.lane);
    let best = -1;
    let near = 5;
    this.spans.forEach((span, i) => {
      if (span.lane !== lane) return;
      const away = Math.max(this.x(span.start) - x, x - this.x(span.end), 0);
      if (away < near) [best, near] = [i, away];
    });
    if (best >= 0) this.choose(best, true);
  }

  same(direction) {
    const { reason } = this.spans[this.chosen];
    for (let i = this.chosen + direction; this.spans[i]; i += direction)
      if (this.spans[i].reason === reason) return this.choose(i);
    this.status.textContent = "No other " + reason + (direction > 0 ? " after this one." : " before this one.");
  }

  zoom(factor) {
    const [first, last] = this.whole;
    const span = this.spans[this.chosen];
    const width = Math.min(Math.max((this.high - this.low) * factor, 40, 2 * (span.end - span.start)), last - first);
    this.center(width);
  }
  center(width) {
    const [first, last] = this.whole;
    const span = this.spans[this.chosen];
    const middle = (span.start + span.end) / 2;
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
    for (const span of this.spans) {
      if (span.end < low || span.start > high) continue;
      // two paths for each lane: awake, asleep
      const at = 2 * span.lane + (span.idle ? 1 : 0);
      if (this.x(span.end) <= covered[at]) continue; // the mark before it covers this place, too
      const x = Math.max(this.x(span.start), this.labels, covered[at]);
      const wide = Math.max(Math.min(this.x(span.end), this.width) - x, 1.2);
      text[at] += "M" + x.toFixed(1) + " " + (lane * span.lane + 3) + "h" + wide.toFixed(1) + "v" + (lane - 6) + "h-" + wide.toFixed(1) + "z";
      covered[at] = x + 1.2;
    }
    paths.forEach((path, i) => path.setAttribute("d", text[i]));
    this.ends[0].textContent = this.words.unit + " " + count(low);
    this.ends[1].textContent = this.words.unit + " " + count(high);
  }

  choose(number, pointed) {
    const span = this.spans[Math.max(0, Math.min(this.spans.length - 1, number))];
    this.chosen = this.spans.indexOf(span);
    if (!pointed && (span.start < this.low || span.end > this.high)) this.center(this.high - this.low);
    this.slider.value = this.chosen;
    const { words } = this;
    const detail = span.detail ? ", " + words.detail + " " + span.detail : "";
    const idle = span.idle ? ", " + count(span.idle) + " of them " + words.idle : "";
    const said =
      words.one + " " + count(this.chosen + 1) + " of " + count(this.spans.length) + ": " + span.reason + detail +
      ", from " + words.unit + " " + count(span.start) + ", " + count(span.end - span.start) + " " + words.units + idle + ".";
    this.slider.setAttribute("aria-valuetext", said);
    if (this.status.textContent !== said) this.status.textContent = said;
    for (const old of this.marks.querySelectorAll(".pv-cursor, .pv-needle")) old.remove();
    const x = Math.max(this.x(span.start), this.labels);
    const wide = Math.max(Math.min(this.x(span.end), this.width) - x, 3);
    const top = this.lane * span.lane;
    const box = document.createElementNS(SVG, "rect");
    box.setAttribute("class", "pv-cursor");
    for (const [name, value] of [["x", x - 1.5], ["y", top + 1], ["width", wide + 3], ["height", this.lane - 2]]) box.setAttribute(name, value);
    const needle = document.createElementNS(SVG, "path");
    needle.setAttribute("class", "pv-needle");
    const bottom = this.lane * (Math.max(...this.spans.map((other) => other.lane)) + 1);
    needle.setAttribute("d", "M" + (x + wide / 2) + " " + (bottom + 1) + "l5 8h-10z");
    this.marks.append(box, needle);
  }
}
