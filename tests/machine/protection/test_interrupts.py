"""Delivery of exceptions and interrupts: manual 3A chapter 6, 3B chapter 20.

Each test says what the manual expects; `run` executes it here and, where QEMU is installed,
there as well. Tests that look at what QEMU leaves out (RF in the frame, limits) run here only.
"""

from __future__ import annotations

from random import Random

import pytest

from pyvirt_edu import Machine, assemble

from ..guest_lab import (
    ABSENT_CODE,
    ABSENT_DATA,
    CODE,
    CODE1,
    CODE3,
    CODE16,
    CONFORMING,
    DATA,
    DATA3,
    DF_TSS,
    GDT,
    IDT,
    LOG,
    LOG_BYTES,
    ORIGIN,
    PAGING,
    READ_ONLY,
    SMALL_STACK,
    STACK0,
    STACK1,
    STACK3,
    TASK_GATE,
    TSS,
    Program,
    entries,
    expect,
    faults,
    new_machine,
    ring3,
    run_here,
    run_qemu,
    set_page,
    v86,
)

GP, NP, SS, TS, UD, DF, PF = 13, 11, 12, 10, 6, 8, 14


@pytest.fixture(params=["here", "qemu"])
def run(request):
    return run_here if request.param == "here" else run_qemu


# --- gates -----------------------------------------------------------------------------


def test_gate_errors(run):
    """3A 6.13, table in INT n: the error code names the gate, vector * 8 + 2 (the IDT bit).

    Beyond the limit and of a wrong type: #GP. Not present: #NP. INT is a program's wish, so
    EXT is 0.
    """
    program = Program(
        expect("int 0x90") + expect("int 0x50") + expect("int 0x51"),
        gates={0x51: (CODE, "common", 0x0E), 0x50: (CODE, "common", 0x8C)},
    )
    assert faults(run(program)) == [(GP, 0x90 * 8 + 2), (GP, 0x50 * 8 + 2), (NP, 0x51 * 8 + 2)]


def test_gate_privilege(run):
    """3A 6.12.1.1: INT n and INT3 need CPL <= DPL of the gate; an exception does not ask."""
    program = Program(ring3("int 0x21") + ring3("int3") + ring3("ud2"), gates={0x21: (CODE, "vector6", 0x8E)})
    assert faults(run(program)) == [(GP, 0x21 * 8 + 2), (GP, 3 * 8 + 2), (UD, None)]


def test_gate_code_segment_errors(run):
    """3A 6.12.1, INT n: the selector in the gate is checked like a call gate's, EXT 0."""
    program = Program(
        expect("int 0x50")
        + expect("int 0x51")
        + expect("int 0x52")
        + expect("int 0x53")
        + expect("int 0x54"),
        gates={
            0x50: (0, "common", 0x8E),
            0x51: (DATA, "common", 0x8E),
            0x52: (ABSENT_CODE, "common", 0x8E),
            0x53: (0xF00, "common", 0x8E),
            0x54: (CODE3, "common", 0x8E),
        },
    )
    assert faults(run(program)) == [(GP, 0), (GP, DATA), (NP, ABSENT_CODE), (GP, 0xF00), (GP, CODE3 & ~3)]


def test_external_bit():
    """3A 6.13: EXT is 1 when the event that could not be delivered was no INT n. QEMU leaves it out."""
    absent = Program(expect("ud2"), gates={6: (ABSENT_CODE, "common", 0x8E)})
    assert faults(run_here(absent)) == [(NP, ABSENT_CODE | 1)]
    gone = Program(expect("ud2"), gates={6: (CODE, "common", 0x0E)})
    assert faults(run_here(gone)) == [(NP, 6 * 8 + 3)]


def test_interrupt_and_trap_gates(run):
    """3A 6.12.1.3: both clear TF, NT, RF and VM; an interrupt gate clears IF as well."""
    handler = "pushfd\npop eax\nand eax, 0x4700\ncall log\nadd esp, 12\njmp [resume]\n"
    program = Program(
        "push dword 0x4602\npopfd\n"
        + expect("int 0x50")
        + "push dword 0x4602\npopfd\n"
        + expect("int 0x51")
        + f"push dword 2\npopfd\njmp finish\nhandler: {handler}",
        gates={0x50: (CODE, "handler", 0x8E), 0x51: (CODE, "handler", 0x8F)},
    )
    assert run(program) == [0x400, 0x600]


