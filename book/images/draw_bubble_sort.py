"""Draw bubble-sort.svg for the README: run a bubble sort one instruction at a time and plot
where each number is, and which instruction runs.

    python book/images/draw_bubble_sort.py
"""

from __future__ import annotations

from pathlib import Path

from pyvirt_edu import Machine, assemble

NUMBERS = [6, 3, 8, 1, 7, 2, 5, 4]
CODE, DATA = 0x10000, 0x20000
PROGRAM = f"""
        mov edi, {len(NUMBERS) - 1}
pass:   xor esi, esi
next:   mov eax, [{DATA} + esi*4]
        cmp eax, [{DATA + 4} + esi*4]
        jle keep
        xchg eax, [{DATA + 4} + esi*4]
        mov [{DATA} + esi*4], eax
keep:   inc esi
        cmp esi, edi
        jl next
        dec edi
        jnz pass
        hlt
"""
LISTING = [line.strip() for line in PROGRAM.strip().splitlines()]
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a67c00", "#7a3fa0", "#333333"]

LEFT, RIGHT, TOP, ROW, GAP = 250, 40, 46, 17, 46
WIDTH = 960


def run() -> tuple[list[int], list[list[int]]]:
    """EIP of each instruction, and the numbers before it."""
    m = Machine(ram="1MiB", devices=())
    m.load(assemble(PROGRAM), at=CODE)
    m.load(b"".join(n.to_bytes(4, "little") for n in NUMBERS), at=DATA)
    m.enter_protected_mode(eip=CODE, esp=0x90000)
    where, memory = [], []
    while True:
        where.append(m.cpu.eip)
        data = m.read(DATA, 4 * len(NUMBERS))
        memory.append([int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)])
        if m.read(m.cpu.eip, 1) == b"\xf4":  # HLT
            return where, memory
        m.step()


def draw(where: list[int], memory: list[list[int]]) -> str:
    steps = len(where)
    addresses = sorted(set(where))
    assert len(addresses) == len(LISTING), "one row of the picture is one line of the listing"
    scale = (WIDTH - LEFT - RIGHT) / (steps - 1)

    def x(step: float) -> float:
        return round(LEFT + step * scale, 1)

    def text(at_x: float, y: float, string: str, kind: str = "", anchor: str = "start") -> str:
        return f'<text x="{at_x}" y="{y + 4}" text-anchor="{anchor}" class="{kind}">{string}</text>'

    slots = TOP + len(NUMBERS) * ROW + GAP  # top of the lower half
    height = slots + len(LISTING) * ROW + 36
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>A bubble sort of {len(NUMBERS)} numbers in {steps} instructions</title>",
        "<style>text{font:13px sans-serif;fill:#222}.code{font:12px monospace;white-space:pre}"
        ".head{font-weight:bold}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(LEFT, 22, "The numbers in memory", "head"),
        text(LEFT, slots - 22, "The instruction that runs", "head"),
    ]
    for index in range(len(NUMBERS)):
        out.append(text(LEFT - 26, TOP + index * ROW, f"[{DATA + 4 * index:#x}]", "code", "end"))
    for value, colour in zip(sorted(NUMBERS), COLOURS, strict=True):
        places = [row.index(value) if value in row else None for row in memory]
        points, before = [], None
        for step, place in enumerate(places):
            # While two numbers change places, one of them is only in a register.
            if place is not None and (place != before or step == steps - 1):
                if before is not None and place != before:
                    points.append(f"{x(step - 2)},{TOP + before * ROW}")
                points.append(f"{x(step)},{TOP + place * ROW}")
                before = place
        line = " ".join(points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="3"/>')
        out.append(text(LEFT - 18, TOP + memory[0].index(value) * ROW, str(value), "head"))
        out.append(text(WIDTH - RIGHT + 10, TOP + memory[-1].index(value) * ROW, str(value), "head"))
    for row, line in enumerate(LISTING):
        y = slots + row * ROW
        label, _, rest = line.rpartition(":")
        out.append(text(14, y, f"{label + ':' if label else '':6}{rest.strip()}", "code"))
        out.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
    dots = "".join(f"M{x(step)} {slots + addresses.index(eip) * ROW}h0" for step, eip in enumerate(where))
    out.append(f'<path d="{dots}" stroke="#0072b2" stroke-width="5" stroke-linecap="round"/>')
    for step in range(0, steps, 50):
        out.append(text(x(step), height - 22, str(step), "", "middle"))
    out.append(text(WIDTH - RIGHT, height - 8, "instructions executed", "", "end"))
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    target = Path(__file__).with_name("bubble-sort.svg")
    target.write_text(draw(*run()), encoding="utf-8")
    print(target)
