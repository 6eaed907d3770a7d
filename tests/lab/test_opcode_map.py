"""The maps show the whole table: every row has its cell, and text and HTML say the same."""

from __future__ import annotations

import html

import pytest

from pyvirt_edu.lab import opcode_map
from pyvirt_edu.machine.opcodes import ROWS


@pytest.mark.parametrize("two_byte", [False, True])
def test_every_row_is_shown(two_byte: bool) -> None:
    shown = opcode_map(two_byte)
    page, text = shown._repr_html_(), repr(shown)
    for row in ROWS:
        if row.two_byte == two_byte:
            assert row.mnemonic in shown.cells[row.opcode]
    for opcode, cell in shown.cells.items():
        assert f"{opcode:02X}  {cell.replace(chr(10), ' | ')}" in text
        assert html.escape(cell).replace("\n", "<br>") in page
    assert page.count("<td>") == 256
    assert page.count('scope="row"') == page.count('scope="col"') == 16
