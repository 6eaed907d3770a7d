"""Far transfers, segment loads and what guards them: manual 3A chapters 5 and 20, volume 2.

Each test says what the manual expects; `run` executes it here and, where QEMU is installed,
there as well. Tests of what QEMU does otherwise run here only, and say so.
"""

from __future__ import annotations

import struct

import pytest

from pyvirt_edu import Machine, assemble

from ..guest_lab import (
    ABSENT_CODE,
    ABSENT_DATA,
    ABSENT_TSS,
    CODE,
    CODE1,
    CODE3,
    CODE16,
    CONFORMING,
    DATA,
    DATA1,
    DATA3,
    DATA16,
    GDT,
    LDT,
    MAIN_TSS,
    ORIGIN,
    READ_ONLY,
    SPARE,
    STACK0,
    STACK1,
    STACK3,
    TASK_GATE,
    TASK_TSS,
    Fault,
    Program,
    descriptor,
    expect,
    faults,
    ring3,
    run_bochs,
    run_here,
    run_qemu,
    v86,
)

GP, NP, SS, TS, UD = 13, 11, 12, 10, 6
GATE, GATE2 = SPARE, SPARE + 8  # two slots for call gates
MORE = SPARE + 16  # and one for a segment
GATE_32, GATE_16 = 0x8C, 0x84  # present; DPL in bits 5 and 6
OPEN = 0x60  # DPL 3


@pytest.fixture(params=["here", "qemu"])
def run(request):
    return run_here if request.param == "here" else run_qemu


def program_with_gates(body, call_gates, segment=bytes(8), **rest) -> Program:
    """A scenario with call gates: slot to (code selector, label or offset, kind, parameters)."""
    program = Program(body, gdt_entries={GATE: bytes(8), GATE2: bytes(8), MORE: segment}, **rest)
    image = bytearray(program.image)
    for slot, (selector, where, kind, count) in call_gates.items():
        offset = program[where] if isinstance(where, str) else where
        entry = struct.pack("<HHHH", offset & 0xFFFF, selector, kind << 8 | count, offset >> 16)
        place = GDT - ORIGIN + slot
        image[place : place + 8] = entry
    program.image = bytes(image)
    return program


def log_frame(words: int, size: int = 4) -> str:
    """Log the words on top of the stack."""
    load = "mov eax," if size == 4 else "movzx eax, word"
    return "".join(f"{load} [ss:esp + {size * i}]\ncall log\n" for i in range(words))


# --- direct far jumps and calls --------------------------------------------------------------


@pytest.mark.parametrize("what", ["jmp", "call"])
def test_direct_transfer_errors(run, what):
    """2A, JMP and CALL: null, outside the table, data, other privilege: #GP; absent: #NP; offset: #GP(0)."""
    targets = [
        ("0:0", (GP, 0)),
        ("0xF00:0", (GP, 0xF00)),
        (f"{DATA}:0", (GP, DATA)),
        (f"{LDT}:0", (GP, LDT)),
        (f"{CODE3}:finish", (GP, CODE3 & ~3)),  # DPL 3 is not CPL
        (f"{CODE | 1}:finish", (GP, CODE)),  # RPL 1 > CPL
        (f"{ABSENT_CODE}:finish", (NP, ABSENT_CODE)),
        (f"{MAIN_TSS}:0", (GP, MAIN_TSS)),  # busy
        (f"{ABSENT_TSS}:0", (NP, ABSENT_TSS)),
    ]
    program = Program("".join(expect(f"{what} dword {target}") for target, _ in targets))
    assert faults(run(program)) == [error for _, error in targets]


@pytest.mark.parametrize("what", ["jmp", "call"])
def test_direct_transfer_beyond_the_limit(what):
    """2A, JMP and CALL: an offset beyond the new segment is #GP(0). QEMU's CALL names the segment."""
    assert faults(run_here(Program(expect(f"{what} dword {CODE16}:0x10000")))) == [(GP, 0)]


def test_far_call_and_return(run):
    """2A, CALL: CS and EIP are pushed as dwords; RETF n drops n bytes more. RPL is replaced by CPL."""
    program = Program(
        f"push dword 11\ncall dword {CODE}:there\nback: mov eax, {STACK0}\nsub eax, esp\n"
        f"call log\njmp finish\nthere: {log_frame(3)}retf 4\n"
    )
    assert run(program) == [program["back"], CODE, 11, 0]


def test_conforming_code(run):
    """3A 5.8.1.2: conforming code is entered from a lower privilege, and CPL does not change."""
    program = Program(
        ring3(f"jmp dword {CONFORMING}:inside\ninside: mov eax, cs\ncall log\nmov ax, {DATA}\nmov ds, ax")
    )
    assert faults(run(program)) == [CONFORMING | 3, (GP, DATA)]


def test_far_pointer_in_memory(run):
    """2A, JMP m16:32: the offset comes first; the selector is the word behind it."""
    program = Program(
        "mov dword [pointer], there\njmp dword far [pointer]\nud2\n"
        f"there: mov eax, 7\ncall log\njmp finish\npointer: dd 0\ndw {CODE}"
    )
    assert run(program) == [7]


def test_failed_far_call_changes_nothing():
    """3A 6.5: a fault leaves the state from before the instruction: CS and EIP."""
    program = Program(expect(f"place: call dword {ABSENT_CODE}:0"))
    log = run_here(program)
    assert isinstance(log[0], Fault) and (log[0].eip, log[0].cs) == (program["place"], CODE)


