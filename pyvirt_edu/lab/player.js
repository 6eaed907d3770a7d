// The trace player. It gets a packed trace document (document.py) and shows what its tape says.
//
// This file and tape.js before it are used twice: as the module of the widget (live.py), and inlined
// in a notebook output (static.py), which leaves out the comments and everything from the export on.
// So a comment has its own line here.

const SHORT = /^[cdefgs]s$/;
const hex = (value, digits) => value.toString(16).padStart(digits, "0");

function element(tag, name, text, attributes) {
  const found = document.createElement(tag);
  if (name) found.className = name;
  if (text !== undefined) found.textContent = text;
  for (const key in attributes) found.setAttribute(key, attributes[key]);
  return found;
}

class Player {
  constructor(root, data, step, height, moved) {
    this.root = root;
    this.data = data;
    this.tape = new Tape(data);
    this.moved = moved || (() => {});
    this.timer = null;
    root.replaceChildren();
    root.classList.add("pyvirt-player");
    root.dataset.ready = "1";
    // JupyterLab: the keys are ours while the focus is in here.
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Trace player: " + data.title);
    root.tabIndex = 0;
    if (height) root.style.setProperty("--pane-height", height + "px");
    this.build();
    this.play(false);
    this.theme();
    root.addEventListener("keydown", (event) => this.key(event));
    this.go(step || 0);
  }

  build() {
    const { data, root } = this;
    const head = element("div", "pv-head");
    head.append(element("span", "pv-title", data.title));
    const count = this.tape.count.toLocaleString("en");
    let note = count + (this.tape.count === 1 ? " step" : " steps");
    if (data.before)
      note = "steps " + (data.before + 1).toLocaleString("en") + " to " + (data.before + this.tape.count).toLocaleString("en") + " of " + data.total.toLocaleString("en");
    else if (data.total !== this.tape.count)
      note = "the first " + count + " of " + data.total.toLocaleString("en") + " steps";
    head.append(element("span", "pv-note", note + (data.exit ? ", ended by " + data.exit : "")));

    const bar = element("div", "pv-bar", undefined, { role: "toolbar", "aria-label": "Steps" });
    this.buttons = {};
    const button = (name, text, title, action) => {
      const made = element("button", "pv-button", text, { type: "button", title });
      made.dataset.action = name;
      made.addEventListener("click", action);
      this.buttons[name] = made;
      bar.append(made);
    };
    button("first", "|◀ First", "To the start (Home)", () => this.jump(0));
    button("back", "◀ Back", "One step back (left arrow)", () => this.jump(this.tape.at - 1));
    button("step", "Step ▶", "One step (right arrow)", () => this.jump(this.tape.at + 1));
    button("last", "Last ▶|", "To the end (End)", () => this.jump(this.tape.count));
    button("play", "", "Play or pause (space)", () => this.play(!this.timer));
    this.speed = element("select", "pv-speed", undefined, { "aria-label": "Speed", title: "Speed" });
    for (const rate of [1, 2, 5, 20]) {
      const option = element("option", "", rate + " / s", { value: rate });
      option.selected = rate === 2;
      this.speed.append(option);
    }
    this.speed.addEventListener("change", () => this.timer && this.play(true));
    this.slider = element("input", "pv-slider", undefined, {
      type: "range", min: 0, max: this.tape.count, step: 1, "aria-label": "Position in the trace",
    });
    this.slider.addEventListener("input", () => this.jump(Number(this.slider.value)));
    this.where = element("span", "pv-where");
    bar.append(this.speed, this.slider, this.where);

    this.status = element("div", "pv-status", undefined, { "aria-live": "polite", role: "status" });

    const panes = element("div", "pv-panes");
    const sourced = (data.files || []).some(([, chunks]) => chunks.length);
    panes.classList.toggle("pv-sourced", sourced);
    if (sourced) panes.append(this.sourcePane());
    panes.append(this.codePane(), this.registerPane(), this.memoryPane());
    const foot = element("div", "pv-foot");
    for (const [mark, text] of [["▶", "next"], ["▷", "just executed"], ["●", "just changed"]]) {
      const part = element("span");
      part.append(element("b", "", mark), " " + text);
      foot.append(part);
    }
    foot.append(element("span", "pv-help",
      "Select a code line to run to it; a register or memory line to run to its next change. Shift: backwards. " +
      "Keys: ← → Home End space, ↑ ↓ in a pane."));
    root.append(head, bar);
    if (data.functions || data.who || new Set(this.tape.rings).size > 1) root.append(this.strip(), this.placeBar());
    root.append(this.status, panes, foot);
  }