def test_16_bit_gate(run):
    """3A 6.12.1: a 16-bit gate has a 16-bit offset and pushes words, the error code too."""
    handler = (
        f"mov eax, {STACK0}\nsub eax, esp\ncall log\nmovzx eax, word [esp]\ncall log\n"
        f"movzx eax, word [esp + 2]\ncall log\nmov esp, {STACK0}\njmp [resume]\n"
    )
    # CODE16 is based at the image, so its offsets are small; a far jump leads back to flat code
    program = Program(
        expect("int 0x50\nback: nop")
        + expect("mov ax, 0xF00\nmov ds, ax")
        + f"jmp finish\nhandler: {handler}\nbits 16\nlow: jmp dword {CODE}:handler\nbits 32\n",
        gates={0x50: (CODE16, 0, 0x86), GP: (CODE16, 0, 0x86)},
    )
    program.set_gate(0x50, CODE16, program["low"] - ORIGIN, 0x86)
    program.set_gate(GP, CODE16, program["low"] - ORIGIN, 0x86)
    assert run(program) == [6, program["back"] & 0xFFFF, CODE, 8, 0xF00, program["back"] + 15 & 0xFFFF]


def test_stack_of_inner_ring(run):
    """3A 6.12.1: from ring 3 the frame lies on SS0:ESP0 of the TSS and holds the old SS:ESP."""
    handler = (
        f"mov ax, {DATA}\nmov ds, ax\nmov eax, {STACK0}\nsub eax, esp\ncall log\n"
        "mov eax, [esp]\nsub eax, [marker]\ncall log\nmov eax, [esp + 4]\ncall log\n"
        "mov eax, [esp + 12]\ncall log\nmov eax, [esp + 16]\ncall log\nmov eax, ss\ncall log\n"
        "mov esp, 0x7000\njmp [resume]\n"
    )
    program = Program(
        ring3("int 0x50\nback: nop") + f"jmp finish\nhandler: {handler}\nmarker: dd back",
        gates={0x50: (CODE, "handler", 0xEE)},
    )
    assert run(program) == [20, 0, CODE3, STACK3, 0x33, DATA]


def test_conforming_handler(run):
    """3A 6.12.1: a handler in a conforming segment runs at the CPL of who was interrupted."""
    program = Program(
        ring3("int 0x50") + "jmp finish\nhandler: int 0x40",
        gates={0x50: (CONFORMING, "handler", 0xEE)},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.cs) == (0x40, CONFORMING | 3)


@pytest.mark.parametrize(
    ("ss1", "expected"),
    [
        (0, (TS, 0)),  # null
        (DATA | 1, (TS, DATA)),  # DPL 0
        (0x33, (TS, 0x30)),  # RPL 3
        (READ_ONLY | 1, (TS, READ_ONLY)),
        (0xF01, (TS, 0xF00)),  # beyond the GDT
    ],
)
def test_inner_stack_errors(run, ss1, expected):
    """3A 6.12.1, INT n: what is wrong with the new stack segment is #TS with its selector."""
    program = Program(ring3("int 0x50"), gates={0x50: (CODE1 | 1, "common", 0xEE)}, main={"ss1": ss1})
    assert faults(run(program)) == [expected]


# --- double and triple faults -------------------------------------------------------------