# --- call gates ----------------------------------------------------------------------------------


def test_call_gate_to_ring_0(run):
    """3A 5.8.5: SS:ESP from the TSS; old SS, ESP, the parameters in order, CS, EIP. RETF undoes it."""
    user = (
        f"push dword 111\npush dword 222\ncall dword {GATE | 3}:0\nback: mov eax, {STACK3}\nsub eax, esp\n"
        "call log\nmov eax, cs\ncall log\nmov eax, ss\ncall log"
    )
    program = program_with_gates(
        ring3(user) + f"jmp finish\ninner: mov eax, {STACK0}\nsub eax, esp\ncall log\n"
        f"mov eax, cs\ncall log\n{log_frame(6)}retf 8",
        {GATE: (CODE, "inner", GATE_32 | OPEN, 2)},
    )
    frame = [program["back"], CODE3, 222, 111, STACK3 - 8, DATA3]
    assert faults(run(program)) == [24, CODE, *frame, 0, CODE3, DATA3, (0x40, None)]


def test_16_bit_call_gate(run):
    """3A 5.8.3: a 16-bit gate copies words and pushes words, whatever the caller's size."""
    user = f"push word 111\npush word 222\ncall dword {GATE | 3}:0\nback: nop"
    program = program_with_gates(
        ring3(user) + f"jmp finish\nbits 16\nlow: jmp dword {CODE}:inner\nbits 32\n"
        f"inner: mov eax, {STACK0}\nsub eax, esp\ncall log\n{log_frame(6, 2)}jmp finish",
        {GATE: (CODE16, 0, GATE_16 | OPEN, 2)},
    )
    place = GDT - ORIGIN + GATE
    offset = program["low"] - ORIGIN
    program.image = program.image[:place] + struct.pack("<H", offset) + program.image[place + 2 :]
    assert run(program) == [12, program["back"] & 0xFFFF, CODE3, 222, 111, STACK3 - 4, DATA3]


def test_call_gate_to_the_same_level(run):
    """3A 5.8.4: from ring 0 the gate's offset and size count, the stack stays, nothing is copied."""
    program = program_with_gates(
        f"push dword 1\ncall dword {GATE}:0x1234\nback: jmp finish\n"
        f"inner: {log_frame(2)}mov eax, {STACK0}\nsub eax, esp\ncall log\nretf",
        {GATE: (CODE, "inner", GATE_32, 3)},
    )
    assert run(program) == [program["back"], CODE, 12]


def test_call_gate_errors(run):
    """3A 5.8.4: the gate's DPL, its presence, then the code segment it names."""
    program = program_with_gates(
        ring3(f"call dword {GATE | 3}:0")
        + expect(f"call dword {GATE | 1}:0")
        + expect(f"call dword {GATE2}:0")
        + ring3(f"jmp dword {MORE | 3}:0"),
        {
            GATE: (CODE, "finish", GATE_32, 0),
            GATE2: (CODE, "finish", GATE_32 & 0x7F, 0),
            MORE: (CODE, "finish", GATE_32 | OPEN, 0),
        },
    )
    # a jump may not change the privilege level
    assert faults(run(program)) == [(GP, GATE), (GP, GATE), (NP, GATE2), (GP, CODE)]


def test_call_gate_target_errors(run):
    """2A, CALL, call-gate: the segment a gate names is checked like one named directly."""
    cases = [
        (0, 0, (GP, 0)),
        (0xF00, 0, (GP, 0xF00)),
        (DATA, 0, (GP, DATA)),
        (ABSENT_CODE, 0, (NP, ABSENT_CODE)),
        (CODE3, 0, (GP, CODE3 & ~3)),  # less privileged than the caller
        (CODE16, 0x10000, (GP, 0)),
    ]
    if run is run_qemu:
        cases.pop()  # it does not check limits of code
    for selector, offset, error in cases:
        program = program_with_gates(expect(f"call dword {GATE}:0"), {GATE: (selector, offset, GATE_32, 0)})
        assert faults(run(program)) == [error]


def test_inner_stack_errors(run):
    """2A, CALL, more-privilege: the stack segment of the TSS is checked before anything is pushed."""
    cases = [
        (0, (TS, 0)),
        (0xF00 | 1, (TS, 0xF00)),
        (DATA | 1, (TS, DATA)),  # DPL 0
        (DATA1, (TS, DATA1)),  # RPL 0
        (MORE | 1, (SS, MORE)),  # absent
    ]
    if run is run_qemu:
        cases.pop()  # it says #TS
    for stack, error in cases:
        program = program_with_gates(
            ring3(f"call dword {GATE | 3}:0"),
            {GATE: (CODE1 | 1, "finish", GATE_32 | OPEN, 0)},
            segment=descriptor(0, 0xFFFFF, 0x32, 0xC),
            main={"ss1": stack},
        )
        assert faults(run(program)) == [error]


def test_inner_stack_without_room():
    """2A, CALL, more-privilege: a frame beyond the new stack's limit is #SS with its selector."""
    program = program_with_gates(
        ring3(f"call dword {GATE | 3}:0"),
        {GATE: (CODE1 | 1, "finish", GATE_32 | OPEN, 0)},
        segment=descriptor(STACK1, 0xFF, 0xB2, 0x4),
        main={"ss1": MORE | 1, "esp1": 0x10C},
    )
    assert faults(run_here(program)) == [(SS, MORE)]