  // Who has the processor: a lane for ring 3 above one for ring 0, the steps from left to right.
  strip() {
    const { tape } = this;
    const strip = element("div", "pv-strip", undefined, { "aria-hidden": "true" });
    const lanes = element("div", "pv-lanes");
    const names = [...new Set((this.data.who || []).map((turn) => turn[1]))];
    const top = Math.max(...tape.rings);
    strip.append(element("div", "pv-rings", "ring " + top), lanes);
    if (top) strip.append(element("div", "pv-rings pv-low", "ring 0"));
    const percent = (steps) => (100 * steps) / Math.max(1, tape.count) + "%";
    for (let from = 0; from < tape.count; ) {
      const who = tape.who(from);
      let to = from;
      while (to < tape.count && tape.ring(to) === tape.ring(from) && tape.who(to) === who) to++;
      const span = element("div", "pv-span", (to - from) / tape.count > 0.08 ? who : "");
      span.dataset.who = names.indexOf(who) % 5;
      span.classList.toggle("pv-low", tape.ring(from) === 0 && top > 0);
      span.style.left = percent(from);
      span.style.width = percent(to - from);
      span.title = "ring " + tape.ring(from) + (who ? ", " + who : "") + ": steps " + (from + 1) + " to " + to;
      lanes.append(span);
      from = to;
    }
    this.cursor = element("div", "pv-cursor");
    lanes.append(this.cursor);
    lanes.addEventListener("click", (event) => {
      const box = lanes.getBoundingClientRect();
      this.jump(Math.round(((event.clientX - box.left) / box.width) * tape.count));
    });
    return strip;
  }

  // Ring, process, function and line: each a button that runs to its next change.
  placeBar() {
    const { tape, data } = this;
    const bar = element("div", "pv-places", undefined, { role: "toolbar", "aria-label": "Where the processor is" });
    const all = [["ring", "Ring", (p) => "" + tape.ring(p)]];
    if (data.who) all.push(["who", "Process", (p) => tape.who(p)]);
    if (data.functions) all.push(["function", "Function", (p) => tape.called(p)]);
    if ((data.files || []).length) all.push(["source", "Source", (p) => tape.source(p)]);
    this.places = all.map(([key, name, value]) => {
      const button = element("button", "pv-place", undefined, { type: "button" });
      button.dataset.place = key;
      button.title = "Run to the next change of " + name.toLowerCase() + " (Shift: back to the one before)";
      const text = element("b");
      button.append(name + " ", text);
      button.addEventListener("click", (event) => {
        const now = value(tape.at);
        let found = tape.find(!event.shiftKey, (p) => value(p) !== now);
        // Backwards, to the first step of that stretch, so that going back undoes going on.
        while (event.shiftKey && found > 0 && value(found - 1) === value(found)) found--;
        this.jumpTo(found, name + " does not change", event.shiftKey);
      });
      bar.append(button);
      return { text, button, value, key };
    });
    return bar;
  }

  sourcePane() {
    const [pane, body] = this.pane("source-text", "Source");
    this.sourceName = pane.firstChild;
    this.sourceBody = body;
    this.sourceFile = null;
    this.rove(body);
    return pane;
  }