def test_double_fault_of_contributory_faults(run):
    """3A table 6-5: #GP, then #NP for its gate: #DF with error code 0, EIP of the first."""
    program = Program(
        expect("mov ax, 0xF00\nculprit: mov ds, ax"),
        gates={GP: (ABSENT_CODE, "common", 0x8E)},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (DF, 0, program["culprit"])


def test_benign_fault_then_contributory():
    """3A table 6-5: #UD is benign, so the #GP of its gate is handled in its turn, EXT set."""
    program = Program(expect("ud2"), gates={6: (CODE3, "common", 0x8E)})
    assert faults(run_here(program)) == [(GP, (CODE3 & ~3) | 1)]


def test_software_interrupt_is_benign(run):
    """3A table 6-4: INT 13 is not #GP: a fault on its way is no double fault, no error code."""
    program = Program(expect("int 0x0D"), gates={GP: (CODE, "vector13", 0x8E), 0x40: (0, 0, 0)})
    log = run(program)
    assert log[0].vector == GP
    broken = Program(expect("int 0x0D"), gates={GP: (ABSENT_CODE, "common", 0x8E)})
    assert faults(run(broken)) == [(NP, ABSENT_CODE)]


def test_double_fault_through_task_gate():
    """3A 6.15, interrupt 8: a task gate gives #DF a stack of its own, when SS:ESP has no room left."""
    handler = f"double: pop eax\ncall log\nmov ax, {DATA}\nmov ss, ax\nmov esp, {STACK0}\njmp [resume]\n"
    program = Program(
        expect(f"mov ax, {SMALL_STACK}\nmov ss, ax\nmov esp, 4\npush eax\npush eax")
        + "jmp finish\n"
        + handler,
        gates={DF: (DF_TSS, 0, 0x85)},
        df_task={"eip": "double", "cs": CODE, "ss": DATA, "esp": 0x4000, "ds": DATA, "es": DATA, "eflags": 2},
    )
    # #SS of the PUSH, #SS again for its frame: double fault with error code 0
    assert run_here(program) == [0]


def test_triple_fault_shuts_down():
    """3A 6.15: a fault while #DF is delivered shuts the processor down; the machine lives on."""
    program = Program("lidt [empty]\nud2\nempty: dw 0\ndd 0")
    m = new_machine(program)
    assert m.run(max_instructions=10_000).reason == "shutdown"


# --- what the frame says -------------------------------------------------------------------


def test_resume_flag_in_the_frame():
    """3B 17.3.1.1: a fault pushes RF = 1, so that its instruction can be tried again; a trap not."""
    log = run_here(Program(expect("ud2") + expect("int3") + expect("int 0x40")))
    assert [bool(f.eflags & 0x10000) for f in log] == [True, False, False]


def test_return_address(run):
    """3A 6.5: faults push the address of the instruction, traps that of the next."""
    program = Program(expect("first: ud2") + expect("int3\nsecond: nop") + expect("int 0x40\nthird: nop"))
    assert [f.eip for f in run(program)] == [program["first"], program["second"], program["third"]]


def test_divide_error(run):
    """3A 6.15, interrupt 0: #DE is a fault without an error code."""
    program = Program(expect("xor ecx, ecx\nculprit: div ecx"))
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (0, None, program["culprit"])


def test_single_step(run):
    """3B 17.3.1.4: TF traps after the instruction that follows the POPF; the handler runs with TF clear."""
    program = Program(expect("push dword 0x102\npopfd\nnop\nhere: nop") + "mov eax, dr6\ncall log\n")
    trap, dr6 = run(program)
    assert (trap.vector, trap.error, trap.eip) == (1, None, program["here"])
    assert dr6 & 0x4000
    assert trap.eflags & 0x100


def test_alignment_check():
    """3A 6.15, interrupt 17: ring 3 with AC and CR0.AM set: #AC(0), else nothing. (QEMU has none.)"""
    attempt = "mov ax, 0x33\nmov ds, ax\nmov eax, [0x8000]\nmov eax, [0x8001]"
    program = Program(
        ring3(attempt, flags=0x40002)
        + "mov eax, cr0\nor eax, 0x40000\nmov cr0, eax\n"
        + ring3(attempt)
        + ring3(attempt, flags=0x40002)
        + "push dword 0x40002\npopfd\nmov eax, [0x8001]\n"
    )
    assert faults(run_here(program)) == [(0x40, None), (0x40, None), (17, 0)]


def test_alignment_is_checked_where_aligned_accesses_went_before():
    """3A 6.15, interrupt 17: every access is checked, however often its page was used."""
    program = Program(
        "mov eax, cr0\nor eax, 0x40000\nmov cr0, eax\n"
        + ring3(
            f"mov ax, {DATA3}\nmov ds, ax\nmov ecx, 3\nagain: mov eax, [0x8000]\nmov [0x8004], eax\n"
            "loop again\nculprit: mov eax, [0x8001]",
            flags=0x40002,
        )
    )
    (fault,) = run_here(program)
    assert (fault.vector, fault.error, fault.eip) == (17, 0, program["culprit"])


# --- virtual-8086 mode ------------------------------------------------------------------------


def test_v86_interrupt_frame(run):
    """3B 20.3.1: GS FS DS ES SS ESP EFLAGS CS EIP on the ring 0 stack, data segments null."""
    handler = (
        "mov [ss:old_esp], esp\n"
        + "".join(f"mov ax, {s}\ncall log16\n" for s in ("ds", "es", "fs", "gs"))
        + f"mov ax, {DATA}\nmov ds, ax\n"
        + "".join(f"mov eax, [esp + {4 * i}]\ncall log\n" for i in range(1, 9))
        + f"mov eax, {STACK0}\nsub eax, esp\ncall log\nmov esp, {STACK0}\njmp [resume]\n"
        + "log16: and eax, 0xFFFF\njmp log\n"
    )
    program = Program(
        v86("int 0x50", flags=0x23002) + f"jmp finish\nhandler: {handler}",
        gates={0x50: (CODE, "handler", 0x8E)},
    )
    # the gate's DPL is 0 and CPL 3: not allowed
    assert faults(run(program)) == [(GP, 0x50 * 8 + 2)]
    program = Program(
        v86("int 0x50", flags=0x23002) + f"jmp finish\nhandler: {handler}",
        gates={0x50: (CODE, "handler", 0xEE)},
    )
    log = run(program)
    assert log[:4] == [0, 0, 0, 0]
    assert log[4:] == [ORIGIN >> 4, 0x23002, 0x800, 0x500, 0x2222, 0x1111, 0x3333, 0x4444, 36]


def test_v86_int_needs_iopl_3(run):
    """3B 20.2.7: without VME, INT n below IOPL 3 is #GP(0); INT3 and exceptions are not affected."""
    program = Program(v86("int 0x50") + v86("ud2"), gates={0x50: (CODE, "common", 0xEE)})
    assert faults(run(program)) == [(GP, 0), (UD, None)]


def test_v86_handler_must_be_ring_0():
    """3B 20.3.1: from virtual-8086 mode only to DPL 0, else #GP of the code segment."""
    program = Program(
        v86("int 0x50", flags=0x23002) + v86("int 0x51", flags=0x23002),
        gates={0x50: (CODE1 | 1, "common", 0xEE), 0x51: (CONFORMING, "common", 0xEE)},
    )
    assert faults(run_here(program)) == [(GP, CODE1), (GP, CONFORMING)]


# --- real mode ----------------------------------------------------------------------------------


def real_machine(code: str, at: int = 0x7C00):
    """A bare machine in real mode with all vectors of the table leading to 0000:0600 (HLT)."""
    m = Machine(ram="1MiB", devices=())
    m.write(0, bytes.fromhex("00060000") * 256)
    m.write(0x600, b"\xf4")
    m.load(bytes(assemble(f"bits 16\norg {at}\n{code}")), at=at)
    m.cpu.cs, m.cpu.eip, m.cpu.esp = 0, at, 0x7000
    return m


def test_real_mode_frame():
    """3B 20.1.4: FLAGS, CS and IP as words; IF and TF cleared; the vector is a far pointer."""
    m = real_machine("sti\nint 0x21\nback: nop")
    assert m.run(max_instructions=100).reason == "halt"
    assert m.cpu.esp == 0x7000 - 6
    assert m.read(0x7000 - 6, 6) == bytes.fromhex("037c 0000 0202")
    assert m.cpu.eflags & 0x300 == 0
    assert (m.cpu.cs, m.cpu.eip) == (0, 0x601)


def test_real_mode_exception_has_no_error_code():
    """3B 20.1.4: no exception pushes an error code in real mode; #GP returns to the instruction."""
    m = real_machine("mov bx, 0xFFFF\nmov ax, [bx]")
    assert m.run(max_instructions=100).reason == "halt"
    assert m.cpu.esp == 0x7000 - 6
    assert m.read(0x7000 - 6, 2) == bytes.fromhex("037c")


def test_real_mode_table_limit():
    """2A, INT n: a vector beyond the IDT limit is #GP; beyond it too: double fault, shutdown."""
    m = real_machine("lidt [table]\nint 0x21\ntable: dw 0x37\ndd 0")
    m.write(13 * 4, bytes.fromhex("00070000"))
    m.write(0x700, b"\xf4")
    assert m.run(max_instructions=100).reason == "halt"
    assert m.cpu.eip == 0x701
    m = real_machine("lidt [table]\nint 0x21\ntable: dw 0x33\ndd 0")
    m.write(8 * 4, bytes.fromhex("00070000"))
    m.write(0x700, b"\xf4")
    assert m.run(max_instructions=100).reason == "halt"
    assert m.cpu.eip == 0x701
    m = real_machine("lidt [table]\nint 0x21\ntable: dw 0x1F\ndd 0")
    assert m.run(max_instructions=100).reason == "shutdown"


def test_real_mode_stack_without_room():
    """2A, INT n: with SP = 3 the frame does not fit: #SS, again #SS, #DF, shutdown."""
    m = real_machine("mov sp, 3\nint 0x21")
    assert m.run(max_instructions=100).reason == "shutdown"


# --- task gates ----------------------------------------------------------------------------------


def test_task_gate_in_the_gdt_is_no_gate(run):
    """3A 6.12.2: a task gate of the IDT must name a TSS, else #GP of the selector."""
    program = Program(expect("int 0x50"), gates={0x50: (TASK_GATE, 0, 0x85)})
    assert faults(run(program)) == [(GP, TASK_GATE)]


def test_stack_fault_of_new_stack_names_it():
    """3A 6.15, interrupt 12: an absent new stack segment is #SS with its selector."""
    program = Program(
        ring3("int 0x50"), gates={0x50: (CODE1 | 1, "common", 0xEE)}, main={"ss1": ABSENT_DATA | 1}
    )
    # ABSENT_DATA has DPL 0, which is found first
    assert faults(run_here(program)) == [(TS, ABSENT_DATA)]


# --- with paging -----------------------------------------------------------------------------------


def test_page_fault_while_the_frame_is_pushed(run):
    """3A 6.15, interrupt 14: the processor pushes with supervisor rights (error 2), ring 3 or not.

    The INT is not done: its address is in the frame, CR2 has the first word of the stack.
    """
    program = Program(
        PAGING + set_page(0x4000, 0) + ring3("\nculprit: int 0x50"),
        gates={0x50: (CODE1 | 1, "common", 0xEE)},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip, fault.cr2) == (PF, 2, program["culprit"], STACK1 - 4)


def test_page_fault_in_the_order_of_the_pushes():
    """3A 6.12.1: SS, ESP, EFLAGS, CS, EIP are pushed in this order; the first absent page is in CR2."""
    program = Program(
        PAGING + set_page(0x4000, 0) + set_page(0x3000, 0) + ring3("int 0x50"),
        gates={0x50: (CODE1 | 1, "common", 0xEE)},
        main={"esp1": 0x4008},
    )
    (fault,) = run_here(program)
    assert (fault.vector, fault.error, fault.cr2) == (PF, 2, 0x4004)


def test_contributory_fault_then_page_fault(run):
    """3A table 6-5: #GP, then #PF for its gate: the #PF is handled in its turn."""
    table = 0x30F90  # vector 13 is the last in this page, vector 14 the first in the next
    program = Program(
        PAGING
        + f"mov esi, {IDT}\nmov edi, {table}\nmov ecx, 0x80\nrep movsd\n"
        + "lidt [other]\n"
        + set_page(0x30000, 0)
        + expect("mov ax, 0xF00\nculprit: mov ds, ax")
        + set_page(0x30000, 0x30007)
        + f"jmp finish\nother: dw 0x3FF\ndd {table}"
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip, fault.cr2) == (PF, 0, program["culprit"], table + 13 * 8)


def test_page_fault_then_contributory(run):
    """3A table 6-5: #PF, then a fault of its gate: #DF."""
    program = Program(
        PAGING + set_page(0x40000, 0) + expect("culprit: mov eax, [0x40000]"),
        gates={PF: (ABSENT_CODE, "common", 0x8E)},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (DF, 0, program["culprit"])


def test_page_fault_of_page_fault(run):
    """3A table 6-5: the stack of ring 0 is gone: #PF, again #PF, #DF; its task sees CR2."""
    handler = (
        "double: pop eax\ncall log\nmov eax, cr2\ncall log\n"
        + set_page(0x6000, 0x6007)
        + f"mov ax, {DATA}\nmov ss, ax\nmov esp, {STACK0}\njmp finish\n"
    )
    program = Program(
        PAGING
        + f"push dword {DATA3}\npush dword {STACK1}\npush dword 2\npush dword {CODE3}\npush dword user\n"
        + "mov ebp, esp\n"
        + f"mov dword [{TSS + 4}], 0x41000\n"
        + set_page(0x40000, 0)
        + "iretd\nuser: ud2\n"
        + handler,
        gates={DF: (DF_TSS, 0, 0x85)},
        df_task={
            "eip": "double",
            "cs": CODE,
            "ss": DATA,
            "esp": 0x4000,
            "ds": DATA,
            "es": DATA,
            "eflags": 2,
            "cr3": 0x20000,
        },
    )
    assert run(program) == [0, 0x41000 - 4]


# --- external interrupts ---------------------------------------------------------------------------


def interruptible(code: str) -> tuple[Program, Machine]:
    """Code behind `start:`, stopped there, with a gate for interrupt 50h that logs and returns."""
    program = Program(
        "mov dword [resume], finish\nstart: " + code + "\njmp finish\nhandler: mov eax, [esp]\ncall log\n"
        "iretd",
        gates={0x50: (CODE, "handler", 0x8E), 2: (CODE, "handler", 0x8E)},
    )
    m = new_machine(program)
    while m.cpu.eip != program["start"]:
        m.step()
    return program, m


def test_interrupt_waits_for_if():
    """3A 6.8.1: maskable interrupts wait while IF is clear; STI holds them off for one more instruction."""
    program, m = interruptible("nop\nnop\nsti\nnop\nplace: nop\ncli")
    m.inject(0x50)
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["place"]]


def test_interrupt_between_sti_and_cli():
    """2B, STI: STI directly before CLI opens no window."""
    program, m = interruptible("sti\ncli\nnop")
    m.inject(0x50)
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == []
    assert m.interrupt_pending


def test_mov_ss_holds_interrupts_off():
    """3A 6.8.3: after MOV SS nothing is delivered until the next instruction is done."""
    program, m = interruptible(
        f"sti\nnop\nmov ax, {DATA}\nhere: mov ss, ax\nmov esp, {STACK0}\nplace: nop\ncli"
    )
    while m.cpu.eip != program["here"]:
        m.step()
    m.step()
    m.inject(0x50)
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["place"]]


