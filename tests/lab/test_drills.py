"""Drills: the same seed, the same question; the answer passes, others do not."""

from __future__ import annotations

import pytest

from pyvirt_edu.lab import drills

KINDS = [getattr(drills, name) for name in sorted(vars(drills)) if name.endswith("_drill")]


@pytest.mark.parametrize("kind", KINDS)
def test_seeded_and_checked(kind):
    asked = {repr(kind(seed=seed)) for seed in range(12)}
    assert len(asked) > 3
    for seed in range(12):
        one, other = kind(seed=seed), kind(seed=seed)
        assert (repr(one), one.answer, one.why) == (repr(other), other.answer, other.why)
        assert one.check(one.answer) and one.verdict(one.answer).startswith("Right")
        assert not one.check("0x123456789") and one.why in one.verdict("0x123456789")


def test_answers_by_hand():
    assert drills.Drill("", "0x2f", "").check("47")
    assert drills.Drill("", "CF OF", "").check("of, cf")
    assert "wrong order" in drills.Drill("", "0x12345678", "").verdict("0x78563412")
    assert "sign" in drills.Drill("", "-2", "").verdict("254")


def test_page_faults_cover_the_bits():
    codes = {int(drills.page_fault_drill(seed=seed).answer, 0) for seed in range(40)}
    assert codes == {0, 2, 4, 5, 6, 7}


def test_static_and_live():
    drill = drills.hex_drill(seed=1)
    data = drill._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"} and "<details>" in data["text/html"]
    assert drill.answer in data["text/html"].split("<details>")[1]
    pytest.importorskip("ipywidgets")
    box = drill.widget()
    field, button = box.children[1].children
    field.value = drill.answer
    button.click()
    assert box.children[2].value.startswith("Right")