  // The file of the current step; lines that the trace never runs cannot be selected.
  openSource(file) {
    const { data, tape } = this;
    const [name, chunks] = data.files[file];
    this.sourceFile = file;
    this.sourceName.textContent = "Source: " + name;
    const ran = new Set(data.code.filter((row) => row[5] && row[5][3] === file).map((row) => row[5][4]));
    this.sourceLines = new Map();
    const parts = [];
    for (const [first, lines] of chunks) {
      if (parts.length) parts.push(element("div", "pv-gap", "⋮"));
      lines.forEach((text, i) => {
        const number = first + i;
        const line = element(ran.has(number) ? "button" : "div", "pv-line", undefined, ran.has(number) ? { type: "button" } : {});
        line.classList.toggle("pv-silent", !ran.has(number));
        line.dataset.source = number;
        line.append(element("span", "pv-mark", " "), element("span", "pv-address", String(number).padStart(4)));
        line.append(element("span", "pv-text", text));
        if (ran.has(number)) {
          const here = (p) => { const at = tape.code(p); return p < tape.count && at && at.file === file && at.line === number; };
          line.addEventListener("click", (event) =>
            this.jumpTo(tape.find(!event.shiftKey, (p) => here(p) && !(p && here(p - 1))), "Line " + number + " is not reached", event.shiftKey));
        }
        this.sourceLines.set(number, line);
        parts.push(line);
      });
    }
    if (!parts.length) parts.push(element("div", "pv-empty", "the text of this file is not here"));
    this.sourceBody.replaceChildren(...parts);
    this.sourceBody.scrollTop = 0;
    this.sourceBody.querySelectorAll("button.pv-line").forEach((line, i) => (line.tabIndex = i ? -1 : 0));
  }

  showPlace() {
    const { tape, data } = this;
    if (this.cursor) this.cursor.style.left = (100 * tape.at) / Math.max(1, tape.count) + "%";
    for (const place of this.places || []) {
      const value = place.value(tape.at);
      const offset = place.key === "function" && value ? tape.code(tape.at).offset : 0;
      place.text.textContent = value ? value + (offset ? " + " + offset.toString(16) : "") : "not known";
      place.button.classList.toggle("pv-changed", tape.at > 0 && value !== place.value(tape.at - 1));
    }
    if (!this.sourceBody) return;
    const place = tape.code(tape.at);
    if (!place || place.file === undefined) {
      this.sourceName.textContent = "Source: not known here";
    } else if (place.file !== this.sourceFile) {
      this.openSource(place.file);
    } else {
      this.sourceName.textContent = "Source: " + data.files[place.file][0];
    }
    for (const [number, line] of this.sourceLines || []) {
      const next = !!place && place.file === this.sourceFile && number === place.line;
      line.classList.toggle("pv-next", next);
      line.firstChild.textContent = next ? "▶" : " ";
      if (next) this.reveal(this.sourceBody, line);
    }
  }

  pane(name, title) {
    const pane = element("section", "pv-pane pv-" + name, undefined, { "aria-label": title });
    const body = element("div", "pv-body");
    pane.append(element("div", "pv-name", title), body);
    return [pane, body];
  }

  // A list of lines is one stop of the Tab key; the arrows move inside it.
  rove(body, some) {
    const own = () => some || [...body.querySelectorAll("button.pv-line")];
    own().forEach((line, i) => (line.tabIndex = i ? -1 : 0));
    body.addEventListener("focusin", (event) => {
      const to = event.target.closest(".pv-line");
      if (to && body.contains(to)) for (const line of own()) line.tabIndex = line === to ? 0 : -1;
    });
    body.addEventListener("keydown", (event) => {
      const lines = own();
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const from = lines.indexOf(event.target);
      if (!step || from < 0) return;
      event.preventDefault();
      const to = lines[from + step];
      if (to) to.focus();
    });
  }