SELECTOR = 0x8000  # where a test keeps the selector of the stack
HELD = {  # stopped behind the instruction at `here`; where the handler returns to
    "POP": "push eax\nhere: pop ss\nmov ecx, 1\nplace: nop",
    "MOV": "here: mov ss, ax\nmov ecx, 1\nplace: nop",
    "LSS": f"mov dword [{SELECTOR}], {STACK0}\nmov [{SELECTOR + 4}], ax\n"
    f"here: lss esp, [{SELECTOR}]\nplace: mov ecx, 1",
    "two": "here: mov ss, ax\nmov ss, ax\nplace: mov ecx, 1",
    "HLT": "here: mov ss, ax\nhlt\nplace: nop",
    "STI before": "cli\nsti\nhere: mov ss, ax\nmov ecx, 1\nplace: nop",
    "REP": "mov esi, esp\nmov edi, esp\nmov ecx, 2\nhere: mov ss, ax\nplace: rep movsb\nnop",
}


@pytest.mark.parametrize("inject", [lambda m: m.inject(0x50), Machine.inject_nmi], ids=["interrupt", "NMI"])
@pytest.mark.parametrize("kind", HELD)
def test_what_a_load_of_ss_holds_off(kind, inject):
    """3A 6.8.3: interrupts and NMI, for one instruction or one iteration; of two loads the first does."""
    program, m = interruptible(f"sti\nnop\nmov ax, {DATA}\n{HELD[kind]}\ncli")
    while m.cpu.eip != program["here"]:
        m.step()
    m.step()
    inject(m)
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["place"]]


