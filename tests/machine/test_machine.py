"""The machine as Python sees it: registers, memory, runs and exits, devices, history."""

from __future__ import annotations

import random
import time

import pytest

from pyvirt_edu.machine.assembler import assemble
from pyvirt_edu.machine.bare_machine import BareMachine
from pyvirt_edu.machine.costs import CostModel
from pyvirt_edu.machine.errors import (
    AddressError,
    ConfigurationError,
    MachineError,
    RegisterError,
    RewindError,
    SnapshotError,
)
from pyvirt_edu.machine.registers import arithmetic_flags, lazy_pair
from pyvirt_edu.machine.time_travel.snapshots import Snapshot

START, STACK = 0x10000, 0x90000


def machine(source: str, ram: str = "1MiB", **options: object) -> BareMachine:
    m = BareMachine(ram=ram, devices=(), **options)  # type: ignore[arg-type]
    m.load(assemble(source, origin=START, bits=32), at=START)
    m.enter_protected_mode(eip=START, esp=STACK)
    return m


MIXED = """
        mov ecx, 200
again:  add eax, ecx
        rol eax, 3
        mov [0x20000 + ecx*4], eax
        push eax
        xor edx, [esp]
        pop ebx
        mov [patched + 1], cl
patched: mov dl, 0
        lea edi, [0x30000 + ecx]
        push ecx
        mov ecx, 5
        rep stosb
        pop ecx
        in al, 0x80
        out 0x81, al
        dec ecx
        jnz again
        hlt
"""


def mixed() -> BareMachine:
    m = machine(MIXED)
    m.on_port(0x80, read=lambda port, size: m.instructions * 7 & 0xFF)
    m.on_port(0x81, write=lambda port, value, size: m.write(0x40000, bytes([value] * 4)))
    return m


# --- building --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("3KiB", "between 64 KiB"),
        ("8GiB", "between 64 KiB"),
        ("much", "64MiB"),
        (65537, "multiple"),
        (1.5, "64MiB"),
    ],
)
def test_a_ram_size_that_cannot_be(size: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        BareMachine(ram=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["64KiB", "1MiB", "1M", "1MB", "1.5MiB", 1 << 20])
def test_ram_sizes(size: str | int) -> None:
    assert BareMachine(ram=size, devices=()).ram_size % 4096 == 0


def test_reset_state() -> None:
    m = BareMachine(ram="64KiB", devices=())
    assert (m.cpu.cs, m.cpu.ip, m.cpu.eflags, m.cpu.cr0) == (0xF000, 0xFFF0, 2, 0x60000010)
    assert m.cpu.segment("cs").base == 0xFFFF0000
    assert (m.cpu.dr6, m.cpu.dr7) == (0xFFFF0FF0, 0x400)
    assert m.cpu.mode == "real"


def test_a_segment_assigned_in_real_mode_sets_the_base() -> None:
    m = BareMachine(ram="64KiB", devices=())
    m.cpu.cs = 0x100
    m.cpu.ip = 0x10
    m.cpu.ds = 0x234
    assert m.cpu.segment("cs").base == 0x1000
    assert m.cpu.segment("ds").base == 0x2340
    m.load(b"\xb8\x34\x12\xf4", at=0x1010)  # mov ax, 0x1234; hlt
    assert m.run().reason == "halt"
    assert m.cpu.ax == 0x1234


def test_a_program_larger_than_ram() -> None:
    m = BareMachine(ram="64KiB", devices=())
    with pytest.raises(AddressError, match='ram="1MiB"'):
        m.load(bytes(65537), at=0)
    with pytest.raises(AddressError):
        m.read(0xFFFF, 2)
    with pytest.raises(AddressError):
        m.write(-1, b"x")


# --- registers -------------------------------------------------------------------------


def test_parts_of_registers() -> None:
    m = BareMachine(ram="64KiB", devices=())
    m.cpu.eax = 0x11223344
    assert (m.cpu.ax, m.cpu.al, m.cpu.ah) == (0x3344, 0x44, 0x33)
    m.cpu.ah = 0xFF
    m.cpu.al = -1
    assert m.cpu.eax == 0x1122FFFF
    m.cpu.bx = 0x8000
    assert m.cpu.ebx == 0x8000


def test_register_errors() -> None:
    m = BareMachine(ram="64KiB", devices=())
    with pytest.raises(ValueError, match=r"0\.\.0xffffffff"):
        m.cpu.eax = 1 << 32
    with pytest.raises(RegisterError, match="whole number"):
        m.cpu.al = "x"  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="did you mean 'eax'"):
        m.cpu.eaxx  # noqa: B018
    with pytest.raises(AttributeError, match="no register"):
        m.cpu.foo = 1
    with pytest.raises(RegisterError, match="VM"):
        m.cpu.eflags = 0x20002
    assert m.cpu.eax == 0