  codePane() {
    const { data } = this;
    const [pane, body] = this.pane("code", "Code");
    const digits = Math.max(4, ...data.code.map((row) => row[0].toString(16).length));
    let end = null;
    let inside = null;
    this.lines = data.code.map(([address, bytes, text, source, , place], index) => {
      const called = place ? (data.images.length > 1 ? data.images[place[0]] + ": " : "") + data.functions[place[1]] : null;
      if (end !== null && address !== end && !data.symbols[address] && (called === null || called === inside))
        body.append(element("div", "pv-gap", "⋮"));
      end = address + bytes.length / 2;
      if (called !== null && called !== inside)
        body.append(element("div", "pv-label", called + (place[2] ? " + " + place[2].toString(16) : "") + ":"));
      inside = called;
      if (data.symbols[address] && !(index && data.code[index - 1][0] === address))
        body.append(element("div", "pv-label", data.symbols[address] + ":"));
      const line = element("button", "pv-line", undefined, { type: "button" });
      line.dataset.line = index;
      line.append(element("span", "pv-mark", " "), element("span", "pv-address", hex(address, digits)));
      line.append(element("span", "pv-bytes", bytes.replace(/(..)(?=.)/g, "$1 ")));
      line.append(element("span", "pv-text", text), element("span", "pv-source", source));
      line.addEventListener("click", (event) => {
        const found = this.tape.find(!event.shiftKey, (p) => this.tape.line(p) === index);
        this.jumpTo(found, hex(address, digits) + " is not reached", event.shiftKey);
      });
      body.append(line);
      return line;
    });
    const widest = Math.max(...data.code.map((row) => row[1].length / 2));
    pane.style.setProperty("--bytes", Math.min(8, widest) * 3 + "ch");
    this.rove(body, this.lines);
    this.codeBody = body;
    // A pane that had no size yet, or another one, could not scroll to the current line.
    this.sizes = new ResizeObserver(() => {
      this.reveal(body, this.current());
      if (this.sourceBody) this.reveal(this.sourceBody, this.sourceBody.querySelector(".pv-next"));
    });
    this.sizes.observe(body);
    if (data.code.some((row) => row[4].length)) {
      this.uops = element("div", "pv-uops");
      pane.append(element("div", "pv-name", "Micro-ops of the next instruction"), this.uops);
    }
    return pane;
  }

  registerPane() {
    const { data, tape } = this;
    const [pane, body] = this.pane("registers", "Registers");
    const main = element("div", "pv-main");
    const more = element("details", "pv-more");
    more.append(element("summary", "", "Segment and control registers"));
    const grid = element("div", "pv-grid");
    more.append(grid);
    this.registers = new Map();
    const order = [];
    data.regs.forEach((name, index) => {
      if (index === tape.flags) return;
      const small = SHORT.test(name);
      const system = small || name.startsWith("cr");
      const line = element("button", "pv-line", undefined, { type: "button" });
      line.dataset.register = name;
      const mark = element("span", "pv-mark", " ");
      const value = element("span", "pv-value");
      const decimal = element("span", "pv-decimal");
      line.append(mark, element("span", "pv-register", name), value);
      if (!system) line.append(decimal);
      line.addEventListener("click", (event) => {
        const found = tape.find(!event.shiftKey, (p) => tape.changes(p, index));
        this.jumpTo(found, name + " does not change", event.shiftKey);
      });
      this.registers.set(index, { line, mark, value, decimal, digits: small ? 4 : 8 });
      (system ? grid : main).append(line);
      order.push([system, line]);
      if (system && name !== "cr2" && data.steps.some((_, p) => tape.changes(p + 1, index))) more.open = true;
    });
    body.append(main);
    if (tape.flags >= 0) {
      this.flagBox = element("div", "pv-flags", undefined, { role: "list", "aria-label": "Flags" });
      body.append(this.flagBox);
    }
    if (grid.children.length) body.append(more);
    this.rove(body, order.filter(([system]) => !system).map(([, line]) => line));
    return pane;
  }