def test_nmi_waits_for_sti_as_well():
    """Of what STI holds off: the manual lets NMI wait too (2B, STI), and ours does."""
    program, m = interruptible("sti\nmov ecx, 1\nplace: nop\ncli")
    m.step()
    m.inject_nmi()
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["place"]]


def debugged(code: str, dr7: int = 0x3_0001) -> list[int]:
    """Where #DB interrupts `code`: the handler logs EIP and ends single stepping."""
    program = Program(
        f"mov dword [resume], finish\nmov dword [{SELECTOR}], {DATA}\nmov ax, {DATA}\n"
        f"mov ecx, {SELECTOR}\nmov dr0, ecx\nmov ecx, {dr7}\nmov dr7, ecx\n{code}\njmp finish\n"
        "debug: mov eax, [esp]\ncall log\nand dword [esp + 8], ~0x100\niretd\n"
        "handler: iretd\n"
        "broken: mov dword [esp], finish\nand dword [esp + 8], ~0x100\niretd",
        gates={1: (CODE, "debug", 0x8E), 0x50: (CODE, "handler", 0x8E), UD: (CODE, "broken", 0x8E)},
    )
    names = {address: name for name, address in program.symbols.items()}
    return [names[eip] for eip in run_here(program)]


@pytest.mark.parametrize(
    ("code", "places"),
    [
        (f"mov ss, [{SELECTOR}]\nint 0x50\nnop", ["handler"]),
        (f"mov ss, [{SELECTOR}]\nud2\nnop", ["broken"]),
        (f"mov ss, [{SELECTOR}]\nnop\nplace: nop", ["place"]),
        ("push dword 0x102\npopfd\nmov ss, ax\nint 0x50\nnop\nplace: nop", ["place"]),
        ("push dword 0x102\npopfd\nmov ss, ax\nud2\nnop", []),
    ],
    ids=["data, INT", "data, fault", "data", "step, INT", "step, fault"],
)
def test_debug_exceptions_behind_a_load_of_ss(code, places):
    """3A 6.8.3: a data breakpoint waits even for the way through a gate, and a step is lost."""
    assert debugged(code) == places