def test_every_combination_of_arithmetic_flags() -> None:
    bits = (1, 4, 16, 64, 128, 2048)
    for number in range(64):
        flags = sum(bit for i, bit in enumerate(bits) if number >> i & 1)
        assert arithmetic_flags(*lazy_pair(flags)) == flags
    m = BareMachine(ram="64KiB", devices=())
    m.cpu.eflags = 0x8D7
    assert m.cpu.eflags == 0x8D7
    assert "ZF" in m.cpu.flags


def test_a_control_register_value_that_the_processor_refuses() -> None:
    m = machine("hlt")
    with pytest.raises(RegisterError, match="#GP"):
        m.cpu.cr0 = 0x80000000  # paging without protection
    with pytest.raises(RegisterError, match="#GP"):
        m.cpu.cr4 = 1 << 30
    m.cpu.cr3 = 0x5000
    assert (m.cpu.cr3, m.cpu.eip) == (0x5000, START)


def test_a_segment_load_in_protected_mode() -> None:
    m = machine("hlt")
    with pytest.raises(RegisterError, match="#GP"):
        m.cpu.ds = 0x28
    m.write(0x1000, bytes(8) + bytes.fromhex("ffff0020009acf00 ffff0030009240 00".replace(" ", "")))
    m.cpu.gdtr_base, m.cpu.gdtr_limit = 0x1000, 23
    m.cpu.ds = 0x10
    assert m.cpu.segment("ds").base == 0x3000
    m.cpu.cs = 8
    assert (m.cpu.segment("cs").base, m.cpu.eip) == (0x2000, START)


def test_objects_print() -> None:
    m = machine(MIXED)
    for thing in (m, m.cpu, m.ledger, m.run(max_instructions=3), m.trace(5), m.costs):
        assert len(repr(thing)) > 20
        assert "<table" in thing._repr_html_()


# --- runs ------------------------------------------------------------------------------


def test_limits_are_exact() -> None:
    m = machine("again: inc eax\n jmp again")
    out = m.run(max_instructions=1001)
    assert (out.reason, m.instructions, m.cpu.eax) == ("limit", 1001, 501)
    assert m.step(4).reason == "limit"
    assert m.instructions == 1005
    assert m.run(max_instructions=0).reason == "limit"
    out = m.run(max_cycles=500)
    assert out.reason == "deadline"
    with pytest.raises(ValueError, match="max_instructions"):
        m.run(max_instructions=-1)


def test_until() -> None:
    m = machine("again: inc eax\n inc ecx\n jmp again")
    assert m.run(until=START + 1).reason == "until"
    assert (m.cpu.eax, m.cpu.ecx) == (1, 0)
    assert m.run(until=START + 1).reason == "until"
    assert (m.cpu.eax, m.cpu.ecx) == (2, 1)
    assert m.breakpoints == ()
    assert m.run(until=lambda m: m.cpu.eax > 1000).reason == "until"