  memoryPane() {
    const { data, tape } = this;
    const [pane, body] = this.pane("memory", "Memory");
    const lines = [];
    this.rows = [];
    for (const [label, kind, base, text, linear] of data.memory) {
      const length = text.length / 2;
      const wide = kind === "bytes" ? 8 : 4;
      const window = element("div", "pv-window");
      body.append(window);
      window.append(element("div", "pv-label", label));
      for (let low = 0; low < length; low += wide) {
        const line = element("button", "pv-line", undefined, { type: "button" });
        const mark = element("span", "pv-mark", " ");
        const content = element("span", "pv-content");
        const note = element("span", kind === "bytes" ? "pv-note pv-letters" : "pv-note");
        const address = base + low;
        line.dataset.address = hex(linear + low, 5);
        line.append(mark, element("span", "pv-address", hex(linear + low, 5)), content, note);
        line.addEventListener("click", (event) => {
          const found = tape.find(!event.shiftKey, (p) => tape.writes(p, address, address + wide));
          this.jumpTo(found, hex(linear + low, 5) + " is not written", event.shiftKey);
        });
        window.append(line);
        lines.push(line);
        const size = Math.min(wide, length - low);
        this.rows.push({ window, line, mark, content, note, kind, address, size, shown: linear + low, index: ((linear + low) % 4096) / 4 });
      }
    }
    this.memoryBody = body;
    if (!lines.length) body.append(element("div", "pv-empty", "no memory in this trace"));
    this.rove(body, lines);
    return pane;
  }