def test_nmi_ignores_if_and_blocks_itself():
    """3A 6.7.1: an NMI comes with IF clear; a second one waits for the IRET of the first."""
    program, m = interruptible("\nfirst: nop\nnop\nnop")
    m.inject_nmi()
    m.step()
    assert m.cpu.eip == program["handler"]
    m.inject_nmi()
    m.step()
    assert m.cpu.eip != program["handler"]
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["first"], program["first"]]


def test_interrupt_wakes_the_halted_processor():
    """2A, HLT: the frame points behind the HLT."""
    program, m = interruptible("sti\nhlt\nplace: cli")
    assert m.run(max_instructions=10_000).reason == "halt"
    m.inject(0x50)
    m.run(max_instructions=10_000)
    assert entries(m.read(LOG, LOG_BYTES)) == [program["place"]]


def test_an_interrupt_ends_the_halt_even_if_it_cannot_be_delivered():
    """3A 6.7 and 2A, HLT: the NMI resumes execution; its absent gate is a fault of the running program."""
    program = Program("mov dword [resume], finish\nhlt\nplace: nop", gates={2: (CODE, "common", 0x0E)})
    m = new_machine(program)
    assert m.run(max_instructions=10_000).reason == "halt"
    assert m.cpu.halted
    m.break_on(NP)
    m.inject_nmi()
    stop = m.run(max_instructions=10)
    assert (stop.reason, stop.vector, m.cpu.halted) == ("exception", NP, False)