def test_halt_and_interrupts() -> None:
    m = BareMachine(ram="64KiB", devices=())
    m.write(0x20 * 4, (0x900).to_bytes(2, "little") + bytes(2))
    m.load(assemble("bits 16\n sti\n hlt\n inc ax\n hlt"), at=0x800)
    m.load(assemble("bits 16\n mov bx, 0x55\n iret"), at=0x900)
    m.cpu.cs, m.cpu.ip, m.cpu.ss, m.cpu.sp = 0, 0x800, 0, 0x7000
    out = m.run()
    assert (out.reason, m.cpu.halted) == ("halt", True)
    assert m.run().reason == "halt"
    m.inject(0x20)
    assert m.interrupt_pending
    with pytest.raises(MachineError, match="waiting"):
        m.inject(0x21)
    assert m.run().reason == "halt"
    assert (m.cpu.bx, m.cpu.ax) == (0x55, 1)


def test_a_triple_fault_leaves_the_machine_usable() -> None:
    m = machine("ud2")
    snapshot = m.snapshot()
    out = m.run()
    assert out.reason == "shutdown"
    assert "triple fault" in out.meaning
    m.restore(snapshot)
    m.write(START, b"\xf4")
    assert m.run().reason == "halt"


def test_a_handler_cannot_run_the_machine() -> None:
    m = machine("in al, 0x80\n hlt")
    m.on_port(0x80, read=lambda port, size: m.run())  # type: ignore[arg-type,return-value]
    with pytest.raises(MachineError, match="handler"):
        m.run()
    m.on_port(0x80, read=lambda port, size: 9)
    assert m.run().reason == "halt"
    assert m.cpu.al == 9


def test_ctrl_c_gets_through() -> None:
    import _thread
    import signal
    import threading

    m = machine("again: inc eax\n jmp again")
    # a shell's background jobs start with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.2, _thread.interrupt_main).start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            m.run(max_instructions=5_000_000_000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 2
    assert m.step().reason == "limit"


# --- ports and memory-mapped devices ---------------------------------------------------


def test_unclaimed_ports_need_no_exit() -> None:
    m = machine("in eax, 0x70\n out 0x71, eax\n hlt")
    assert m.run().reason == "halt"
    assert m.cpu.eax == 0xFFFFFFFF
    assert m.ledger.exits == {"halt": 1}


def test_claimed_ports_leave_the_machine() -> None:
    m = machine("mov al, 7\n out 0x80, al\n in al, 0x81\n in ax, 0x81\n hlt")
    m.claim_port(0x80, 2)
    out = m.run()
    assert (out.reason, out.port, out.size, out.value) == ("port-out", 0x80, 1, 7)
    out = m.run()
    assert (out.reason, out.port, out.size) == ("port-in", 0x81, 1)
    out.value = 0x42
    out = m.run()
    assert m.cpu.al == 0x42
    m.complete(0x1234)
    assert m.run().reason == "halt"
    assert m.cpu.ax == 0x1234
    with pytest.raises(MachineError, match="nothing waits"):
        m.complete(1)


def test_a_value_that_does_not_fit_the_access() -> None:
    m = machine("in al, 0x81\n hlt")
    m.claim_port(0x81)
    m.run().value = 0x100
    with pytest.raises(RegisterError, match=r"exit\.value"):
        m.run()


def test_port_handlers_and_split_accesses() -> None:
    seen: list[tuple[int, int, int]] = []
    m = machine("mov eax, 0xaabbccdd\n out 0x7f, ax\n out 0x80, eax\n in ax, 0x7f\n hlt")
    m.on_port(0x80, read=lambda port, size: 0x5A, write=lambda p, v, s: seen.append((p, v, s)))
    assert m.run().reason == "halt"
    assert seen == [(0x80, 0xCC, 1), (0x80, 0xAABBCCDD, 4)]
    assert m.cpu.ax == 0x5AFF


