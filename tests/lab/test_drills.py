"""Drills: the same seed, the same question; the answer passes, others do not, and slips have names."""

from __future__ import annotations

import struct

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.lab import drills, instruction_table, stack_figure
from pyvirt_edu.lab.instruction_tables import MEANINGS, row_of
from pyvirt_edu.machine.opcodes import rows_for

NAMES = sorted(name for name in vars(drills) if name.endswith("_drill"))
KINDS = [getattr(drills, name) for name in NAMES]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_seeded_and_checked(kind):
    asked = {repr(kind(seed=seed)) for seed in range(12)}
    assert len(asked) > 3
    for seed in range(12):
        one, other = kind(seed=seed), kind(seed=seed)
        assert (repr(one), one.answer, one.why) == (repr(other), other.answer, other.why)
        assert one.check(one.answer) and one.verdict(one.answer) == f"Right. {one.why}"
        assert not one.check("0x123456789")
        first, second = (one.verdict("0x123456789", tries) for tries in (1, 2))
        assert first.startswith("Not yet. ") and one.why not in first and one.why in second
        following = next(d for d in map(kind, range(seed + 1, seed + 20)) if repr(d) != repr(one))
        assert repr(one.another()) == repr(following)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_the_hint_is_not_the_answer(kind):
    for seed in range(12):
        drill = kind(seed=seed)
        assert drill.hint and drill.answer not in drill.hint.replace(".", " ").split()


def number(answer, **more):
    return drills.Drill("", answer, "why", hint="hint", **more)


FLAGS = {"names": ("CF", "ZF", "SF", "OF")}


@pytest.mark.parametrize(
    ("drill", "said"),
    [
        (number("0x2f"), " 47 "),
        (number("0x2f"), "2Fh"),
        (number("47"), "0b10_1111"),
        (number("-2"), "\u22122"),
        (number("-2"), "-0x2"),
        (number("0x2f", base=16), "0X2F"),
        (number("47", base=10), "047"),
        (number("CF OF", **FLAGS), "of, cf"),
        (number("CF OF", **FLAGS), "CF+OF."),
        (number("none", **FLAGS), " None. "),
        (number("none", **FLAGS), "-"),
    ],
)
def test_right(drill, said):
    assert drill.check(said)


@pytest.mark.parametrize(
    ("drill", "said", "told"),
    [
        (number("0x12345678"), "0x78563412", "wrong order"),
        (number("0x1234", bits=16), "0x3412", "wrong order"),
        (number("0x1234"), "0x3412", "hint"),  # as 32 bits, that is no other order
        (number("0x34120000"), "0x1234", "wrong order"),
        (number("0x12", bits=8), "0x21", "hint"),
        (number("-2", bits=8), "254", "unsigned reading"),
        (number("-2", bits=8), "0xfffffffe", "unsigned reading"),
        (number("-2", bits=8), "2", "sign is not"),
        (number("-2", bits=8), "510", "does not fit into 8 bits"),  # 256 more is another number
        (number("0x10", bits=32), "0x110", "hint"),
        (number("0x10"), "0x100000010", "does not fit into 32 bits"),
        (number("0xfffffffe"), "-2", "as a signed number"),
        (number("0x10009"), "00010009", "Write 0x"),
        (number("0x2f"), "2f", "Write 0x"),
        (number("0x2f"), "2g", "does not read as a number"),
        (number("0x2f"), "cf", "does not read as a number"),
        (number("0x2f", base=16), "47", "in hexadecimal"),
        (number("47", base=10), "0x2f", "in decimal"),
        (number("0x0"), "", "Type an answer"),
        (number("none", **FLAGS), "", "Type an answer"),
        (number("none", **FLAGS), "cf", "1 too many"),
        (number("CF OF", **FLAGS), "none", "2 missing"),
        (number("CF OF", **FLAGS), "cf zf", "1 too many and 1 missing"),
        (number("CF", **FLAGS), "pf", "some of CF ZF SF OF"),
        (number("none", **FLAGS), "0", "some of CF ZF SF OF"),
        (number("0x9", bits=5), "0x40", "does not fit into 5 bits"),
    ],
)
def test_slips(drill, said, told):
    assert not drill.check(said)
    assert told in drill.verdict(said)
    assert not drill.verdict(said).startswith("Right")
    assert "why" in drill.verdict(said, 2)


def test_page_faults_cover_the_codes():
    codes = {int(drills.page_fault_drill(seed=seed).answer, 0) for seed in range(120)}
    assert codes == {0, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15}