def test_undeliverable_external_interrupt_has_ext():
    """3A 6.13: EXT is set, for the program did nothing."""
    program, m = interruptible("sti\nnop\nnop")
    m.inject(0x51)
    m.run(max_instructions=10_000)
    assert faults(entries(m.read(LOG, LOG_BYTES))) == [(GP, 0x51 * 8 + 3)]


# --- anything at all -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_end_somewhere(seed):
    """Random descriptors, gates and TSSs: whatever happens, run() comes back and the machine lives on."""
    random = Random(seed)
    program = Program(
        PAGING * (seed & 1)
        + "".join(expect(code) for code in ("ud2", "int 0x50", "int3", "mov ax, 0x60\nmov ds, ax"))
        + ring3("int 0x50")
        + v86("int 0x50")
        + expect("jmp 0x40:0")
        + expect("call 0xA0:0")
        + expect("push dword 0x4002\npopfd\niretd")
    )
    for _ in range(8):
        image = bytearray(program.image)
        for start, size in ((GDT + 0x18, 0x98), (IDT, 0x100), (IDT + 0x200, 0x208), (TSS, 0x368)):
            for _ in range(random.choice((0, 2, 20))):
                image[start - ORIGIN + random.randrange(size)] = random.choice(
                    (0, 0xFF, random.randrange(256))
                )
        m = Machine(ram="1MiB", devices=())
        m.load(bytes(image), at=ORIGIN)
        m.cpu.cs, m.cpu.eip = ORIGIN >> 4, 0
        exit = m.run(max_instructions=20_000)
        assert exit.reason in ("limit", "halt", "shutdown")
        assert m.instructions <= 20_000
        m.reset()
        assert m.cpu.eip == 0xFFF0


