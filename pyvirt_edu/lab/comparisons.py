"""The same kernel run in several ways, and what each way costs, at prices that the reader moves.

A run's cycles are a fixed part and counts times prices: entries into the hypervisor and returns
from it, and the metered primitives of its handlers. The browser recomputes them when a price
moves, and says who wins and where that changes. The counts stay as measured.

A run is any object with ``name``, ``text`` (its console), ``cycles``, ``instructions`` and
``meter`` (None: bare metal). Two more are used where they are there: ``idle``, cycles asleep, and
``own``, what the guest did by itself (hypervisor/own_work.py): the port accesses among it follow
the price of a port as those of a monitor do.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from ..hypervisor.meter import Meter, hardware_prices
from . import house

GATES, PORTS = "gate entry and IRET", "port access"
OWN, OWN_PORTS, REST = "the guest's own work", "port access by the guest", "gate code, TLB misses"
DEAREST = 60_000  # as CostModel has it
ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
WIDTH, BAR, ROW, AXIS, TICKS = 1000, 22, 46, 26, 5


class Cost(NamedTuple):
    """One run: what it spent, in parts that add up to its cycles."""

    name: str
    text: str
    instructions: int
    cycles: int
    idle: int
    own: int  # the guest's own work, without its port accesses
    own_ports: int  # how many of those
    hardware: int  # cycles of entries and returns
    rest: int  # the instructions of the gates' code, TLB misses, flushes
    counts: dict[str, int]
    meter: Meter | None


def cost(run: Any, port_price: int) -> Cost:
    """Take a run apart."""
    meter: Meter | None = run.meter
    own_ports = int((getattr(run, "own", None) or {}).get(PORTS, 0))
    idle = int(getattr(run, "idle", 0))
    counts, hardware, inside, primitives = {}, 0, 0, 0
    if meter is not None:
        counts = dict(meter.primitives())
        inside = meter.cycles
        primitives = sum(meter.prices[name] * n for name, n in counts.items())
        units = hardware_prices(meter.machine.costs)
        for account in meter.accounts.values():
            hardware += sum(units[name] * n for name, n in account.hardware.items())
    own = run.cycles - idle - inside - own_ports * port_price
    rest = inside - primitives - hardware
    if own < 0 or rest < 0:
        raise ValueError(
            f"{run.name}: {run.cycles:,} cycles are fewer than its parts; is the meter of this run?"
        )
    return Cost(
        run.name, run.text, run.instructions, run.cycles, idle, own, own_ports, hardware, rest, counts, meter
    )


def number(value: float | Fraction) -> str:
    """At most one digit behind the point."""
    rounded = round(float(value), 1)
    return f"{int(rounded):,}" if rounded == int(rounded) else f"{rounded:,}"


def tick(biggest: Fraction) -> int:
    """A round number of which TICKS make up at least so much."""
    unit = 1
    while True:
        for digits in ROUND:
            if TICKS * digits * unit >= biggest:
                return digits * unit
        unit *= 10


class Comparison:
    """Shows as tables, a chart and sliders; prints as tables."""

    def __init__(self, runs: Iterable[Any], title: str = "") -> None:
        taken = list(runs)
        if not taken:
            raise ValueError("comparison: there are no runs to compare")
        self.title = title or "The same kernel, " + " · ".join(run.name for run in taken)
        meters = [run.meter for run in taken if run.meter is not None]
        self.prices: dict[str, int] = {}
        if meters:
            units = hardware_prices(meters[0].machine.costs)
            self.prices[GATES] = units["exception entry"] + units["IRET"]
        known = meters[0].prices if meters else {}
        ports = known.get(PORTS, 0)
        self.runs = [cost(run, ports) for run in taken]
        used = {name: sum(run.counts.get(name, 0) for run in self.runs) * known[name] for name in known}
        for name in sorted(used, key=lambda name: (-used[name], name)):
            if used[name] or any(run.counts.get(name) for run in self.runs):
                self.prices[name] = known[name]
        if PORTS not in self.prices and any(run.own_ports for run in self.runs):
            self.prices[PORTS] = ports
        monitored = [i for i, run in enumerate(self.runs) if run.meter is not None]
        self.contestants = monitored if len(monitored) > 1 else list(range(len(self.runs)))
        self.same_output = len({run.text for run in self.runs}) == 1

    # --- the model -------------------------------------------------------------------------

    def units(self, run: int, price: str) -> Fraction:
        """How often a run pays a price; a gate for INT is a part of one for an exception."""
        found = self.runs[run]
        if price == GATES:
            return Fraction(found.hardware, self.prices[GATES] or 1)
        return Fraction(found.counts.get(price, 0) + (found.own_ports if price == PORTS else 0))

    def fixed(self, run: int, whole: bool) -> int:
        """What no price moves."""
        return self.runs[run].rest + (self.runs[run].own if whole else 0)

    def total(self, run: int, prices: dict[str, float] | None = None, whole: bool = True) -> Fraction:
        """Cycles of a run at some prices: the whole run without sleep, or only exits and ports."""
        moved = {**self.prices, **(prices or {})}
        paid = sum((self.units(run, name) * Fraction(moved[name]) for name in moved), Fraction(0))
        return self.fixed(run, whole) + paid

    def order(self, prices: dict[str, float] | None = None, whole: bool = True) -> list[int]:
        """The contestants, the cheapest first."""
        return sorted(self.contestants, key=lambda run: self.total(run, prices, whole))

    def winners(
        self, price: str, prices: dict[str, float] | None = None, whole: bool = True
    ) -> list[tuple[int, Fraction]]:
        """Who wins as one price goes up from 0: pairs of run and price up to which it does."""
        at_zero = {run: self.total(run, {**(prices or {}), price: 0}, whole) for run in self.contestants}
        slope = {run: self.units(run, price) for run in self.contestants}
        cuts = {Fraction(0), Fraction(DEAREST)}
        for a in self.contestants:
            for b in self.contestants:
                if slope[a] != slope[b]:
                    crossing = (at_zero[b] - at_zero[a]) / (slope[a] - slope[b])
                    if 0 < crossing < DEAREST:
                        cuts.add(crossing)
        out: list[tuple[int, Fraction]] = []
        for low, high in pairwise(sorted(cuts)):
            middle = (low + high) / 2
            best = min(self.contestants, key=lambda run: at_zero[run] + slope[run] * middle)
            if out and out[-1][0] == best:
                out.pop()
            out.append((best, high))
        return out

    # --- in words --------------------------------------------------------------------------

    def verdict(self, prices: dict[str, float] | None = None, whole: bool = True) -> str:
        """Who wins, and by how much."""
        first, *others = self.order(prices, whole)
        best = self.total(first, prices, whole)
        said = f"{self.runs[first].name} wins with {round(best):,} cycles"
        for run in others:
            more = self.total(run, prices, whole)
            share = f", {number(100 * (more - best) / best)}% more" if best else ""
            said += f"; {self.runs[run].name} takes {round(more):,}{share}"
        for run in range(len(self.runs)):
            if run not in self.contestants:
                said += f"; {self.runs[run].name}: {round(self.total(run, prices, whole)):,}"
        return said + "."

    def change(self, price: str, prices: dict[str, float] | None = None, whole: bool = True) -> str:
        """Who wins, if one price alone moves."""
        spans = self.winners(price, prices, whole)
        if len(spans) == 1:
            return f"always {self.runs[spans[0][0]].name}"
        parts = []
        for place, (run, high) in enumerate(spans):
            name = self.runs[run].name
            if place == len(spans) - 1:
                parts.append(f"then {name}")
            else:
                parts.append(f"{name} {'to' if place else 'below'} {number(high)}")
        return ", ".join(parts)

    def flips(self, prices: dict[str, float] | None = None, whole: bool = True) -> list[str]:
        """What turns around when one price is halved, or raised by half."""
        moved: dict[str, float] = {**self.prices, **(prices or {})}
        out = []
        for name, value in moved.items():
            for factor, how in ((Fraction(1, 2), "halved"), (Fraction(3, 2), "raised by half")):
                after = self.order({**moved, name: Fraction(value) * factor}, whole)  # type: ignore[dict-item]
                if after != self.order(moved, whole):
                    names = ", then ".join(self.runs[run].name for run in after)
                    out.append(f"{name} {how} ({number(value * factor)}): {names}")
        return out

    def sweep(self, prices: dict[str, float] | None = None, whole: bool = True) -> str:
        """The flips, as a sentence."""
        found = self.flips(prices, whole)
        tried = f"Each of the {len(self.prices)} prices halved, and raised by half: "
        return tried + (
            "the order stays." if not found else "the order changes with " + "; ".join(found) + "."
        )

    # --- rows of the tables ----------------------------------------------------------------

    def parts(self) -> list[str]:
        """What a run's cycles are made of, in the order of the chart."""
        return [OWN, OWN_PORTS, *self.prices, REST]

    def rows(self) -> list[str]:
        """The parts that are not empty everywhere."""
        return [part for part in self.parts() if any(self.part(i, part) for i in range(len(self.runs)))]

    def part(self, run: int, part: str) -> int:
        """Cycles of a part, at the measured prices."""
        found = self.runs[run]
        if part == OWN_PORTS:
            return found.own_ports * self.prices.get(PORTS, 0)
        fixed = {OWN: found.own, REST: found.rest, GATES: found.hardware}
        return fixed[part] if part in fixed else found.counts.get(part, 0) * self.prices[part]

    def summary_rows(self) -> list[list[Any]]:
        rows = []
        for run in self.runs:
            exits, inside = (run.meter.exits, run.meter.cycles) if run.meter else (0, 0)
            rows.append([run.name, run.instructions, run.cycles, run.idle, exits, inside])
        return rows

    def reason_rows(self) -> list[list[Any]]:
        """Exits by reason: for each run how many, and their cycles."""
        meters = [run.meter for run in self.runs if run.meter is not None]
        reasons = {reason: 0 for meter in meters for reason, *_ in meter.rows()}
        for meter in meters:
            for reason, _, cycles, _ in meter.rows():
                reasons[reason] += cycles
        rows = []
        for reason in sorted(reasons, key=lambda reason: (-reasons[reason], reason)):
            row: list[Any] = [reason]
            for meter in meters:
                account = meter.accounts.get(reason)
                row += [account.exits, account.cycles] if account else ["", ""]
            rows.append(row)
        return rows

    SUMMARY = ("", "instructions", "cycles", "asleep", "exits", "cycles in exits")

    def _reason_head(self) -> list[str]:
        metered = [run.name for run in self.runs if run.meter is not None]
        return ["exit", *(f"{name}: {what}" for name in metered for what in ("exits", "cycles"))]

    def output(self) -> str:
        size = len(self.runs[0].text)
        if self.same_output:
            return f"All {len(self.runs)} runs print the same {size:,} characters."
        return "The runs do not print the same: " + ", ".join(
            f"{run.name} {len(run.text):,} characters" for run in self.runs
        )

    # --- as text ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return comparison_text(self)

    # --- as HTML ---------------------------------------------------------------------------

    def _data(self) -> dict[str, Any]:
        runs = [
            {
                "name": run.name,
                "own": run.own,
                "ownPorts": run.own_ports,
                "rest": run.rest,
                "counts": [float(self.units(i, price)) for price in self.prices],
            }
            for i, run in enumerate(self.runs)
        ]
        prices = [[name, value] for name, value in self.prices.items()]
        port = list(self.prices).index(PORTS) if PORTS in self.prices else -1
        return {"runs": runs, "prices": prices, "port": port, "contestants": self.contestants}

    def _chart(self) -> str:
        parts = self.parts()
        step = tick(max(self.total(i) for i in range(len(self.runs))))
        scale = Fraction(WIDTH, TICKS * step)
        height = ROW * len(self.runs) + AXIS
        inside = ""
        for i, run in enumerate(self.runs):
            y, x = ROW * i, Fraction(0)
            inside += f"<text x='0' y='{y + 15}' font-size='14'>{html.escape(run.name)}</text>"
            inside += (
                f"<text x='{WIDTH}' y='{y + 15}' font-size='14' text-anchor='end' data-total='{i}'>"
                f"{round(self.total(i)):,} cycles</text>"
            )
            for k, part in enumerate(parts):
                cycles = self.part(i, part)
                wide = cycles * scale
                inside += (
                    f"<rect x='{float(x):.2f}' y='{y + 20}' width='{float(wide):.2f}' height='{BAR}' "
                    f"fill='url(#pv-part{k})' data-run='{i}' data-part='{k}'>"
                    f"<title>{html.escape(f'{run.name}: {part}: {cycles:,} cycles')}</title></rect>"
                )
                x += wide
        for k in range(TICKS + 1):
            place = WIDTH * k // TICKS
            anchor = "start" if k == 0 else "end" if k == TICKS else "middle"
            inside += (
                f"<text x='{place}' y='{height - 4}' font-size='12' text-anchor='{anchor}' data-tick='{k}'>"
                f"{step * k:,}</text>"
            )
        label = html.escape("; ".join(f"{r.name}: {round(self.total(i)):,}" for i, r in enumerate(self.runs)))
        return (
            f"<svg viewBox='0 0 {WIDTH} {height}' width='100%' role='img' "
            f"aria-label='Cycles by part. {label}'>{house.definitions('pv-part', len(parts))}{inside}</svg>"
        )

    def _swatch(self, part: str) -> str:
        return (
            "<svg class='pv-swatch' width='18' height='14' aria-hidden='true'>"
            f"<rect width='18' height='14' fill='url(#pv-part{self.parts().index(part)})'/></svg>"
        )

    def _price_table(self) -> str:
        head = "<th scope='col'>what</th><th scope='col'>price, in cycles</th>"
        for run in self.runs:
            head += f"<th scope='col' class='pv-number'>{html.escape(run.name)}</th>"
        head += "<th scope='col'>who wins, if this price alone moves</th>"
        body = ""
        for part in self.rows():
            k, priced = self.parts().index(part), part in self.prices
            row = f"<th scope='row'>{self._swatch(part)} {html.escape(part)}</th>"
            value = f"{self.prices[part]:,}" if priced else ""
            attribute = f" data-price='{list(self.prices).index(part)}'" if priced else ""
            row += f"<td class='pv-price'{attribute}>{value}</td>"
            for i, run in enumerate(self.runs):
                count = run.counts.get(part, run.own_ports if part == OWN_PORTS else 0)
                times = f"<span class='pv-times'>{count:,} times</span> " if count else ""
                row += (
                    f"<td class='pv-number'>{times}"
                    f"<span data-cell='{i},{k}'>{self.part(i, part):,}</span></td>"
                )
            row += f"<td class='pv-change'{attribute}>{html.escape(self.change(part)) if priced else ''}</td>"
            body += f"<tr>{row}</tr>"
        foot = "<th scope='row'>all of it</th><td></td>" + "".join(
            f"<td class='pv-number' data-whole='{i}'>{round(self.total(i)):,}</td>"
            for i in range(len(self.runs))
        )
        return (
            "<table class='pv-prices'><caption>Cycles by what they went for</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
            f"<tfoot><tr>{foot}<td></td></tr></tfoot></table>"
        )

    def _repr_html_(self) -> str:
        texts = [self.runs[0]] if self.same_output else self.runs
        outputs = "".join(
            f"<p class='pv-soft'>{html.escape('what every run prints' if self.same_output else run.name)}</p>"
            f"<pre class='pv-output'>{html.escape(run.text)}</pre>"
            for run in texts
        )
        content = (
            f"<div class='pv-head'><span class='pv-title'>{html.escape(self.title)}</span>"
            f"<span class='pv-soft'>{html.escape(self.output())}</span></div>"
            f"{house.table(self.SUMMARY, self.summary_rows())}"
            f"<p class='pv-status' role='status' aria-live='polite'>{html.escape(self.verdict())}</p>"
            f"<p class='pv-soft pv-view'>{html.escape(EXPLAINED)}</p>"
            f"{self._chart()}{self._price_table()}"
            f"<p class='pv-sweep'>{html.escape(self.sweep())}</p>"
            f"<p class='pv-soft'>{html.escape(NOTE)}</p>"
            f"<details open><summary>Exits by reason</summary>"
            f"{house.table(self._reason_head(), self.reason_rows())}</details>"
            f"<details><summary>The output</summary>{outputs}</details>"
        )
        return house.piece("comparison", content, self._data(), "(root, data) => new Comparison(root, data)")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


