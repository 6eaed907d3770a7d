"""Charts in the house style: plain plotly figures, and a way to show them that needs no network.

    figure = bars({"cli": 15, "in": 224}, title="Exits", value="times")
    show(figure)

JupyterLab and VS Code draw them with the plotly they have. A page of the book loads one copy of
plotly.js, which all charts share (book/conf.py puts it there). Where there is none, a plain
picture and a table with the same numbers stand there instead. Nothing is told by colour alone:
bars have patterns, lines have marks and dashes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import house

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Number = int | float
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "triangle-down")
SVG_DASHES = {"solid": "", "dash": "8 5", "dot": "2 4", "dashdot": "8 4 2 4", "longdash": "14 5",
              "longdashdot": "14 4 2 4"}  # fmt: skip
INK, GRID, HEIGHT = "#1c2430", "#d5dae2", 380
#: Colours of lines, which must stand out from white and from black: no yellow, no grey.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8b95a5", "#56b4e9", "#e69f00")
MIME = "application/vnd.plotly.v1+json"
# of the plain picture
WIDTH, LEFT, TOP, RIGHT, BOTTOM, TICKS = 900, 80, 34, 20, 44, 5


def template() -> Any:
    """Fonts, colours and grid of every chart."""
    import plotly.graph_objects as go

    axis = {
        "gridcolor": GRID,
        "linecolor": INK,
        "zerolinecolor": GRID,
        "ticks": "outside",
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": house.FONT, "size": 14, "color": INK},
            "title": {"font": {"size": 16}, "x": 0, "xanchor": "left", "xref": "paper"},
            "colorway": list(LINE_COLOURS),
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "height": HEIGHT,
            "margin": {"l": 60, "r": 20, "t": 48, "b": 48},
            "xaxis": {**axis, "showgrid": False},
            "yaxis": {**axis, "tickformat": ",", "rangemode": "tozero"},
            "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "traceorder": "normal"},
            "hovermode": "closest",
        }
    )


def _figure(traces: list[Any], title: str, x: str, y: str, **layout: Any) -> Figure:
    import plotly.graph_objects as go

    axes = {"xaxis_title_text": x, "yaxis_title_text": y}
    return go.Figure(data=traces, layout={"template": template(), "title_text": title, **axes, **layout})


def _bar(name: str, number: int, labels: Sequence[Any], values: Sequence[Number]) -> Any:
    import plotly.graph_objects as go

    colour, pattern = house.look(number)
    marker = {
        "color": colour,
        "line": {"color": INK, "width": 0.6},
        "pattern": {"shape": pattern, "fgcolor": "#000000", "fillmode": "overlay", "size": 7},
    }
    return go.Bar(name=name, x=list(labels), y=list(values), marker=marker)


def bars(
    values: Mapping[str, Number] | Mapping[str, Mapping[str, Number]],
    *,
    title: str = "",
    label: str = "",
    value: str = "",
) -> Figure:
    """A bar for each label; with ``{series: {label: value}}`` a group of bars for each label."""
    return _bars(values, title, label, value, "group")


def stacked_bars(
    values: Mapping[str, Mapping[str, Number]], *, title: str = "", label: str = "", value: str = ""
) -> Figure:
    """``{part: {label: value}}``: a bar for each label, made of its parts."""
    return _bars(values, title, label, value, "stack")


def _bars(values: Mapping[str, Any], title: str, label: str, value: str, mode: str) -> Figure:
    if not values:
        raise ValueError("bars: there are no values to show")
    first = next(iter(values.values()))
    series: Mapping[str, Mapping[str, Number]] = (
        values if isinstance(first, Mapping) else {value or "value": values}
    )
    labels = list(dict.fromkeys(name for part in series.values() for name in part))
    traces = [
        _bar(name, number + 1, labels, [part.get(name, 0) for name in labels])
        for number, (name, part) in enumerate(series.items())
    ]
    return _figure(traces, title, label, value, barmode=mode, showlegend=len(traces) > 1)


def lines(
    series: Mapping[str, Sequence[tuple[Number, Number]] | Mapping[Number, Number]],
    *,
    title: str = "",
    x: str = "",
    y: str = "",
) -> Figure:
    """A line for each series of points (x, y)."""
    import plotly.graph_objects as go

    traces = []
    for number, (name, points) in enumerate(series.items()):
        pairs = sorted(points.items() if isinstance(points, Mapping) else points)
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        traces.append(
            go.Scatter(
                name=name,
                x=[pair[0] for pair in pairs],
                y=[pair[1] for pair in pairs],
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[number % len(DASHES)], "width": 2.5},
                marker={"symbol": MARKS[number % len(MARKS)], "size": 8},
            )
        )
    return _figure(traces, title, x, y, showlegend=len(traces) > 1)


# --- without plotly --------------------------------------------------------------------------


def number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Chart:
    """A figure, ready to be shown with or without plotly.js."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._plain = json.loads(figure.to_json())
        self.traces = [self._trace(trace) for trace in figure.data]
        layout = figure.layout
        self.title = layout.title.text or "Chart"
        self.names = layout.xaxis.title.text or "", layout.yaxis.title.text or ""
        self.stacked = layout.barmode == "stack"

    @staticmethod
    def _trace(trace: Any) -> tuple[str, str, list[Any], list[Any]]:
        if trace.type not in ("bar", "scatter"):
            raise ValueError(f"show: a chart has bars or lines, not {trace.type!r}: show the figure itself")
        return trace.type, trace.name or "", list(trace.x), list(trace.y)

    def labels(self) -> list[Any]:
        """What stands along the x axis."""
        found = dict.fromkeys(x for _, _, places, _ in self.traces for x in places)
        return sorted(found) if self.traces and self.traces[0][0] == "scatter" else list(found)

    def rows(self) -> list[list[str]]:
        """The numbers: a row for each label, a column for each series."""
        known = [dict(zip(places, values)) for _, _, places, values in self.traces]
        return [
            [number(label), *(number(one[label]) if label in one else "" for one in known)]
            for label in self.labels()
        ]

    def head(self) -> list[str]:
        return [self.names[0] or "x", *(name or self.names[1] or "value" for _, name, *_ in self.traces)]

    def __repr__(self) -> str:
        above = f"{self.title} ({self.names[1]})" if self.names[1] else self.title
        return f"{above}\n{house.columns([self.head(), *self.rows()])}"

    def svg(self) -> str:
        """The chart as a picture."""
        values = [value for *_, found in self.traces for value in found] or [0]
        kind = self.traces[0][0] if self.traces else "bar"
        if self.stacked:
            known = [dict(zip(places, found)) for _, _, places, found in self.traces]
            values = [sum(one.get(label, 0) for one in known) for label in self.labels()]
        step = _step(max([*values, 0]))
        height = HEIGHT - TOP - BOTTOM
        inside = f"<text x='0' y='18' font-size='16' font-weight='650'>{html.escape(self.title)}</text>"
        for k in range(TICKS + 1):
            y, name = TOP + height - height * k / TICKS, number(step * k)
            inside += (
                f"<path d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}' stroke='var(--line)'/>"
                f"<text x='{LEFT - 8}' y='{y + 4:.1f}' font-size='12' text-anchor='end'>{name}</text>"
            )
        scale = height / (step * TICKS)
        inside += self._bars(scale, height) if kind == "bar" else self._lines(scale, height)
        inside += (
            f"<text x='{WIDTH - RIGHT}' y='{HEIGHT - 4}' font-size='13' text-anchor='end'>"
            f"{html.escape(self.names[0])}</text><text x='{WIDTH - RIGHT}' y='18' font-size='13' "
            f"text-anchor='end'>{html.escape(self.names[1])}</text>"
        )
        label = html.escape(repr(self).replace("\n", "; "))
        patterns = house.definitions("pv-chart", len(self.traces) + 1)
        return (
            f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='100%' role='img' aria-label='{label}'>"
            f"{patterns}{inside}</svg>"
        )

    def _bars(self, scale: float, height: float) -> str:
        out, labels = "", self.labels()
        room = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
        count = 1 if self.stacked else len(self.traces)
        wide = min(room * 0.7 / count, 90)
        for place, label in enumerate(labels):
            middle, bottom = LEFT + room * (place + 0.5), TOP + height
            for k, (_, name, places, values) in enumerate(self.traces):
                value = dict(zip(places, values)).get(label, 0)
                x = middle - wide * count / 2 + (0 if self.stacked else wide * k)
                tall = max(value, 0) * scale
                words = html.escape(f"{label}, {name}: {number(value)}")
                out += (
                    f"<rect x='{x:.1f}' y='{bottom - tall:.1f}' width='{wide:.1f}' height='{tall:.1f}' "
                    f"fill='url(#pv-chart{k + 1})' stroke='var(--fg)' stroke-width='.6'>"
                    f"<title>{words}</title></rect>"
                )
                bottom -= tall if self.stacked else 0
            out += (
                f"<text x='{middle:.1f}' y='{TOP + height + 17}' font-size='12' text-anchor='middle'>"
                f"{html.escape(number(label))}</text>"
            )
        return out

    def _lines(self, scale: float, height: float) -> str:
        labels = self.labels() or [0]
        low, high = min(labels), max(labels)
        across = (WIDTH - LEFT - RIGHT) / ((high - low) or 1)
        out = ""
        for k, (_, name, places, values) in enumerate(self.traces):
            points = [
                (LEFT + (x - low) * across, TOP + height - max(y, 0) * scale) for x, y in zip(places, values)
            ]
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
            dash = SVG_DASHES[DASHES[k % len(DASHES)]]
            colour = LINE_COLOURS[k % len(LINE_COLOURS)]
            look = f"stroke='{colour}' stroke-width='2.5' fill='none' stroke-dasharray='{dash}'"
            out += f"<path d='{path}' {look}><title>{html.escape(name)}</title></path>"
            for x, y in points:
                out += f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{colour}'/>"
        for x, anchor in ((low, "start"), (high, "end")):
            place = LEFT + (x - low) * across
            out += (
                f"<text x='{place:.1f}' y='{TOP + height + 17}' font-size='12' text-anchor='{anchor}'>"
                f"{number(x)}</text>"
            )
        return out

    def legend(self) -> str:
        """Names beside their looks."""
        if len(self.traces) < 2:
            return ""
        out = ""
        for k, (kind, name, *_) in enumerate(self.traces):
            if kind == "bar":
                look = f"<rect width='18' height='14' fill='url(#pv-chart{k + 1})'/>"
            else:
                dash = SVG_DASHES[DASHES[k % len(DASHES)]]
                colour = LINE_COLOURS[k % len(LINE_COLOURS)]
                look = f"<path d='M0 7H30' stroke='{colour}' stroke-width='2.5' stroke-dasharray='{dash}'/>"
            size = f"width='{18 if kind == 'bar' else 30}' height='14'"
            out += f"<span><svg {size} aria-hidden='true'>{look}</svg> {html.escape(name)}</span>"
        return f"<div class='pv-legend'>{out}</div>"

    def _repr_html_(self) -> str:
        content = (
            f"<div class='pv-plain'>{self.svg()}{self.legend()}</div>"
            f"<details><summary>As a table</summary>{house.table(self.head(), self.rows())}</details>"
        )
        return house.piece("chart", content, self._plain, "startChart")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {MIME: self._plain, "text/html": self._repr_html_(), "text/plain": repr(self)}


def _step(biggest: Number) -> Number:
    """A round number of which TICKS reach so far."""
    unit = 10.0**-6
    while True:
        for digits in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            if TICKS * digits * unit >= biggest:
                step = round(digits * unit, 8)
                return int(step) if step == int(step) else step
        unit *= 10


def show(figure: Figure) -> Chart:
    """A figure of bars or lines, with a picture and a table for where plotly.js is missing."""
    return Chart(figure)
