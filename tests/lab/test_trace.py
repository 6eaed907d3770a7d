"""The player fed by a real trace: the demo's bytes, run by the machine."""

from __future__ import annotations

from pyvirt_edu import Machine
from pyvirt_edu.lab import player
from pyvirt_edu.lab.document import states

from .demo import LIST, ORIGIN, RESULT, STACK, demo


def loaded() -> Machine:
    source = demo()
    machine = Machine(ram="1MiB", devices=())
    for row in source["code"]:
        machine.load(bytes.fromhex(row["bytes"]), at=row["address"])
    machine.load(bytes.fromhex(source["memory"][1]["bytes"]), at=LIST)
    machine.enter_protected_mode(eip=ORIGIN, esp=STACK)
    return machine


def test_the_machine_and_the_demo_agree() -> None:
    shown = player(loaded().trace(100), memory=[(LIST, 32)])
    assert shown.document["exit"] == "halt"
    assert shown.document["memory"][0]["bytes"] == demo()["memory"][1]["bytes"]
    names = ("eax", "ecx", "esi", "esp", "eip")
    ours = [[state[name] for name in names] for state in states(shown.packed)]
    theirs = [[state[name] for name in names] for state in states(player(demo()).packed)]
    assert ours == theirs


def test_windows_of_a_trace() -> None:
    machine = loaded()
    trace = machine.trace(100)
    stack, result = player(trace).document["memory"]
    assert (stack["label"], stack["base"]) == ("stack", STACK - 4)
    assert ".." not in stack["bytes"]
    assert result["base"] == RESULT and result["bytes"] == "00" * 8


def test_windows_when_the_machine_has_run_on() -> None:
    machine = loaded()
    trace = machine.trace(100)
    machine.enter_protected_mode(eip=ORIGIN)
    machine.run(max_instructions=1)
    result = player(trace).document["memory"][-1]
    assert result["bytes"] == "00000000........"  # only what the trace saw is known


def test_a_part_of_a_long_trace() -> None:
    shown = player(loaded().trace(100), limit=10)
    assert repr(shown).startswith("Trace: the first 10 of 31 steps\n")
    assert [state["esi"] for state in states(shown.packed)][-1] == LIST + 8
