// What the widgets of a running guest share: buttons, the status line, the display with its keys.

const BUTTONS = [
  ["step", "Step", "Run one instruction"],
  ["back", "◀ 1", "Back by one instruction"],
  ["back a second", "◀ 1 s", "Back by a second of running"],
  ["reset", "Reset", "Back to where the widget began"],
];

// Keys that have a name and no letter: what a VT100 sends, and what a keyboard calls them.
const KEYS = {
  Enter: ["\r", "enter"], Backspace: ["\x7f", "backspace"], Tab: ["\t", "tab"], Escape: ["\x1b", "esc"],
  ArrowUp: ["\x1b[A", "up"], ArrowDown: ["\x1b[B", "down"], ArrowRight: ["\x1b[C", "right"], ArrowLeft: ["\x1b[D", "left"],
  Home: ["\x1b[H", "home"], End: ["\x1b[F", "end"], Insert: ["\x1b[2~", "insert"], Delete: ["\x1b[3~", "delete"],
  PageUp: ["\x1b[5~", "page up"], PageDown: ["\x1b[6~", "page down"],
  F1: ["\x1bOP", "f1"], F2: ["\x1bOQ", "f2"], F3: ["\x1bOR", "f3"], F4: ["\x1bOS", "f4"], F5: ["\x1b[15~", "f5"],
  F6: ["\x1b[17~", "f6"], F7: ["\x1b[18~", "f7"], F8: ["\x1b[19~", "f8"], F9: ["\x1b[20~", "f9"], F10: ["\x1b[21~", "f10"],
};

function guest(model, el, label, help, keys) {
  const root = element("div", "pv-house pv-guest", undefined, { role: "group", "aria-label": label });
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  const bar = element("div", "pv-bar");
  const tell = (action, what) => model.send({ do: action, what });
  const run = element("button", "pv-button", "", { type: "button", "data-action": "run" });
  run.addEventListener("click", () => tell(model.get("status").state === "running" ? "pause" : "run"));
  bar.append(run);
  for (const [action, text, name] of BUTTONS) {
    const button = element("button", "pv-button", text, { type: "button", "aria-label": name, title: name, "data-action": action });
    button.addEventListener("click", () => tell(action));
    bar.append(button);
  }
  const state = element("span", "pv-state", "", { role: "status", "aria-live": "polite" });
  bar.append(state);
  const display = element("div", "pv-display", undefined, { tabindex: "0", role: "textbox", "aria-multiline": "true", "aria-label": label + ". " + help });
  const paper = element("div", "pv-paper");
  const caret = element("div", "pv-caret");
  paper.append(caret);
  display.append(paper);
  const line = element("p", "pv-line");
  const why = element("p", "pv-why", "", { role: "alert" });
  root.append(bar, display, line, why, element("p", "pv-foot", help));
  el.append(root);

  display.addEventListener("keydown", (event) => {
    // Shift+Tab leaves; what has the system's key belongs to the browser.
    if (event.metaKey || event.isComposing || (event.key === "Tab" && event.shiftKey)) return;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : "";
    if (event.ctrlKey && letter === "v") return;
    if (event.ctrlKey && letter === "c" && String(getSelection())) return;
    const said = keys(event);
    if (!said) return;
    event.preventDefault();
    event.stopPropagation();
    tell(...said);
  });
  display.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    event.preventDefault();
    event.stopPropagation();
    if (text) tell("paste", text.replace(/\r\n?|\n/g, "\n"));
  });

  const update = () => {
    const now = model.get("status");
    run.textContent = now.state === "running" ? "‖ Pause" : "▶ Run";
    if (state.textContent !== now.state) state.textContent = now.state;
    state.dataset.state = now.state;
    line.textContent = count(now.instructions) + " instructions · " + count(now.cycles) + " cycles · ring " + now.ring +
      " · eip " + now.eip.toString(16).padStart(8, "0");
    if (why.textContent !== now.why) why.textContent = now.why;
  };
  model.on("change:status", update);
  const stop = theme(root);
  update();
  const place = (row, column, under) => {
    caret.classList.toggle("pv-under", Boolean(under));
    caret.style.top = 17 * row + "px";
    caret.style.left = column + "ch";
  };
  return {
    root, display, paper, caret, place, tell,
    close: () => {
      stop();
      model.off("change:status", update);
    },
  };
}

function piece(text, front, back, bold) {
  const span = element("span", "", text);
  span.style.width = [...text].length + "ch";
  if (front) span.style.color = front;
  if (back) span.style.background = back;
  if (bold) span.style.fontWeight = "700";
  return span;
}