# --- RETF and IRET to an outer level -----------------------------------------------------------


def outer_frame(cs=CODE3, ss=DATA3, extra="") -> str:
    return f"push dword {ss}\npush dword {STACK3}\n{extra}push dword {cs}\npush dword "


def test_return_to_outer_level(run):
    """2B, RET: SS:ESP is popped too; DS, ES, FS, GS that the outer level may not use become null."""
    program = Program(
        f"mov ax, {DATA3}\nmov es, ax\nmov ax, {CONFORMING}\nmov fs, ax\n"
        + expect(
            outer_frame() + "user\nretf\nuser: mov eax, ds\ncall log\nmov eax, es\ncall log\nmov eax, fs\n"
            f"call log\nmov eax, ss\ncall log\nmov eax, {STACK3}\nsub eax, esp\ncall log\nint 0x40\n"
        )
    )
    assert faults(run(program)) == [0, DATA3, CONFORMING, DATA3, 0, (0x40, None)]


@pytest.mark.parametrize("how", ["retf", "iretd"])
def test_return_errors(run, how):
    """2A, IRET and 2B, RET: code segment first, then the stack segment; nothing popped on a fault."""
    extra = "push dword 2\n" if how == "iretd" else ""
    cases = [
        ({"cs": 0}, (GP, 0)),
        ({"cs": 0xF03}, (GP, 0xF00)),
        ({"cs": DATA3}, (GP, DATA3 & ~3)),  # no code
        ({"cs": CODE | 3}, (GP, CODE)),  # DPL 0, RPL 3
        ({"cs": ABSENT_CODE}, (NP, ABSENT_CODE)),
        ({"ss": 0}, (GP, 0)),
        ({"ss": DATA}, (GP, DATA)),
        ({"ss": DATA3 & ~3}, (GP, DATA3 & ~3)),
        ({"ss": MORE | 3}, (SS, MORE)),
    ]
    if run is run_qemu:
        cases.pop()  # it says #NP
    body = "".join(expect(outer_frame(extra=extra, **case) + f"finish\n{how}") for case, _ in cases)
    program = program_with_gates(body, {}, segment=descriptor(0, 0xFFFFF, 0x72, 0xC))
    assert faults(run(program)) == [error for _, error in cases]


def test_return_to_inner_level(run):
    """3A 5.8.6: a return never raises the privilege: RPL < CPL is #GP."""
    program = Program(ring3(f"push dword {CODE}\npush dword finish\nretf"))
    assert faults(run(program)) == [(GP, CODE)]


def test_flags_of_iret(run):
    """2A, IRET: IF needs CPL <= IOPL, IOPL needs CPL 0; the others are taken as they are."""

    def user(label):
        return (
            f"push dword 0x3ED7\npush dword {CODE3}\npush dword {label}\niretd\n"
            f"{label}: pushfd\npop eax\nand eax, 0x3ED7\ncall log\npush dword 2\npopfd"
        )

    program = Program(ring3(user("low"), flags=0x2) + ring3(user("high"), flags=0x3002))
    log = run(program)
    # TF is not in the image; the trap would come after the first instruction
    assert (log[0], log[2]) == (0xCD7, 0x3ED7)


# --- virtual-8086 mode -----------------------------------------------------------------------


def test_iret_in_v86_mode(run):
    """3B 20.2.7: IRET needs IOPL 3; it then takes all flags of its image but IOPL and VM."""
    program = Program(
        v86("iretd")
        + v86(
            f"push dword 0x202\npush dword {ORIGIN >> 4}\npush dword inside - {ORIGIN}\niretd\ninside: nop",
            flags=0x23002,
        )
    )
    refused, called = run(program)
    assert (refused.vector, refused.error) == (GP, 0)
    assert called.vector == 0x40 and called.eflags & 0x23200 == 0x23200


def test_far_transfers_in_v86_mode(run):
    """3B 20.1.1: selectors are paragraphs; no descriptor is looked at."""
    code = (
        f"call {ORIGIN >> 4}:near - {ORIGIN}\nback: mov bx, 0x1234\nmov ds, bx\nmov cx, ds\nint 0x40\n"
        f"near: mov dx, [ss:0x7FC]\nsub dx, back - {ORIGIN}\nretf"
    )
    program = Program(
        v86(code, flags=0x23002) + "jmp finish\nhandler: movzx eax, dx\n"
        f"mov bx, {DATA}\nmov ds, bx\ncall log\nmovzx eax, cx\ncall log\njmp finish",
        gates={0x40: (CODE, "handler", 0xEE)},
    )
    assert run(program) == [0, 0x1234]


@pytest.mark.parametrize("code", ["arpl ax, bx", "lar ax, bx", "lsl ax, bx", "verr ax", "verw ax"])
def test_selector_instructions_need_protected_mode(run, code):
    """Volume 2: ARPL, LAR, LSL, VERR, VERW are #UD in virtual-8086 mode."""
    assert faults(run(Program(v86(code)))) == [(UD, None)]


# --- SYSENTER and SYSEXIT ----------------------------------------------------------------------

FAST_CODE, FAST_STACK = CODE, 0x6800
SET_UP = (
    "xor edx, edx\nmov ecx, 0x174\nmov eax, {cs}\nwrmsr\nmov ecx, 0x175\nmov eax, 0x6800\nwrmsr\n"
    "mov ecx, 0x176\nmov eax, {eip}\nwrmsr\n"
)


