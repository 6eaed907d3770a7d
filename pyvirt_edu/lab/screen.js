// The VGA text screen (screen_widget.py): rows come as runs of one colour, by number.

const MODIFIERS = [["ctrlKey", "ctrl"], ["altKey", "alt"], ["shiftKey", "shift"]];

export default {
  render({ model, el }) {
    const keys = (event) => {
      const named = KEYS[event.key] && KEYS[event.key][1];
      if (!named && event.key.length !== 1) return null;
      // A letter by itself is typed as it stands, whatever the reader's keyboard.
      if (!named && !event.ctrlKey && !event.altKey) return ["type", event.key];
      const held = MODIFIERS.filter(([flag]) => event[flag]).map(([, name]) => name);
      return ["press", [...held, named || event.key.toLowerCase()]];
    };
    const help = "Click and type: keys go to the guest's keyboard. Ctrl-V pastes, Shift+Tab leaves.";
    const view = guest(model, el, "Screen", help, keys);
    const rows = [];
    const show = ({ rows: changed, looks: [count, columns, colours, cursor] }) => {
      view.display.style.background = colours[0];
      view.paper.style.width = columns + "ch";
      view.root.dataset.graphics = count ? "" : "1";
      while (rows.length > count) rows.pop().remove();
      while (rows.length < count) {
        rows.push(element("div", "pv-row"));
        view.paper.append(rows[rows.length - 1]);
      }
      for (const number in changed) {
        const runs = changed[number].map(([, front, back, text]) => piece(text, colours[front], back ? colours[back] : ""));
        rows[number].replaceChildren(...runs);
      }
      view.caret.hidden = !cursor;
      if (cursor) view.place(cursor[0], cursor[1], true);
    };
    model.on("msg:custom", show);
    view.tell("show");
    return () => {
      model.off("msg:custom", show);
      view.close();
    };
  },
};