def test_memory_mapped_devices() -> None:
    writes: list[tuple[int, int, int]] = []
    m = machine(
        """
        mov dword [0xf0000000], 0x11
        add dword [0xf0000004], 2
        mov esi, 0xf0000008
        mov edi, 0xf0000010
        mov ecx, 3
        rep movsd
        push dword [0xf0000008]
        pop eax
        hlt
        """
    )
    m.on_mmio(
        0xF0000000, 0x100, read=lambda a, s: a & 0xFF, write=lambda a, v, s: writes.append((a & 0xFF, v, s))
    )
    assert m.run().reason == "halt"
    assert writes == [(0, 0x11, 4), (4, 6, 4), (0x10, 8, 4), (0x14, 12, 4), (0x18, 16, 4)]
    assert m.cpu.eax == 8
    with pytest.raises(AddressError, match="overlaps"):
        m.on_mmio(0xF0000080, 4)


def test_devices_take_the_longest_instructions() -> None:
    """FXSAVE makes 38 stores and FXRSTOR 83 loads; ENTER asks for each frame pointer once."""
    cells, asked = bytearray(0x1000), []

    def read(address: int, size: int) -> int:
        asked.append(address)
        return int.from_bytes(cells[address & 0xFFF : (address & 0xFFF) + size], "little")

    def write(address: int, value: int, size: int) -> None:
        cells[address & 0xFFF : (address & 0xFFF) + size] = value.to_bytes(size, "little")

    m = machine(
        """
        mov eax, 0x200
        mov cr4, eax
        fninit
        fldpi
        fld1
        fxsave [0xf0000000]
        fninit
        fxrstor [0xf0000000]
        mov esp, 0xf0000f00
        mov ebp, 0xf0000e00
        enter 16, 4
        hlt
        """
    )
    m.on_mmio(0xF0000000, 0x1000, read, write)
    assert m.run().reason == "halt"
    assert m.cpu.st0 == 1 and abs(m.cpu.st1 - 3.14159) < 1e-4
    assert (m.cpu.esp, m.cpu.ebp) == (0xF0000F00 - 5 * 4 - 16, 0xF0000EFC)
    assert asked[-3:] == [0xF0000DFC, 0xF0000DF8, 0xF0000DF4] and asked.count(0xF0000DFC) == 1


def test_mmio_exits() -> None:
    m = machine("mov eax, [0xf0000000]\n mov [0xf0000004], eax\n hlt")
    m.on_mmio(0xF0000000, 16)
    out = m.run()
    assert (out.reason, out.address, out.size) == ("mmio-read", 0xF0000000, 4)
    out.value = 77
    out = m.run()
    assert (out.reason, out.address, out.value) == ("mmio-write", 0xF0000004, 77)
    assert m.run().reason == "halt"


# --- stopping --------------------------------------------------------------------------


def test_breakpoints() -> None:
    m = machine("again: inc eax\n inc ecx\n jmp again")
    m.break_at(START + 1)
    for turn in range(1, 4):
        out = m.run()
        assert (out.reason, out.linear, m.cpu.eax, m.cpu.ecx) == ("breakpoint", START + 1, turn, turn - 1)
    m.step()
    assert m.cpu.eip == START + 2
    m.clear_break(START + 1)
    with pytest.raises(MachineError, match="no breakpoint"):
        m.clear_break(START + 1)
    assert m.run(max_instructions=100).reason == "limit"


def test_watchpoints() -> None:
    m = machine("mov [0x20000], eax\n inc byte [0x20006]\n mov ecx, [0x20004]\n hlt")
    m.watch(0x20004, 4)
    out = m.run()
    assert (out.reason, out.linear, m.cpu.eip) == ("watchpoint", 0x20006, START + 11)
    assert m.run().reason == "halt"
    m.cpu.eip = START
    m.clear_watch()
    m.watch(0x20004, 4, "access")
    reasons = [m.run().reason for _ in range(3)]
    assert reasons == ["watchpoint", "watchpoint", "halt"]
    with pytest.raises(MachineError, match="kind"):
        m.watch(0, 4, "never")


