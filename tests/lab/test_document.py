"""The trace document: its forms state the same facts."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from pyvirt_edu.lab import document as documents
from pyvirt_edu.lab import player, static
from pyvirt_edu.lab.document import DocumentError, pack, states

from .demo import LIST, NUMBERS, ORIGIN, RESULT, STACK, demo

TOTAL = sum(NUMBERS) & 0xFFFF_FFFF


def test_states_walk_the_steps() -> None:
    walked = list(states(player(demo()).packed))
    assert len(walked) == len(demo()["steps"]) + 1
    assert walked[0]["eip"] == ORIGIN and walked[0]["esp"] == STACK
    assert walked[-1]["eax"] == TOTAL and walked[-1]["ecx"] == 0 and walked[-1]["esi"] == LIST + 24


def test_text_and_html_state_the_same_facts() -> None:
    shown = player(demo())
    text, page = repr(shown), shown._repr_html_()
    table = page[page.index("<table>") :]
    cells = [
        [html.unescape(cell) for cell in re.findall(r"<code>(.*?)</code>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]
    ]
    lines = text.splitlines()
    assert len(cells) == len(lines) - 2
    for row, line in zip(cells, lines[1:-1]):
        assert line.split() == " ".join(row).split()
    assert html.escape(lines[0]) in page and html.escape(lines[-1]) in page
    assert f"[{RESULT:#x}]: 00000000 → {TOTAL:08x}" in text


def test_the_packed_form_has_all_of_the_document() -> None:
    source = demo()
    packed = pack(documents.document(source))
    assert len(packed["steps"]) == len(source["steps"])
    for step, row in zip(source["steps"], packed["steps"]):
        assert packed["code"][row[0]][0] == step["address"]
        names = [packed["regs"][i] for i in row[1][::2]]
        assert dict(zip(names, row[1][1::2])) == step["registers"]
        stores = row[2] if len(row) > 2 else []
        assert [stores[i : i + 4] for i in range(0, len(stores), 4)] == step["memory"]
    assert json.loads(json.dumps(packed)) == packed


def test_five_hundred_steps_are_small() -> None:
    source = demo()
    loop = source["steps"][4:8]
    source["steps"] = source["steps"][:4] + loop * 124
    shown = player(source)
    data = json.dumps(shown.packed, separators=(",", ":"))
    assert len(source["steps"]) == 500
    assert len(data) < 20_000
    assert len(shown._repr_html_()) < 60_000


def test_the_page_needs_nothing_else() -> None:
    page = player(demo())._repr_html_()
    assert not re.search(r"https?://|import\s|\bsrc=|@import|url\(", page)
    assert page.count("<script") == page.count("</script>") == 2
    assert "export default" not in page


def test_text_of_a_guest_cannot_end_the_script() -> None:
    source = demo(title="</script><b>&")
    source["code"][0]["text"] = "</script><script>alert(1)</script>"
    page = player(source)._repr_html_()
    assert page.count("<script") == 2 + 1 and page.count("</script>") == 2  # the data has one, as text
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in page


def test_the_same_document_gives_the_same_bytes() -> None:
    assert player(demo())._repr_html_() == player(demo())._repr_html_()


def test_where_it_opens() -> None:
    assert player(demo(), step=-1).step == len(demo()["steps"])
    with pytest.raises(IndexError, match="positions 0 to 31"):
        player(demo(), step=99)


def test_a_bad_document_says_what_is_wrong() -> None:
    with pytest.raises(DocumentError, match='needs "steps"'):
        player({"start": {}, "code": []})
    source = demo()
    source["steps"][3]["address"] = 0x666
    with pytest.raises(DocumentError, match="step 3 is at 0x666"):
        player(source)


def test_windows_come_from_the_stores() -> None:
    source = demo()
    del source["memory"]
    found = documents.document(source)
    stack, result = found["memory"]
    assert stack["kind"] == "stack" and stack["base"] == STACK - 4
    assert stack["bytes"].startswith("00000000..")
    assert result["base"] == RESULT and result["bytes"] == "00000000........"


def test_code_that_changed_itself_has_two_lines() -> None:
    source: dict[str, Any] = {
        "start": {"eip": 0, "registers": {"eax": 0}},
        "code": [
            {"address": 0, "bytes": "40", "text": "inc eax"},
            {"address": 0, "bytes": "48", "text": "dec eax"},
        ],
        "steps": [
            {"address": 0, "code": 0, "registers": {"eax": 1}, "memory": []},
            {"address": 0, "code": 1, "registers": {"eax": 0}, "memory": []},
        ],
    }
    shown = player(source)
    assert [row.text for row in static.rows(shown.packed)] == ["inc eax", "dec eax"]