EXPLAINED = "Compared are the whole runs, without the time asleep."
NOTE = (
    "Counts stay as measured: a guest that waits for a clock would in truth wait less when its exits take "
    "longer. A gate for INT is cheaper than one for an exception and moves with it. "
    "Gate code is the few instructions of the monitor's entry and exit; no price here moves them."
)


def comparison(runs: Iterable[Any], title: str = "") -> Comparison:
    """Compare runs of the same kernel."""
    return Comparison(runs, title)


def comparison_page(runs: Iterable[Any], title: str = "") -> str:
    """The comparison as a page of its own, with nothing from elsewhere."""
    shown = Comparison(runs, title)
    return house.page(shown.title, shown._repr_html_())


def comparison_text(runs: Comparison | Iterable[Any], title: str = "") -> str:
    """The comparison as plain text."""
    shown = runs if isinstance(runs, Comparison) else Comparison(runs, title)
    prices = [["what", "price", *(run.name for run in shown.runs)]]
    for part in shown.rows():
        price = f"{shown.prices[part]:,}" if part in shown.prices else ""
        prices.append([part, price, *(f"{shown.part(i, part):,}" for i in range(len(shown.runs)))])
    prices.append(["all of it", "", *(f"{round(shown.total(i)):,}" for i in range(len(shown.runs)))])
    moves = [["if this price alone moves", "who wins"]]
    moves += [[name, shown.change(name)] for name in shown.prices]
    sections = [
        f"{shown.title}\n{shown.output()}",
        house.columns([shown.SUMMARY, *shown.summary_rows()]),
        f"{shown.verdict()}\n({EXPLAINED})",
        house.columns(prices),
        house.columns(moves, left=2),
        shown.sweep(),
        house.columns([shown._reason_head(), *shown.reason_rows()]),
    ]
    return "\n\n".join(sections)