# --- interrupts in the middle of an instruction, and INT1 ---------------------------------------


def test_interrupt_between_iterations_has_rf():
    """3B 17.3.1.1: the frame of an interrupt after an iteration but the last has RF, so that a
    breakpoint on the instruction does not strike twice; of one between instructions, not."""
    program, m = interruptible(
        "mov ecx, 4\nmov edi, 0xA000\ncld\nsti\nnop\nplace: rep stosb\nbehind: nop\ncli"
    )
    while m.cpu.eip != program["place"]:
        m.step()
    m.step()
    assert (m.cpu.eip, m.cpu.ecx) == (program["place"], 3)
    m.inject(0x50)
    m.step()
    assert m.cpu.eip == program["handler"]
    eip, _, flags = (int.from_bytes(m.read(m.cpu.esp + 4 * i, 4), "little") for i in range(3))
    assert (eip, flags & 0x10000) == (program["place"], 0x10000)
    while m.cpu.eip != program["behind"]:
        m.step()
    assert m.cpu.ecx == 0
    m.inject(0x50)
    m.step()
    eip, _, flags = (int.from_bytes(m.read(m.cpu.esp + 4 * i, 4), "little") for i in range(3))
    assert (eip, flags & 0x10000) == (program["behind"], 0)


def test_int1():
    """2A, INT n (F1): #DB as a trap; unlike INT3, the DPL of the gate is not asked. (#UD in QEMU.)"""
    program = Program(expect("db 0xF1\nplace: nop") + ring3("db 0xF1"))
    log = run_here(program)
    assert faults(log) == [(1, None), (1, None)]
    assert log[0].eip == program["place"]


@pytest.mark.parametrize("wide", [False, True])
def test_iret_of_either_size_to_the_outer_ring(run, wide):
    """2A, IRET: the operand size gives the width of all five words; SP alone is replaced by a narrow one."""
    push, iret = ("push dword", "iretd") if wide else ("push word", "iretw")
    trampoline = 0x600  # EIP has 16 bits after the narrow one
    program = Program(
        f"mov byte [{trampoline}], 0xE9\nmov dword [{trampoline + 1}], user - {trampoline + 5}\n"
        + expect(
            f"{push} {DATA3}\n{push} {STACK3}\n{push} 0x08D7\n{push} {CODE3}\n{push} {trampoline}\n{iret}\n"
            "user: pushfd\npop eax\nand eax, 0xCD5\ncall log\nmov eax, ss\ncall log\n"
            f"mov eax, {STACK3}\nsub eax, esp\ncall log\nint 0x40"
        )
    )
    assert faults(run(program)) == [0x8D5, DATA3, 0, (0x40, None)]


def test_sti_does_not_hold_the_single_step_trap() -> None:
    """STI holds off maskable interrupts only; MOV SS holds off debug exceptions too (3A, 6.8.3)."""
    for code, trapped_after in ((b"\xfb\x90\xf4", 1), (b"\x8e\xd0\x90\xf4", 2)):
        m = Machine(ram="1MiB", devices=())
        m.load(code, at=0x1000)
        m.write(4, (0x2000).to_bytes(4, "little"))
        m.cpu.cs = m.cpu.ss = m.cpu.ds = 0
        m.cpu.ip, m.cpu.sp, m.cpu.eax = 0x1000, 0x8000, 0
        m.cpu.eflags |= 0x100
        steps = 0
        while m.cpu.ip < 0x2000:
            m.step()
            steps += 1
        assert steps == trapped_after + 1  # the delivery is a step of its own
        assert m.cpu.dr6 & 0x4000
