"""The opcode table as the manual draws it: sixteen rows of sixteen bytes (manual 2D, appendix A)."""

from __future__ import annotations

import html

from ..machine.opcodes import ROWS, Row

_STYLE = (
    "<style>.pyvirt-map{max-width:100%;overflow-x:auto}"
    ".pyvirt-map table{border-collapse:collapse;font:11px/1.25 ui-monospace,monospace}"
    ".pyvirt-map th,.pyvirt-map td{border:1px solid #8888;padding:2px 3px;text-align:left;"
    "vertical-align:top;min-width:3.6em}.pyvirt-map th{min-width:1.4em}</style>"
)


def _cell(rows: list[Row]) -> str:
    """What one opcode stands for, once each; a group names its members."""
    names: list[str] = []
    for row in rows:
        text = row.mnemonic if row.reg is not None else f"{row.mnemonic} {','.join(row.operands)}".strip()
        if text not in names:
            names.append(text)
    return "\n".join(names)


class OpcodeMap:
    """One of the two maps; shows as a table of 16 by 16 cells."""

    def __init__(self, two_byte: bool) -> None:
        self.two_byte = two_byte
        rows: dict[int, list[Row]] = {}
        for row in ROWS:
            if row.two_byte == two_byte:
                rows.setdefault(row.opcode, []).append(row)
        self.cells = {opcode: _cell(found) for opcode, found in rows.items()}

    @property
    def title(self) -> str:
        return "Opcodes of two bytes: 0F, and" if self.two_byte else "Opcodes of one byte"

    def __repr__(self) -> str:
        lines = [self.title]
        for opcode, text in sorted(self.cells.items()):
            lines.append(f"{opcode:02X}  {text.replace(chr(10), ' | ')}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{n:X}</th>' for n in range(16))
        body = ""
        for high in range(16):
            cells = ""
            for low in range(16):
                text = html.escape(self.cells.get(high << 4 | low, ""))
                cells += f"<td>{text.replace(chr(10), '<br>')}</td>"
            body += f'<tr><th scope="row">{high:X}_</th>{cells}</tr>'
        return (
            f'{_STYLE}<div class="pyvirt-map" tabindex="0" role="region" aria-label="{self.title}">'
            f"<table><caption>{self.title}</caption><tr><th></th>{head}</tr>{body}</table></div>"
        )


def opcode_map(two_byte: bool = False) -> OpcodeMap:
    """The map of one-byte opcodes, or of those behind 0F."""
    return OpcodeMap(two_byte)