def test_sysenter_and_sysexit(run):
    """2B: CS and SS = MSR, + 8; ESP and EIP from MSRs; IF cleared. SYSEXIT: + 16, + 24, RPL 3, EDX, ECX."""
    body = (
        SET_UP.format(cs=CODE, eip="fast")
        + ring3("sysenter", flags=0x202)
        + "jmp finish\nfast: mov eax, cs\ncall log\nmov eax, ss\ncall log\nmov eax, esp\ncall log\n"
        "pushfd\npop eax\nand eax, 0x200\ncall log\nmov edx, user\nmov ecx, 0x5F00\nsysexit\n"
        "user: mov eax, cs\ncall log\nmov eax, ss\ncall log\nmov eax, esp\ncall log\nint 0x40\n"
    )
    assert faults(run(Program(body))) == [
        CODE, DATA, 0x6800, 0, CODE + 16 | 3, CODE + 24 | 3, 0x5F00, (0x40, None),
    ]  # fmt: skip


def test_sysenter_errors(run):
    """2B: a null SYSENTER_CS is #GP(0); so is SYSEXIT outside ring 0."""
    program = Program(
        SET_UP.format(cs=0, eip="finish")
        + expect("sysenter")
        + expect("sysexit")
        + SET_UP.format(cs=CODE, eip="finish")
        + ring3("sysexit")
    )
    log = run(program)
    assert faults(log) == [(GP, 0)] * 3
    assert [entry.cs for entry in log] == [CODE, CODE, CODE3]  # a fault changes nothing


# --- segment loads ---------------------------------------------------------------------------


def test_data_segment_errors(run):
    """2A, MOV: not readable or too privileged is #GP(selector), absent is #NP; null is allowed."""
    execute_only = descriptor(0, 0xFFFFF, 0x98, 0xC)
    cases = [
        (0xF00, (GP, 0xF00)),
        (MAIN_TSS, (GP, MAIN_TSS)),
        (MORE, (GP, MORE)),
        (DATA | 1, (GP, DATA)),  # RPL 1 > DPL 0
        (ABSENT_DATA, (NP, ABSENT_DATA)),
    ]
    body = "".join(expect(f"mov ax, {selector}\nmov ds, ax") for selector, _ in cases)
    body += ring3(f"mov ax, {DATA | 3}\nmov ds, ax")
    program = program_with_gates(body, {}, segment=execute_only)
    assert faults(run(program)) == [*(error for _, error in cases), (GP, DATA)]


def test_null_segment():
    """3A 5.4.1: a data register may be loaded with null; using it is #GP(0). QEMU lets it pass."""
    body = "mov ax, 3\nmov es, ax\nmov eax, es\ncall log\n" + expect("mov al, [es:0]")
    assert faults(run_here(Program(body))) == [3, (GP, 0)]


def test_stack_segment_errors(run):
    """2A, MOV: SS must be writable data with RPL = DPL = CPL, and not null; absent is #SS."""
    cases = [
        (0, (GP, 0)),
        (0xF00, (GP, 0xF00)),
        (CODE, (GP, CODE)),
        (READ_ONLY, (GP, READ_ONLY)),
        (DATA3, (GP, DATA3 & ~3)),
        (DATA | 3, (GP, DATA)),
        (ABSENT_DATA, (SS, ABSENT_DATA)),
    ]
    program = Program("".join(expect(f"mov ax, {selector}\nmov ss, ax") for selector, _ in cases))
    assert faults(run(program)) == [error for _, error in cases]


def test_faulting_pop_and_pointer_loads_change_nothing():
    """2B, POP; 2A, LDS: the segment is checked before ESP or the register changes."""
    # the gate's handler keeps EBX; ESP at the fault is just above its frame
    program = Program(
        expect(f"mov ebx, 77\nles ebx, [bad]\njmp finish\nbad: dd 5\ndw {ABSENT_DATA}")
        + expect(f"push dword {ABSENT_DATA}\nmov ebp, esp\npop es")
        + "jmp finish\nhandler: mov eax, ebx\ncall log\nlea eax, [esp + 16]\nsub eax, ebp\ncall log\n"
        f"mov esp, {STACK0}\nmov ebp, {STACK0}\njmp [resume]",
        gates={NP: (CODE, "handler", 0x8E)},
    )
    log = run_here(program)
    assert log[0] == 77 and log[2:] == [77, 0]


def test_loading_marks_the_descriptor_accessed(run):
    """3A 3.4.5.1: the processor sets bit 0 of the type when the segment is loaded."""
    body = (
        f"movzx eax, byte [{GDT + READ_ONLY + 5}]\ncall log\nmov ax, {READ_ONLY}\nmov gs, ax\n"
        f"movzx eax, byte [{GDT + READ_ONLY + 5}]\ncall log\n"
    )
    assert run(Program(body)) == [0x90, 0x91]


INNER = "jmp finish\ninner: int 0x40\n"  # in ring 1: back to the body