def test_break_on_exceptions() -> None:
    m = machine("mov eax, 5\n ud2\n hlt")
    m.break_on(6)
    out = m.run()
    assert (out.reason, out.vector, m.cpu.eip) == ("exception", 6, START + 5)
    m.cpu.eip = START + 7  # mend: pass it
    assert m.run().reason == "halt"


def test_deliver_after_break_on() -> None:
    m = BareMachine(ram="64KiB", devices=())
    m.write(6 * 4, (0x900).to_bytes(2, "little") + bytes(2))
    m.load(assemble("bits 16\n ud2"), at=0x800)
    m.cpu.cs, m.cpu.ip, m.cpu.ss, m.cpu.sp = 0, 0x800, 0, 0x7000
    m.break_on(6)
    assert m.run().reason == "exception"
    m.deliver()
    assert (m.cpu.eip, m.cpu.sp, m.instructions) == (0x900, 0x6FFA, 1)


# --- one machine -----------------------------------------------------------------------


def test_slices_steps_and_traces_agree() -> None:
    whole, steps, slices, traced = mixed(), mixed(), mixed(), mixed()
    assert whole.run().reason == "halt"
    while steps.step().reason == "limit" and not steps.cpu.halted:
        pass
    rng = random.Random(5)
    while not slices.cpu.halted:
        slices.run(max_instructions=rng.randrange(1, 40))
        if rng.random() < 0.2:
            slices.restore(slices.snapshot())
    traced.trace(10**6)
    digests = {m.digest() for m in (whole, steps, slices, traced)}
    assert len(digests) == 1
    assert len({m.cycles for m in (whole, steps, slices, traced)}) == 1


def test_a_price_changes_the_clock_alone() -> None:
    cheap, dear = mixed(), mixed()
    dear._a.costs[:] = CostModel(load=50).array()
    for m in (cheap, dear):
        m.on_port(0x80, read=lambda port, size: 1)
        m.run()
    assert cheap.instructions == dear.instructions
    assert cheap.cycles < dear.cycles
    with pytest.raises(ValueError, match="load"):
        CostModel(load=-1)


# --- snapshots and history -------------------------------------------------------------


def test_snapshots_restore_everything() -> None:
    m = mixed()
    m.run(max_instructions=500)
    first, before = m.snapshot(), m.digest()
    m.run(max_instructions=700)
    second, middle = m.snapshot(), m.digest()
    m.run()
    end = m.digest()
    for snapshot, digest in ((first, before), (second, middle), (first, before)):
        m.restore(snapshot)
        assert m.digest() == digest
    m.run()
    assert m.digest() == end


@pytest.mark.parametrize("before", ["or dword [esp], 0x100\n popfd", "sti"])
def test_a_snapshot_while_a_read_waits(before: str) -> None:
    """Restored, the instruction begins anew: no single-step trap and no interrupt comes before it."""
    m = machine(f"pushfd\n {before}\n in al, 0x80\n nop\n hlt")
    m.claim_port(0x80)
    m.break_on(1)
    if before == "sti":
        m.inject(0x20)
    first = m.run()
    m.restore(m.snapshot())
    again = m.run(max_instructions=10)
    assert (first.reason, again.reason, again.eip) == ("port-in", "port-in", first.eip)
    again.value = 5
    m.run(max_instructions=1)
    assert m.cpu.al == 5


def test_snapshots_share_pages() -> None:
    m = machine("hlt", ram="4MiB")
    m.write(0, b"\xff" * (4 << 20))
    m.load(b"\xf4", at=START)
    first = m.snapshot()
    m.write(0x5000, b"x")
    second = m.snapshot()
    assert len(second.saved.layers[max(second.saved.layers)].pages) == 1
    m.write(0x6000, b"y")
    m.restore(first)
    assert m.read(0x5000, 1) + m.read(0x6000, 1) == b"\xff\xff"
    m.restore(second)
    assert m.read(0x5000, 1) == b"x"


