"""A trace through several address spaces, against what each step saw when it was executed."""

from __future__ import annotations

from pyvirt_edu import Machine, disassemble
from pyvirt_edu.guests import sprout

STEPS = 45_000  # the shell reads a line, forks; the child executes a program, which ends


def at_the_prompt() -> Machine:
    m = Machine(ram="16MiB")
    m.boot(sprout.image(), initrd=sprout.root())
    m.run(until=lambda m: m.console.text.endswith("$ "), max_instructions=10_000_000)
    m.console.type("echo hi\n")
    m.run(max_instructions=62_000)
    return m


def test_the_code_of_a_step_is_that_of_its_address_space_then() -> None:
    m = at_the_prompt()
    trace = m.trace(STEPS)
    again = at_the_prompt()
    directories = set()
    for i in range(STEPS):
        step = trace[i]
        assert again.cpu.eip == step.eip
        if not step.delivered and i % 7 == 0:
            seen = again.read_linear(step.eip, len(step.code))
            assert seen == step.code, f"step {i}: {step}"
            assert step.text == disassemble(seen, bits=32, at=step.eip)[0].text
        directories.add(again.cpu.cr3)
        again.step()
    assert len(directories) > 2 and m.console.text.count("hi\r\n") == 2  # what was typed, and what echo says


def test_memory_at_each_step() -> None:
    m = at_the_prompt()
    start = m.snapshot()
    trace = m.trace(20_000)
    end = m.snapshot()
    m.restore(start)
    before = m.read(0, m.ram_size)
    m.restore(end)
    after = m.read(0, m.ram_size)
    changed = [at for at in range(0, len(before), 4096) if before[at : at + 4096] != after[at : at + 4096]]
    past = trace.past
    assert len(changed) > 3
    for at in changed:
        assert past.read(at, 4096, 0) == before[at : at + 4096]
        assert past.read(at, 4096, len(trace)) == after[at : at + 4096]
    for step in (1, 777, 12_345):
        m.restore(start)
        m.run(max_instructions=step)
        for at in changed:
            assert past.read(at, 4096, step) == m.read(at, 4096)