@pytest.mark.parametrize(
    "body",
    [
        ring3(f"call dword {GATE | 3}:0"),
        ring3("int 0x41"),
        expect(
            f"push dword {DATA1 | 1}\npush dword {STACK1}\npush dword {CODE1 | 1}\npush dword inner\nretf"
        ),
        expect(
            f"push dword {DATA1 | 1}\npush dword {STACK1}\npush dword 2\n"
            f"push dword {CODE1 | 1}\npush dword inner\niretd"
        ),
    ],
    ids=["call gate", "interrupt gate", "retf", "iretd"],
)
@pytest.mark.parametrize("run", [run_here, run_bochs])
def test_a_change_of_level_marks_both_descriptors_accessed(run, body):
    """3A 3.4.5.1: whatever loads the segments, code's and stack's. (QEMU's gates leave both alone.)"""
    seen = "".join(f"movzx eax, byte [{GDT + at + 5}]\ncall log\n" for at in (CODE1, DATA1))
    program = program_with_gates(
        seen + body + seen + INNER,
        {GATE: (CODE1 | 1, "inner", GATE_32 | OPEN, 0)},
    )
    program.set_gate(0x41, CODE1 | 1, program["inner"], 0xEE)
    assert faults(run(program)) == [0xBA, 0xB2, (0x40, None), 0xBB, 0xB3]


def test_an_inner_stack_selector_is_a_word(run):
    """3A figure 7-2: what lies above SS0 in the TSS is reserved, and no part of the selector."""
    program = program_with_gates(
        ring3(f"call dword {GATE | 3}:0")
        + "jmp finish\ninner: mov eax, ss\ncall log\nmov dword [ss:resume], over\npush ss\npush ss\n"
        "pop eax\ncall log\nover: jmp finish",
        {GATE: (CODE, "inner", GATE_32 | OPEN, 0)},
        main={"ss0": 0xFFFF_0000 | DATA},
    )
    assert run(program) == [DATA, DATA]


def test_the_outer_stack_pointer_is_absent(run):
    """2A, IRET: the frame's words are read in order, so the first absent one is what CR2 names."""
    program = Program(
        PAGING
        + set_page(0x31000, 6)
        + expect(
            f"mov dword [0x30FF4], finish\nmov dword [0x30FF8], {CODE3}\nmov dword [0x30FFC], 2\n"
            "mov esp, 0x30FF4\nplace: iretd"
        )
    )
    (log,) = run(program)
    assert (log.vector, log.error, log.cr2, log.eip) == (PF, 0, 0x31000, program["place"])


def test_segment_checks_after_loading():
    """3A 5.3 to 5.5: writes to read-only data and to code, offsets beyond limits. QEMU asks none of it."""
    down = descriptor(0, 0xFFF, 0x96, 0x4)  # expand down: offsets 1000h and up
    body = (
        f"mov ax, {READ_ONLY}\nmov gs, ax\n"
        + expect("mov eax, [gs:0x500]\nmov [gs:0x500], eax")
        + expect("mov [cs:0x500], eax")
        + f"mov ax, {MORE}\nmov gs, ax\n"
        + expect("mov eax, [gs:0x1000]\nmov eax, [gs:0xFFF]")
        + f"mov ax, {DATA16}\nmov gs, ax\n"
        + expect("mov al, [gs:0xFFFF]\nmov ax, [gs:0xFFFF]")
    )
    assert faults(run_here(program_with_gates(body, {}, segment=down))) == [(GP, 0)] * 4


# --- LAR, LSL, VERR, VERW, ARPL ------------------------------------------------------------------


def query(instruction: str, selector: int) -> str:
    """Log what the instruction makes of EAX = 0, then ZF."""
    return (
        f"mov ebx, {selector}\nxor eax, eax\nmov ecx, 0\n{instruction}\nsetz cl\ncall log\n"
        "mov eax, ecx\ncall log\n"
    )


def answers(log, mask=0xFFFF_FFFF):
    """Pairs of value and ZF; None where ZF is clear and the register was left alone."""
    pairs = zip(log[::2], log[1::2])
    return [value & mask if zf else None if value == 0 else "changed" for value, zf in pairs]


def test_lar(run):
    """2A, LAR: type, DPL, P and flags of what the program may see; ZF says whether it did."""
    cases = [
        (0, None),
        (0xF00, None),
        (CODE, 0xC09A00),
        (DATA, 0xC09200),
        (CODE16, 0x009A00),
        (CONFORMING, 0xC09E00),
        (ABSENT_DATA, 0xC01200),  # presence does not matter
        (MAIN_TSS, 0x008A00),
        (LDT, 0x008200),
        (TASK_GATE, 0x008400),
        (GATE, 0x008C00),
        (GATE2, None),  # an interrupt gate is no descriptor for a GDT
        (DATA | 3, None),  # RPL 3 > DPL 0
        (CONFORMING | 3, 0xC09E00),
    ]
    body = "".join(query("lar eax, ebx", selector) for selector, _ in cases)
    program = program_with_gates(body, {GATE: (CODE, 0, GATE_32, 0), GATE2: (CODE, 0, 0x8E, 0)})
    # bits 16 to 19 are undefined; QEMU does not mark code accessed (bit 8)
    assert answers(run(program), 0xFFF0FE00) == [access for _, access in cases]


def test_lsl(run):
    """2A, LSL: the limit in bytes, for segments, TSSs and LDTs; gates have none."""
    cases = [
        (0, None),
        (CODE, 0xFFFFFFFF),
        (DATA16, 0xFFFF),
        (MAIN_TSS, 0xFF),
        (LDT, 0x1F),
        (TASK_GATE, None),
        (GATE, None),
        (DATA | 1, None),
    ]
    body = "".join(query("lsl eax, ebx", selector) for selector, _ in cases)
    program = program_with_gates(body, {GATE: (CODE, 0, GATE_32, 0)})
    assert answers(run(program)) == [limit for _, limit in cases]