def test_snapshot_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    m = mixed()
    m.run(max_instructions=500)
    path = tmp_path / "m.snapshot"
    m.snapshot().save(path)
    other = mixed()
    other.restore(Snapshot.load(path))
    assert other.digest() == m.digest()
    other.run()
    m.run()
    assert other.digest() == m.digest()
    data = path.read_bytes()
    damaged = tmp_path / "damaged"
    for broken in (data[:-10], data[:200] + b"?" + data[201:], data[:-100] + b"?" + data[-99:]):
        damaged.write_bytes(broken)
        with pytest.raises(SnapshotError, match="damaged"):
            Snapshot.load(damaged)
    damaged.write_bytes(b"GIF89a" + data)
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Snapshot.load(damaged)
    with pytest.raises(SnapshotError, match="cannot read"):
        Snapshot.load(tmp_path / "nowhere")
    with pytest.raises(SnapshotError, match="bytes of RAM"):
        BareMachine(ram="64KiB", devices=()).restore(m.snapshot())
    assert m.step().reason


def test_a_snapshot_of_another_layout(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "m.snapshot"
    machine("hlt").snapshot().save(path)
    monkeypatch.setattr("pyvirt_edu.machine.time_travel.snapshots.layout_digest", lambda: "other")
    with pytest.raises(SnapshotError, match="layout"):
        Snapshot.load(path)


def test_rewinding() -> None:
    m = mixed()
    states = []
    for _ in range(300):
        states.append((m.instructions, m.digest()))
        if m.instructions == 100:
            m.write(0x50000, b"input")
            m.cpu.esi = 99
            states[-1] = (m.instructions, m.digest())
        m.step()
    for position in (299, 250, 120, 101, 100, 50, 0):
        m.back(m.instructions - states[position][0])
        assert (m.instructions, m.digest()) == states[position]
    with pytest.raises(RewindError, match="cannot rewind"):
        m.back(1)


def test_rewinding_replays_answers_and_interrupts() -> None:
    m = machine("again: in al, 0x80\n add ecx, eax\n jmp again")
    m.claim_port(0x80)
    value = 0
    digests = {}
    while m.instructions < 300:
        out = m.run(max_instructions=2)
        if out.reason == "port-in":
            value = value * 5 + 3 & 0xFF
            out.value = value
        else:
            digests[m.instructions] = m.digest()
    for count in sorted(digests, reverse=True):
        m.back(m.instructions - count)
        assert m.digest() == digests[count]


def test_a_read_gone_back_to_asks_again() -> None:
    """An answer belongs to its instruction, which has not begun on the boundary before it."""
    m = machine("mov ecx, 3\n in al, 0x80\n jmp $")
    m.claim_port(0x80)
    m.run().value = 5
    m.run(max_instructions=10)
    m.back(m.instructions - 1)
    m.run(max_instructions=10).value = 6
    m.step(3)
    assert m.cpu.eax == 6


def test_rewinding_past_exceptions() -> None:
    m = machine("mov eax, 5\n ud2\n inc eax\n hlt")
    m.break_on(6)
    m.run()
    m.cpu.eip = START + 7
    m.step()
    after = m.digest()
    m.run()
    m.back(m.instructions - 2)
    assert m.digest() == after


def test_history_can_be_off() -> None:
    m = machine("inc eax\n hlt", history=False)
    m.run()
    with pytest.raises(RewindError, match="history=True"):
        m.back()


# --- traces ----------------------------------------------------------------------------


def test_a_trace_tells_what_changed() -> None:
    m = machine("mov eax, 5\n mov [0x20000], eax\n push eax\n sub eax, 5\n hlt")
    trace = m.trace(100)
    assert (len(trace), trace.exit.reason) == (5, "halt")
    assert trace[0].registers == {"eax": (0, 5)}
    assert trace[0].code == b"\xb8\x05\0\0\0"
    assert trace[0].text.startswith("mov eax")
    store = trace[1].memory[0]
    assert (store.address, store.size, store.old, store.new) == (0x20000, 4, 0, 5)
    assert trace[2].registers == {"esp": (STACK, STACK - 4)}
    assert "eflags" in trace[3].registers
    assert trace.registers(5)["eax"] == 0
    assert [step.eip for step in trace[1:3]] == [START + 5, START + 10]
    assert '"regs"' in trace.to_json()
    with pytest.raises(IndexError):
        trace[5]


def test_a_trace_shows_segments_but_no_hidden_registers() -> None:
    m = machine(
        "lgdt [table]\n mov ax, 8\n lldt ax\n mov ax, 16\n mov es, ax\n hlt\ntable: dw 23\n dd 0x8000"
    )
    m.write(0x8008, bytes.fromhex("17 00 00 90 00 82 00 00  FF FF 00 00 00 92 CF 00"))  # an LDT, flat data
    changed = [set(step.registers) for step in m.trace(6)]
    assert changed == [set(), {"eax"}, set(), {"eax"}, set(), set()]  # ES was 10h before
    m = machine("mov ax, 0x13\n mov es, ax\n hlt")
    m.write(0x8010, bytes.fromhex("FF FF 00 00 00 F2 CF 00"))
    m.cpu.gdtr_base, m.cpu.gdtr_limit = 0x8000, 23
    assert m.trace(2)[1].registers == {"es": (0x10, 0x13)}


def test_a_trace_shows_code_as_it_was() -> None:
    m = machine("mov byte [patched + 1], 7\npatched: mov al, 1\n mov byte [patched + 1], 9\n hlt")
    trace = m.trace(10)
    assert trace[1].code == b"\xb0\x07"
    assert m.read(START + 8, 1) == b"\x09"


def test_long_traces() -> None:
    m = machine("again: inc eax\n mov [0x20000], eax\n jmp again")
    trace = m.trace(60_000)
    assert len(trace) == 60_000
    assert len(trace._chunks) > 1
    assert trace[59_997].registers["eax"] == (19_999, 20_000)
    assert trace.registers(30_000)["eax"] == 10_000


# --- time ------------------------------------------------------------------------------


def test_python_gets_a_word_in_when_the_guest_slows_down() -> None:
    m = machine(
        """
        mov ecx, 60000000
fast:   dec ecx
        jnz fast
slow:   inc byte [patched + 1]
patched: mov al, 1
        jmp slow
        """
    )
    times: list[float] = []

    def look(m: BareMachine) -> bool:
        times.append(time.perf_counter())
        return m.cpu.ecx == 0 and m.instructions > 120_300_000

    m.run(until=look)
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert gaps[len(gaps) // 2] < 0.03
    assert gaps[-1] < 0.5  # a busy computer may hold us up now and then


def test_much_input_does_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyvirt_edu.machine.time_travel.history.MOST_ENTRIES", 800)
    m = machine("again: in al, 0x80\n add ecx, eax\n jmp again")
    m.on_port(0x80, read=lambda port, size: 3)
    m.run(max_instructions=6000)
    m._history.entries_due = 0
    m.run(max_instructions=6000)
    assert len(m._history.log) < 1200
    before = m.digest()
    m.step(50)
    m.back(50)
    assert m.digest() == before


@pytest.mark.parametrize("start", [0, 7, 100])
def test_a_run_ends_at_the_first_boundary_past_its_cycles(start: int) -> None:
    """However long a block is: max_cycles cuts it where single steps would stop."""
    body = "inc eax\n mov [0x8000], eax\n add ebx, eax\n imul ecx, eax\n" * 6
    for cycles in range(1, 60):
        whole, steps = machine(f"again: {body} jmp again"), machine(f"again: {body} jmp again")
        for m in (whole, steps):
            m.run(max_instructions=start + 50)  # the block is decoded and known
        target = whole.cycles + cycles
        whole.run(max_cycles=cycles)
        while steps.cycles < target:
            steps.step()
        assert (whole.instructions, whole.cycles) == (steps.instructions, steps.cycles)