  // Moving by hand stops the playing.
  jump(position) {
    this.play(false);
    this.go(position);
  }
  jumpTo(position, otherwise, back) {
    if (position < 0) this.say(otherwise + (back ? " earlier." : " again."));
    else this.jump(position);
  }
  play(on) {
    clearInterval(this.timer);
    this.timer = null;
    if (on) {
      if (this.tape.at === this.tape.count) this.go(0);
      this.timer = setInterval(() => {
        // The output may have been cleared.
        if (!this.root.isConnected || this.tape.at >= this.tape.count) return this.play(false);
        this.go(this.tape.at + 1);
      }, 1000 / Number(this.speed.value));
    }
    this.buttons.play.textContent = this.timer ? "‖ Pause" : "▶▶ Play";
    // No reader can follow an announcement for each step of a running player.
    this.status.setAttribute("aria-live", this.timer ? "off" : "polite");
  }
  go(position) {
    this.tape.go(position);
    this.show();
    this.moved(this.tape.at);
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { at, count } = this.tape;
    const inSlider = event.target === this.slider;
    const actions = {
      ArrowRight: () => this.jump(at + 1),
      ArrowLeft: () => this.jump(at - 1),
      Home: () => this.jump(0),
      End: () => this.jump(count),
    };
    let action = event.target === this.speed ? null : actions[event.key];
    const own = event.target === this.root || inSlider;
    if (event.key === " " && own) action = () => this.play(!this.timer);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  say(text) {
    this.status.textContent = text;
  }

  sentence(last) {
    const { data, tape } = this;
    const next = tape.line(tape.at);
    const ahead = next === null ? "End of the trace" + (data.exit && data.total === tape.count ? ": " + data.exit : "")
      : "Next: " + data.code[next][2];
    if (!tape.at) return "Before step 1. " + ahead + ".";
    const done = data.code[data.steps[tape.at - 1][0]];
    const changed = [];
    for (const [index, old] of last.registers) {
      const value = tape.values[index];
      changed.push(index === tape.flags ? "flags " + flagNames(old) + " → " + flagNames(value)
        : data.regs[index] + " " + old.toString(16) + " → " + value.toString(16));
    }
    for (const [address, size, old, value] of last.stores)
      changed.push("[" + address.toString(16) + "] " + hex(old, 2 * size) + " → " + hex(value, 2 * size));
    const what = changed.length ? changed.join(", ") : "nothing but eip changed";
    return "Step " + tape.at + ": " + done[2] + " — " + what + ". " + ahead + ".";
  }

  show() {
    const { tape, data } = this;
    const last = tape.last();
    this.slider.value = tape.at;
    this.slider.setAttribute("aria-valuetext", "after " + tape.at + " of " + tape.count + " steps");
    this.where.textContent = tape.at + " / " + tape.count;
    // aria-disabled, for a disabled button would lose the focus.
    const edge = (name, off) => this.buttons[name].setAttribute("aria-disabled", off);
    edge("first", tape.at === 0);
    edge("back", tape.at === 0);
    edge("step", tape.at === tape.count);
    edge("last", tape.at === tape.count);
    this.say(this.sentence(last));

    const next = tape.line(tape.at);
    const done = tape.at ? tape.line(tape.at - 1) : null;
    this.lines.forEach((line, i) => {
      line.classList.toggle("pv-next", i === next);
      line.firstChild.textContent = i === next ? "▶" : i === done ? "▷" : " ";
      if (i === next) line.setAttribute("aria-current", "step");
      else line.removeAttribute("aria-current");
    });
    this.reveal(this.codeBody, this.current());
    if (this.uops) {
      const list = next === null ? [] : data.code[next][4];
      this.uops.replaceChildren(...list.map((text) => element("div", "", text)));
    }

    for (const [index, cell] of this.registers) {
      const value = tape.values[index];
      const changed = index === tape.eip ? false : last.registers.has(index);
      cell.mark.textContent = changed ? "●" : " ";
      cell.line.classList.toggle("pv-changed", changed);
      cell.value.textContent = hex(value, cell.digits);
      const signed = value >= 2 ** 31 ? value - 2 ** 32 : value;
      // With sources the pane is narrow, and numbers of that size are addresses.
      const address = this.sourceBody && Math.abs(signed) > 9999999;
      cell.decimal.textContent = index === tape.eip ? data.symbols[value] || tape.called(tape.at) : address ? "" : signed.toLocaleString("en").replace("-", "−");
      cell.line.title = data.regs[index] + ": run to its next change (Shift: the one before)" +
        (changed ? "; it was " + hex(last.registers.get(index), cell.digits) : "");
    }
    if (this.flagBox) this.showFlags(last);
    this.showMemory(last);
    this.showPlace();
  }

  showFlags(last) {
    const { tape } = this;
    const now = tape.values[tape.flags];
    const old = last.registers.has(tape.flags) ? last.registers.get(tape.flags) : now;
    // Above OF lie the rare ones: they show while they are set, and when they change.
    const shown = Object.keys(FLAGS).filter((name) => FLAGS[name] <= FLAGS.OF || bit(now, FLAGS[name]) || bit(old, FLAGS[name]));
    const chips = shown.map((name) => {
      const set = bit(now, FLAGS[name]);
      const changed = set !== bit(old, FLAGS[name]);
      const chip = element("span", "pv-flag" + (set ? " pv-set" : "") + (changed ? " pv-changed" : ""), undefined, { role: "listitem" });
      chip.dataset.flag = name;
      chip.append(element("span", "pv-mark", changed ? "●" : " "), name + " ", element("span", "pv-bit", set));
      return chip;
    });
    const level = Math.floor(now / 4096) % 4;
    if (level) chips.push(element("span", "pv-flag pv-set", " IOPL " + level, { role: "listitem" }));
    this.flagBox.replaceChildren(...chips);
  }

  showMemory(last) {
    const { tape, data } = this;
    const pointers = ["esp", "ebp"].map((name) => [name, tape.values[data.regs.indexOf(name)]]);
    let first = null;
    const shown = new Map();
    for (const row of this.rows) {
      const bytes = [];
      for (let i = 0; i < row.size; i++) bytes.push(tape.bytes.get(row.address + i));
      const touched = bytes.map((_, i) => last.bytes.has(row.address + i));
      const changed = touched.includes(true);
      row.line.classList.toggle("pv-changed", changed);
      row.mark.textContent = changed ? "●" : " ";
      if (changed && !first) first = row.line;
      const top = row.kind === "stack" && row.shown === pointers[0][1];
      if (top || (changed && !shown.has(row.window))) shown.set(row.window, row.line);
      if (row.kind === "bytes") {
        row.content.replaceChildren(...bytes.map((byte, i) =>
          element("span", touched[i] ? "pv-byte pv-new" : "pv-byte", byte === undefined ? "··" : hex(byte, 2))));
        row.note.textContent = bytes.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "·")).join("");
        continue;
      }
      const known = bytes.every((byte) => byte !== undefined);
      const value = bytes.reduceRight((sum, byte) => sum * 256 + (byte || 0), 0);
      row.content.textContent = known ? hex(value, 8) : "········";
      if (row.kind === "entries") {
        const names = { W: 1, U: 2, A: 5, D: 6, "4M": 7, G: 8 };
        const set = Object.keys(names).filter((name) => bit(value, names[name])).join(" ");
        row.note.textContent = "#" + row.index + " " + (bit(value, 0) ? "P " + set : "not present");
      } else {
        row.note.textContent = pointers.filter(([, place]) => place === row.shown).map(([name]) => "◀ " + name).join(" ");
        row.line.classList.toggle("pv-below", row.shown < pointers[0][1]);
      }
    }
    if (first) this.reveal(this.memoryBody, first);
    for (const [window, line] of shown) this.reveal(window, line);
  }

  // The line to look at: the next one, at the end the last one.
  current() {
    const { at, count } = this.tape;
    return count ? this.lines[this.tape.line(Math.min(at, count - 1))] : null;
  }
  // Scroll the pane, never the page; one line stays visible on either side.
  reveal(body, line) {
    if (!line) return;
    const top = line.getBoundingClientRect().top - body.getBoundingClientRect().top + body.scrollTop;
    const margin = line.offsetHeight;
    if (top < body.scrollTop + margin || top + 2 * margin > body.scrollTop + body.clientHeight)
      body.scrollTop = top - body.clientHeight / 3;
  }

  // Dark or light is as on the page: Sphinx themes and JupyterLab say it, elsewhere the background does.
  theme() {
    const decide = () => {
      const said = document.documentElement.dataset.theme || { true: "light", false: "dark" }[document.body.dataset.jpThemeLight];
      if (said === "light" || said === "dark") {
        this.root.dataset.theme = said;
        return;
      }
      let dark = matchMedia("(prefers-color-scheme: dark)").matches;
      for (let at = this.root.parentElement; at; at = at.parentElement) {
        const part = getComputedStyle(at).backgroundColor.match(/[\d.]+/g) || [];
        if (part.length < 3 || part[3] === "0") {
          // A page that says nothing is white, whatever the system prefers.
          if (!at.parentElement && getComputedStyle(at).colorScheme.includes("dark") === false) dark = false;
          continue;
        }
        dark = 0.299 * part[0] + 0.587 * part[1] + 0.114 * part[2] < 128;
        break;
      }
      this.root.dataset.theme = dark ? "dark" : "light";
    };
    decide();
    const watch = new MutationObserver(() => setTimeout(decide, 50));
    const filter = { attributes: true, attributeFilter: ["class", "data-theme", "data-jp-theme-name", "data-jp-theme-light", "style"] };
    watch.observe(document.body, filter);
    watch.observe(document.documentElement, filter);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", decide);
    requestAnimationFrame(decide);
    this.close = () => {
      watch.disconnect();
      this.sizes.disconnect();
      clearInterval(this.timer);
    };
  }
}

// Start every player of the page that is not running yet.
function mountAll() {
  for (const root of document.querySelectorAll(".pyvirt-player:not([data-ready])")) {
    const data = root.querySelector("script[type='application/json']");
    if (!data) continue;
    const style = root.querySelector("style");
    const player = new Player(root, JSON.parse(data.textContent), Number(root.dataset.step), Number(root.dataset.height));
    if (style) root.prepend(style);
    root.pyvirt = player;
  }
}

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    let own = false;
    const player = new Player(root, model.get("data"), model.get("step"), model.get("height"), (position) => {
      if (own || model.get("step") === position) return;
      model.set("step", position);
      model.save_changes();
    });
    root.pyvirt = player;
    player.theme();
    const follow = () => {
      own = true;
      if (player.tape.at !== model.get("step")) player.jump(model.get("step"));
      own = false;
    };
    model.on("change:step", follow);
    return () => {
      model.off("change:step", follow);
      player.close();
    };
  },
};