def test_verr_and_verw(run):
    """3A 5.10.2: whether a read or a write through the selector would be allowed."""
    cases = [
        (0, 0, 0),
        (DATA, 1, 1),
        (READ_ONLY, 1, 0),
        (CODE, 1, 0),
        (MORE, 0, 0),  # execute-only
        (MAIN_TSS, 0, 0),
        (DATA | 3, 0, 0),
        (CONFORMING | 3, 1, 0),
        (DATA3, 1, 1),
    ]
    body = "".join(query("verr bx", selector) + query("verw bx", selector) for selector, _, _ in cases)
    log = run(program_with_gates(body, {}, segment=descriptor(0, 0xFFFFF, 0x98, 0xC)))
    assert log[1::2] == [bit for case in cases for bit in case[1:]]


def test_arpl(run):
    """2A, ARPL: RPL is raised to the second operand's, with ZF = 1; it is never lowered."""
    body = (
        "mov eax, 0x11110010\nmov ecx, 3\narpl ax, cx\nsetz cl\ncall log\nmovzx eax, cl\ncall log\n"
        "mov eax, 0x13\nmov ecx, 1\narpl ax, cx\nsetz cl\ncall log\nmovzx eax, cl\ncall log\n"
    )
    assert run(Program(body)) == [0x11110013, 1, 0x13, 0]


# --- BOUND, INT3, INTO, INT1, stack frames --------------------------------------------------


def test_bound(run):
    """2A, BOUND: both bounds inclusive and signed; #BR is a fault: EIP of the instruction itself."""
    body = (
        "mov ebx, -5\nbound ebx, [bounds]\nmov ebx, 5\nbound ebx, [bounds]\n"
        + expect("mov ebx, 6\nplace: bound ebx, [bounds]")
        + expect("mov ebx, -6\nbound ebx, [bounds]")
        + "jmp finish\nbounds: dd -5, 5\n"
    )
    program = Program(body)
    log = run(program)
    assert faults(log) == [(5, None), (5, None)]
    assert log[0].eip == program["place"]


def test_trap_instructions(run):
    """3A 6.5: INT3 and INTO report the instruction behind them; INTO only with OF."""
    body = "xor eax, eax\ninto\n" + expect("int3\none: nop") + expect("mov al, 0x7F\ninc al\ninto\ntwo: nop")
    program = Program(body)
    log = run(program)
    assert faults(log) == [(3, None), (4, None)]
    assert [entry.eip for entry in log] == [program["one"], program["two"]]


@pytest.mark.parametrize("code", ["pushad", "enter 0, 4", "enter 0x40, 0", "popad"])
def test_stack_instructions_fault_before_they_change(code):
    """2A, ENTER, 2B, PUSHA, POPA: a stack that is too small is #SS(0), with ESP and EBP as they were."""
    esp = 0x18 if code == "popad" else 0x8
    user = f"mov ax, {MORE | 3}\nmov ss, ax\nmov esp, {esp}\nmov ebp, 0x1C\nmov esi, 5\n{code}"
    program = program_with_gates(
        ring3(user) + "jmp finish\nhandler: mov eax, [esp + 16]\ncall log\nmov eax, ebp\ncall log\n"
        "mov eax, esi\ncall log\nmov eax, [esp]\ncall log\njmp finish",
        {},
        segment=descriptor(STACK3, 0x1F, 0xF2, 0x4),
        gates={SS: (CODE, "handler", 0x8E)},
    )
    # the log is addressed through SS; DS was made null on the way to ring 3
    assert run_here(program) == [esp, 0x1C, 5, 0]


def test_enter_copies_the_display(run):
    """Volume 1, 6.6: ENTER n, 3 pushes EBP, two outer frame pointers, its own; EBP is the new frame."""
    body = (
        "push dword 0xAAAA\npush dword 0xBBBB\npush dword 0xCCCC\nlea ebp, [esp + 8]\nmov ebx, ebp\n"
        f"enter 16, 3\nmov eax, {STACK0}\nsub eax, esp\ncall log\nmov eax, {STACK0}\nsub eax, ebp\ncall log\n"
        "mov eax, [ebp - 4]\ncall log\nmov eax, [ebp - 8]\ncall log\n"
        "mov eax, [ebp - 12]\nsub eax, ebp\ncall log\n"
        "mov eax, [ebp]\nsub eax, ebx\ncall log\nleave\nmov eax, ebp\nsub eax, ebx\ncall log\n"
    )
    assert run(Program(body)) == [12 + 16 + 16, 16, 0xBBBB, 0xCCCC, 0, 0, 0]


# --- real mode -----------------------------------------------------------------------------------


def real_machine(code: str) -> Machine:
    m = Machine(ram="1MiB", devices=())
    m.write(0, bytes.fromhex("00060000") * 256)
    m.write(0x600, b"\xf4")
    m.load(bytes(assemble(f"bits 16\norg 0x7C00\n{code}")), at=0x7C00)
    m.cpu.cs, m.cpu.eip, m.cpu.esp = 0, 0x7C00, 0x7000
    m.run(max_instructions=200)
    return m


