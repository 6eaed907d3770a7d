// The serial terminal (console_widget.py): rows come as runs of one look, numbered from the first
// line ever; a message replaces all rows from one on.

const TERMINAL = [
  "#3b4048", "#ff7b72", "#5fd787", "#e5c07b", "#79b8ff", "#d787d7", "#56d4dd", "#d0d4da",
  "#8b949e", "#ffa198", "#87ffaf", "#ffe08a", "#a5d6ff", "#ffb3ff", "#8ff0f7", "#ffffff",
];

export default {
  render({ model, el }) {
    const keys = (event) => {
      if (KEYS[event.key]) return ["type", KEYS[event.key][0]];
      if (event.key.length !== 1) return null;
      if (event.ctrlKey && !event.altKey) {
        const code = event.key.toUpperCase().charCodeAt(0);
        return code >= 64 && code < 96 ? ["type", String.fromCharCode(code - 64)] : null;
      }
      return ["type", (event.altKey && !event.ctrlKey ? "\x1b" : "") + event.key];
    };
    const help = "Click and type: keys go to the guest's serial port, Ctrl-C too. Ctrl-V pastes, Shift+Tab leaves.";
    const view = guest(model, el, "Serial terminal", help, keys);
    const rows = [];
    let start = 0;
    const show = (news) => {
      const { display, paper } = view;
      const low = display.scrollHeight - display.scrollTop - display.clientHeight < 24;
      // Lines that the guest's side has forgotten.
      for (; start < news.start && rows.length; start++) rows.shift().remove();
      start = news.start;
      const first = Math.max(news.first - start, 0);
      if (first > rows.length) return view.tell("show");
      for (const row of rows.splice(first)) row.remove();
      for (const runs of news.lines) {
        const row = element("div", "pv-row");
        for (const [text, front, back, bold] of runs) row.append(piece(text, TERMINAL[front], TERMINAL[back], bold));
        paper.append(row);
        rows.push(row);
      }
      view.place(news.cursor[0] - start, news.cursor[1]);
      if (low) display.scrollTop = display.scrollHeight;
    };
    model.on("msg:custom", show);
    view.tell("show");
    return () => {
      model.off("msg:custom", show);
      view.close();
    };
  },
};