def test_frames_ask_for_every_word():
    asked = {drills.frame_drill(seed=seed).question.split("What is ")[1] for seed in range(40)}
    assert {question.removeprefix("the ").rstrip("?") for question in asked} == set(drills.FRAME)
    for seed in range(20):
        drill = drills.frame_drill(seed=seed)
        if "saved EBP" in drill.question:
            ebp = int(drill.shown.split("ebp=")[1][:8], 16)
            assert int(drill.answer, 0) > ebp  # the caller's frame is higher


def test_dumps_ask_for_rings_and_pointers():
    answers = {}
    for seed in range(60):
        drill = drills.dump_drill(seed=seed)
        answers.setdefault(drill.question, set()).add(drill.answer)
    assert answers["In which ring does this code run?"] == {"0x0", "0x3"}
    assert any("next instruction" in question for question in answers)
    assert {question[:-1].split()[-1][1:] for question in answers if "What is in" in question} == {
        *("L", "H", "X")
    }


def test_static():
    drill = drills.hex_drill(seed=1)
    data = drill._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"} and "<details>" in data["text/html"]
    asked, folded = data["text/html"].split("<details>")
    assert drill.answer in folded and drill.answer not in asked


def test_live():
    pytest.importorskip("ipywidgets")
    drill = drills.hex_drill(seed=1)
    box = drill.widget()
    question, row, told = box.children
    field, check, another = row.children
    check.click()
    assert "Type an answer first" in told.value
    field.value = "0x34"  # Enter, or leaving the field
    assert drill.hint in told.value and drill.why not in told.value
    check.click()  # the same answer again is no second try
    assert drill.why not in told.value
    field.value = "0x35"
    assert drill.why in told.value
    field.value = drill.answer
    assert "Right. " in told.value
    another.click()
    assert question.value == drills.hex_drill(seed=2)._question_html()
    assert field.value == told.value == ""
    field.value = "0x123"
    assert drills.hex_drill(seed=2).why not in told.value  # its first try


# --- what the primer shows beside the drills ---------------------------------------------------


def framed():
    m = Machine(ram="1MiB", devices=())
    text = "push 5\npush 7\ncall f\nf: push ebp\nmov ebp, esp\npush 1"
    m.load(assemble(text, bits=32, origin=0x10000), at=0x10000)
    m.enter_protected_mode(eip=0x10000, esp=0x90000)
    m.step(6)
    return m


def test_stack_figure_says_what_memory_holds():
    m = framed()
    figure = stack_figure(m, ["local", "saved EBP", "<back>"], below=1, title="A & B")
    words = struct.unpack("<4I", m.read(m.cpu.esp - 4, 16))
    assert [word.value for word in figure.words] == list(words)
    assert [word.address for word in figure.words] == [m.cpu.esp + 4 * i for i in (-1, 0, 1, 2)]
    assert [word.pointers for word in figure.words] == [(), ("esp",), ("ebp",), ()]
    assert [word.free for word in figure.words] == [True, False, False, False]
    text, page = repr(figure), figure._repr_html_()
    for word in figure.words:
        assert f"{word.address:08x}  {word.value:08x}" in text
        assert f">{word.address:08x}<" in page and f">{word.value:08x}<" in page
    assert "ESP ->" in text and ">ESP<" in page and ">EBP<" in page
    assert "&lt;back&gt;" in page and "A &amp; B" in page and "<back>" not in page
    assert len(stack_figure(m, words=2).words) == 2


def test_instruction_table_comes_from_the_opcode_table():
    found = instruction_table({"ADD": ("add eax, ecx", "eax + ecx")}, {"ADD": 17})
    (row,) = found
    assert (row.code.hex(), row.eax, row.opcodes) == ("01c8", 17, len(rows_for("ADD")))
    assert "00000011" in repr(found) and "00000011" in found._repr_html_()
    with pytest.raises(ValueError, match="does not contain it"):
        instruction_table({"ADD": ("sub eax, ecx", "")})
    assert row_of(b"\x0f\xb6\xc1").mnemonic == "MOVZX" and row_of(b"\xf7\xd8").mnemonic == "NEG"
    with pytest.raises(ValueError, match="no row"):
        row_of(b"\x0f\x04")


def test_every_meaning_is_of_an_instruction():
    for name in MEANINGS:
        assert name == "CDQ" or rows_for(name), name