def test_real_mode_far_call():
    """3B 20.1.1: the base is the selector times 16; RETF n goes back and drops n bytes."""
    m = real_machine(
        "push word 5\ncall 0x7C0:there - 0x7C00\nhlt\nthere: mov ax, cs\nmov bp, sp\nmov bx, [bp + 4]\nretf 2"
    )
    assert (m.cpu.ax, m.cpu.bx, m.cpu.sp, m.cpu.cs, m.cpu.eip) == (0x7C0, 5, 0x7000, 0, 0x7C08)


def test_limits_outlive_protected_mode():
    """3A 9.9.2: loads in real mode keep the limit of the cache, so 4 GiB data can be set up."""
    m = real_machine(
        "lgdt [table]\nmov eax, cr0\ninc ax\nmov cr0, eax\nmov cx, 8\nmov ds, cx\nmov fs, cx\ndec ax\n"
        "mov cr0, eax\nxor ax, ax\nmov ds, ax\nmov ebx, 0x20000\nmov dword [ebx], 0x12345678\nhlt\n"
        f"table: dw 15\ndd gdt\ngdt: dq 0\ndb {', '.join(str(b) for b in descriptor(0, 0xFFFFF, 0x92, 0xC))}"
    )
    assert m.read(0x20000, 4) == bytes.fromhex("78563412")
    assert m.cpu.ds == 0


def test_selector_instructions_in_real_mode():
    """Volume 2: LAR and its kin are #UD in real mode; the frame names the instruction."""
    m = real_machine("lar ax, bx")
    assert m.read(0x7000 - 6, 2) == bytes.fromhex("007c")


def test_busy_task_is_named(run):
    """2A, JMP: a task gate leads to a TSS; the gate's own privilege counts, not that of the TSS."""
    program = Program(ring3(f"jmp dword {TASK_GATE | 3}:0") + expect(f"jmp dword {TASK_TSS | 1}:0"))
    assert faults(run(program)) == [(GP, TASK_GATE), (GP, TASK_TSS)]


# --- with paging -----------------------------------------------------------------------------------

PF = 14
PAGE_TABLE = 0x21000
#: One page table maps the first MiB to itself; CR0.WP is set.
PAGING = (
    "mov edi, 0x20000\nmov ecx, 1024\nxor eax, eax\ncld\nrep stosd\nmov dword [0x20000], 0x21007\n"
    "mov eax, 7\nmov ecx, 256\nfill: mov [edi], eax\nadd edi, 4\nadd eax, 0x1000\nloop fill\n"
    "mov eax, 0x20000\nmov cr3, eax\nmov eax, cr0\nor eax, 0x80010000\nmov cr0, eax\njmp paged\npaged:\n"
)


def set_page(address: int, flags: int) -> str:
    entry = address & ~0xFFF | flags
    return f"mov dword [{PAGE_TABLE + (address >> 12) * 4}], {entry}\ninvlpg [{address}]\n"


@pytest.mark.parametrize("code", ["pushad", "enter 0, 4"])
def test_stack_instructions_across_pages(run, code):
    """3A 6.15, interrupt 14: the page of a later word is absent: CR2 lies in it, ESP and EBP stay."""
    user = f"mov esp, 0x31008\nmov ebp, 0x31800\n{code}"
    program = Program(
        PAGING
        + set_page(0x30000, 6)
        + ring3(user)
        + "jmp finish\nhandler: mov eax, [esp]\ncall log\nmov eax, [esp + 16]\ncall log\n"
        "mov eax, ebp\ncall log\nmov eax, cr2\nand eax, 0xFFFFF000\ncall log\njmp finish",
        gates={PF: (CODE, "handler", 0x8E)},
    )
    assert run(program) == [6, 0x31008, 0x31800, 0x30000]


def test_inner_stack_is_absent(run):
    """3A 5.8.5: pushes on the new stack are the processor's own: #PF without U/S, at the caller."""
    program = program_with_gates(
        PAGING + set_page(0x30000, 6) + ring3(f"nop\nplace: call dword {GATE | 3}:0"),
        {GATE: (CODE1 | 1, "finish", GATE_32 | OPEN, 0)},
        main={"esp1": 0x30800},
    )
    (log,) = run(program)
    assert (log.vector, log.error, log.cr2) == (PF, 2, 0x307FC)
    assert (log.cs, log.eip) == (CODE3, program["place"])


def test_parameters_are_absent(run):
    """2A, CALL: reading the parameters may fault after the new stack was found; nothing has changed."""
    program = program_with_gates(
        PAGING + set_page(0x31000, 6) + ring3(f"mov esp, 0x30FFC\nplace: call dword {GATE | 3}:0"),
        {GATE: (CODE1 | 1, "finish", GATE_32 | OPEN, 2)},
    )
    (log,) = run(program)
    # read with the caller's rights; QEMU reads it with the supervisor's
    assert (log.vector, log.error, log.cr2) == (PF, 0 if run is run_qemu else 4, 0x31000)
    assert (log.cs, log.eip) == (CODE3, program["place"])


@pytest.mark.parametrize(
    "code", [f"mov ax, {READ_ONLY}\nplace: mov gs, ax", f"place: call dword {CONFORMING}:finish"]
)
def test_descriptor_table_is_read_only(code):
    """3A 3.4.5.1, 4.6: marking a descriptor accessed is a write of the supervisor's; with WP it can fault."""
    program = Program(
        PAGING
        + "push dword 0x5555\nadd esp, 4\n"
        + set_page(GDT, 5)
        + expect(code)
        + "jmp finish\nhandler: mov eax, [esp]\ncall log\nmov eax, [esp + 4]\nsub eax, [marker]\ncall log\n"
        f"mov eax, {STACK0 - 16}\nsub eax, esp\ncall log\njmp finish\nmarker: dd place",
        gates={PF: (CODE, "handler", 0x8E)},
    )
    assert run_here(program) == [3, 0, 0]


