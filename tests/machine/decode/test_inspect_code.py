"""What the reader is shown of decoded code."""

from __future__ import annotations

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.inspect_code import decoded_blocks, lazy_flags, micro_ops

AT = 0x10000


def machine(text: str) -> Machine:
    m = Machine(ram="1MiB", devices=())
    m.load(assemble(text, bits=32, origin=AT), at=AT)
    m.enter_protected_mode(eip=AT, esp=0x90000)
    return m


def test_nothing_is_decoded_before_it_runs() -> None:
    m = machine("hlt")
    assert repr(decoded_blocks(m)) == "(no decoded block)"
    assert repr(micro_ops(m, AT)) == "(nothing is decoded here)"


def test_a_memory_destination_is_read_changed_written() -> None:
    m = machine("add [ebx+ecx*4+8], eax\nhlt")
    m.run()
    shown = [u for u in micro_ops(m, AT) if u.address == AT]
    assert [u.kind for u in shown] == ["MODIFY32", "ADD32", "STORE32"]
    assert [u.text for u in shown] == [
        "t0 = [ebx + ecx*4 + 0x8], will be written",
        "t0 = t0 + eax",
        "[ebx + ecx*4 + 0x8] = t0",
    ]


def test_jumps_name_their_target() -> None:
    m = machine("cmp eax, 7\njnz away\nhlt\naway: hlt")
    m.run()
    assert micro_ops(m, AT)[1].text == f"to {AT + 6:#x} if nz"


def test_a_store_into_a_block_drops_it() -> None:
    m = machine("mov eax, 1\njmp next\nnext: mov byte [next - 4], 2\nhlt")
    m.run(max_instructions=2)
    assert [b.address for b in decoded_blocks(m)] == [AT]
    m.step()
    assert AT not in [b.address for b in decoded_blocks(m)]


def test_lazy_flags_are_result_and_carries() -> None:
    m = machine("add eax, ebx\nhlt")
    m.cpu.eax, m.cpu.ebx = 0x7FFF_FFFF, 1
    m.run()
    assert lazy_flags(m) == (0x8000_0000, 0x7FFF_FFFF)
