// A recorded run: the state at a position p from 0 to the number of steps, the state before step p,
// and how to get to another one. Moving applies or undoes the steps between.
//
// FLAGS, the bit of each flag by its name, is put before this file (static.py).

const bit = (value, n) => Math.floor(value / 2 ** n) % 2;

function flagNames(value) {
  const names = Object.keys(FLAGS).filter((name) => bit(value, FLAGS[name]));
  const level = Math.floor(value / 4096) % 4;
  if (level) names.push("IOPL=" + level);
  return names.join(" ") || "-";
}

// The state at a position, and how to get to another one.
class Tape {
  constructor(data) {
    this.data = data;
    this.count = data.steps.length;
    this.values = [...data.start];
    this.eip = data.regs.indexOf("eip");
    this.flags = data.regs.indexOf("eflags");
    this.bytes = new Map();
    for (const [, , base, text] of data.memory)
      for (let i = 0; 2 * i < text.length; i++) {
        const byte = parseInt(text.slice(2 * i, 2 * i + 2), 16);
        if (byte >= 0) this.bytes.set(base + i, byte);
      }
    // A step has the new values only: walk once to learn the old ones.
    const seen = [...this.values];
    const [cs, cr0] = ["cs", "cr0"].map((name) => data.regs.indexOf(name));
    this.rings = [];
    // Real mode has no rings; virtual 8086 mode is ring 3.
    const ring = () => cs < 0 || (cr0 >= 0 && !bit(seen[cr0], 0)) ? 0 : this.flags >= 0 && bit(seen[this.flags], 17) ? 3 : seen[cs] % 4;
    this.olds = data.steps.map(([, changes]) => {
      this.rings.push(ring());
      const old = [];
      for (let i = 0; i < changes.length; i += 2) {
        old.push(seen[changes[i]]);
        seen[changes[i]] = changes[i + 1];
      }
      return old;
    });
    this.rings.push(ring());
    this.at = 0;
    this.place();
  }
  // What the step at a position is, in the guest's own words; behind the last step, that of the last.
  ring(position) {
    return this.rings[position];
  }
  who(position) {
    const turns = this.data.who || [];
    let found = "";
    for (const [start, name] of turns) if (start <= Math.min(position, this.count - 1)) found = name;
    return found;
  }
  code(position) {
    const line = this.line(Math.min(position, this.count - 1));
    const place = line === null ? null : this.data.code[line][5];
    return place ? { image: place[0], function: place[1], offset: place[2], file: place[3], line: place[4] } : null;
  }
  called(position) {
    const place = this.code(position);
    return place ? this.data.functions[place.function] : "";
  }
  source(position) {
    const place = this.code(position);
    return place && place.file !== undefined ? this.data.files[place.file][0] + ":" + place.line : "";
  }
  place() {
    const line = this.line(this.at);
    const here = line === null ? this.data.end : this.data.code[line][0];
    if (here !== null && here !== undefined) this.values[this.eip] = here;
  }
  line(position) {
    return position < this.count ? this.data.steps[position][0] : null;
  }
  store(address, size, value) {
    for (let i = 0; i < size; i++) this.bytes.set(address + i, Math.floor(value / 256 ** i) % 256);
  }
  go(position) {
    const target = Math.max(0, Math.min(this.count, position));
    while (this.at < target) {
      const [, changes, stores = []] = this.data.steps[this.at++];
      for (let i = 0; i < changes.length; i += 2) this.values[changes[i]] = changes[i + 1];
      for (let i = 0; i < stores.length; i += 4) this.store(stores[i], stores[i + 1], stores[i + 3]);
    }
    while (this.at > target) {
      const [, changes, stores = []] = this.data.steps[--this.at];
      const old = this.olds[this.at];
      // Backwards, for the same place may be written twice in a step.
      for (let i = changes.length - 2; i >= 0; i -= 2) this.values[changes[i]] = old[i / 2];
      for (let i = stores.length - 4; i >= 0; i -= 4) this.store(stores[i], stores[i + 1], stores[i + 2]);
    }
    this.place();
  }
  // What the step before the position changed.
  last() {
    const out = { registers: new Map(), stores: [], bytes: new Set() };
    if (!this.at) return out;
    const [, changes, stores = []] = this.data.steps[this.at - 1];
    for (let i = 0; i < changes.length; i += 2)
      out.registers.set(changes[i], this.olds[this.at - 1][i / 2]);
    for (let i = 0; i < stores.length; i += 4) {
      out.stores.push(stores.slice(i, i + 4));
      for (let k = 0; k < stores[i + 1]; k++) out.bytes.add(stores[i] + k);
    }
    return out;
  }
  // The nearest position in a direction whose step satisfies the test, or -1.
  find(forward, test) {
    if (forward) {
      for (let p = this.at + 1; p <= this.count; p++) if (test(p)) return p;
    } else {
      for (let p = this.at - 1; p >= 0; p--) if (test(p)) return p;
    }
    return -1;
  }
  changes(position, register) {
    if (!position) return false;
    const list = this.data.steps[position - 1][1];
    if (register === this.eip) return true;
    for (let i = 0; i < list.length; i += 2) if (list[i] === register) return true;
    return false;
  }
  writes(position, low, high) {
    if (!position) return false;
    const list = this.data.steps[position - 1][2] || [];
    for (let i = 0; i < list.length; i += 4)
      if (list[i] < high && list[i] + list[i + 1] > low) return true;
    return false;
  }
}