def test_stack_in_the_way_of_v86(run):
    """2A, IRET: nine words are read before virtual-8086 mode is entered; the last of them is absent."""
    program = Program(
        PAGING
        + set_page(0x31000, 6)
        + expect(
            "mov esp, 0x31000\npush dword 0x3333\npush dword 0x1111\npush dword 0x2222\npush dword 0x500\n"
            f"push dword 0x800\npush dword 0x20002\npush dword {ORIGIN >> 4}\npush dword 0\nplace: iretd"
        )
    )
    (log,) = run(program)
    assert (log.vector, log.error, log.cr2) == (PF, 0, 0x31000)
    assert (log.cs, log.eip, log.eflags & 0x20000) == (CODE, program["place"], 0)


def test_call_gate_with_a_16_bit_tss(run):
    """3A 5.8.5 and 7.6: the inner stack comes from the words SP0 and SS0 of an 80286 TSS."""
    old = 0x50  # guest_lab's 16-bit TSS
    program = program_with_gates(
        f"mov ax, {old}\nltr ax\n"
        + ring3(f"push dword 77\ncall dword {GATE | 3}:0")
        + f"jmp finish\ninner: mov eax, esp\ncall log\nmov eax, ss\ncall log\n{log_frame(5)}jmp finish",
        {GATE: (CODE, "inner", GATE_32 | OPEN, 1)},
        old={"sp0": STACK0 - 0x100, "ss0": DATA},
    )
    log = run(program)
    assert log[:2] == [STACK0 - 0x100 - 20, DATA]
    assert log[3:] == [CODE3, 77, STACK3 - 4, DATA3]


BOUNDS = [(-0x8000, 0x7FFF), (-0x8000, -0x8000), (-1, 0), (0x7FFF, 0x7FFF), (1, -1), (-0x8000, -0x7FFF)]


@pytest.mark.parametrize("size", [2, 4])
def test_bound_at_the_extremes(run, size):
    """2A, BOUND: signed, both bounds inclusive, for the most negative numbers too."""
    scale, word = (1, "bx") if size == 2 else (0x1_0000, "ebx")
    body, expected = "", []
    for lower, upper in BOUNDS:
        for index in (-0x8000, -0x7FFF, -1, 0, 0x7FFF):
            data = "dw" if size == 2 else "dd"
            low, high, value = (n * scale % (1 << 8 * size) for n in (lower, upper, index))
            name = f"pair{len(expected)}"
            check = f"mov {word}, {value}\nbound {word}, [{name}]"
            body += expect(check) + f"jmp over{name}\n{name}: {data} {low}, {high}\nover{name}:\n"
            expected.append(not lower <= index <= upper)
    for first in range(0, len(expected), 10):  # the log has room for ten at a time
        part = body.split("mov dword [resume]")[1:][first : first + 10]
        code = "".join("mov dword [resume]" + piece for piece in part)
        log = run(Program(code))
        assert faults(log) == [(5, None)] * sum(expected[first : first + 10])


def test_inner_stack_of_16_bits_at_an_odd_place(run):
    """3A 5.8.5: in a 16-bit stack segment the pointer wraps at 16 bits, and nothing rounds it."""
    program = program_with_gates(
        ring3(f"push dword 77\ncall dword {GATE | 3}:0")
        + "jmp finish\ninner: movzx eax, sp\nmov bx, cs\n"
        + f"mov ecx, eax\nmov dx, {DATA}\nmov ss, dx\nmov esp, {STACK0}\ncall log\n"
        + "".join(f"mov eax, [ss:ecx + {4 * i}]\ncall log\n" for i in range(5))
        + "jmp finish",
        {GATE: (CODE, "inner", GATE_32 | OPEN, 1)},
        main={"esp0": 0x6F01, "ss0": DATA16},
    )
    log = run(program)
    assert log[0] == 0x6F01 - 20
    assert log[2:] == [CODE3, 77, STACK3 - 4, DATA3]


def test_exchange_with_an_absent_page_is_a_write():
    """3A 4.7: the access of XCHG is a locked read and write: so error bit 1. (QEMU reads first.)"""
    program = Program(
        PAGING
        + set_page(0x30000, 6)
        + expect("xchg [0x30000], eax")
        + expect("xchg [0x30000], al")
        + expect("mov eax, [0x30000]")
    )
    assert faults(run_here(program)) == [(14, 2), (14, 2), (14, 0)]


@pytest.mark.parametrize("code", ["66E260", "66E160", "66E060", "66EB60", "66E360"])
def test_short_jumps_beyond_the_limit(code):
    """2A, LOOP, JMP and Jcc: a target beyond the limit of CS is #GP; (E)CX is as it was."""
    m = real_machine("nop")
    m.write(0xFFF0, bytes.fromhex(code))
    count = 0 if code == "66E360" else 5
    m.cpu.eip, m.cpu.ecx, m.cpu.eflags = 0xFFF0, count, 0x42 if code == "66E160" else 2
    m.break_on(GP)
    stop = m.step()
    assert (stop.reason, stop.vector) == ("exception", GP)
    assert (m.cpu.eip, m.cpu.ecx) == (0xFFF0, count)
