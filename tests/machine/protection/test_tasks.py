"""Task switches: manual 3A chapter 7. `run` executes here and, where it is installed, in QEMU."""

from __future__ import annotations

import pytest

from ..guest_lab import (
    ABSENT_CODE,
    ABSENT_DATA,
    ABSENT_TSS,
    CODE,
    CODE1,
    CODE3,
    DATA,
    DATA1,
    DATA3,
    GDT,
    LDT,
    MAIN_TSS,
    OLD_TSS,
    ORIGIN,
    PAGING,
    SHORT_TSS,
    SPARE,
    STACK0,
    TASK_GATE,
    TASK_TSS,
    TSS,
    Program,
    descriptor,
    expect,
    run_bochs,
    run_here,
    run_qemu,
    set_page,
)

GP, NP, SS, TS = 13, 11, 12, 10
TASK = {"eip": "task", "cs": CODE, "ss": DATA, "esp": 0x4000, "ds": DATA, "es": DATA, "eflags": 2}
BUSY = 0x200


@pytest.fixture(params=["here", "qemu"])
def run(request):
    return run_here if request.param == "here" else run_qemu


def log_dword(address: int) -> str:
    return f"mov eax, [{address}]\ncall log\n"


def log_busy(selector: int) -> str:
    """1 if the descriptor of a TSS is marked busy."""
    return f"mov eax, [{GDT + selector + 4}]\nshr eax, 9\nand eax, 1\ncall log\n"


def test_jump_saves_and_loads(run):
    """3A 7.3: JMP saves the old registers, loads the new ones, moves the busy bit, sets CR0.TS."""
    program = Program(
        f"mov ecx, 0x11111111\nmov ebp, 0x22222222\njmp {TASK_TSS}:0\nback: jmp finish\n"
        "task: mov eax, ebx\ncall log\nmov eax, esi\ncall log\n"
        + log_dword(TSS + 0x2C)
        + log_dword(TSS + 0x3C)
        + log_dword(TSS + 0x20)
        + "str ax\nmovzx eax, ax\ncall log\nmov eax, cr0\nand eax, 8\ncall log\n"
        + log_busy(MAIN_TSS)
        + log_busy(TASK_TSS)
        + "pushfd\npop eax\nand eax, 0x4000\ncall log\njmp finish",
        task=TASK | {"ebx": 0xABCD1234, "esi": 77},
    )
    assert run(program) == [
        0xABCD1234, 77, 0x11111111, 0x22222222, program["back"], TASK_TSS, 8, 0, 1, 0,
    ]  # fmt: skip


def test_call_nests_and_iret_returns(run):
    """3A 7.4: CALL sets NT and the back link and keeps the old task busy; IRET with NT goes back."""
    program = Program(
        f"mov ecx, 0x1234\ncall {TASK_TSS}:0\nmov eax, ecx\ncall log\n"
        + log_busy(TASK_TSS)
        + log_busy(MAIN_TSS)
        + "str ax\nmovzx eax, ax\ncall log\npushfd\npop eax\nand eax, 0x4000\ncall log\njmp finish\n"
        + "task: pushfd\npop eax\nand eax, 0x4000\ncall log\n"
        + log_dword(TSS + 0x100)
        + log_busy(MAIN_TSS)
        + log_busy(TASK_TSS)
        + "xor ecx, ecx\niretd\nagain: mov eax, 0x77\ncall log\njmp finish",
        task=TASK,
    )
    assert run(program) == [0x4000, MAIN_TSS, 1, 1, 0x1234, 0, 1, MAIN_TSS, 0]


def test_task_resumes_after_iret(run):
    """3A 7.3: IRET saved the task with NT clear, EIP behind the IRET; the next CALL goes on there."""
    program = Program(
        f"call {TASK_TSS}:0\ncall {TASK_TSS}:0\njmp finish\n"
        + "task: mov eax, 1\ncall log\niretd\nmov eax, 2\ncall log\n"
        + log_dword(TSS + 0x100 + 0x24)
        + "iretd\n",
        task=TASK,
    )
    log = run(program)
    assert log[:2] == [1, 2]
    assert log[2] & 0x4000 == 0


def test_task_gate_in_the_gdt(run):
    """3A 7.2.5: CALL through a task gate."""
    program = Program(
        f"call {TASK_GATE}:0\njmp finish\ntask: str ax\nmovzx eax, ax\ncall log\niretd", task=TASK
    )
    assert run(program) == [TASK_TSS]


def test_interrupt_task(run):
    """3A 6.12.2: an interrupt through a task gate; IRET returns to the interrupted task."""
    program = Program(
        "int 0x50\nmov eax, 5\ncall log\njmp finish\ntask: mov eax, 4\ncall log\niretd",
        gates={0x50: (TASK_TSS, 0, 0x85)},
        task=TASK,
    )
    assert run(program) == [4, 5]


def test_exception_task_gets_the_error_code(run):
    """3A 6.13: the error code is pushed on the stack of the new task; the old EIP is in its TSS."""
    program = Program(
        "mov ax, 0xF00\nculprit: mov ds, ax\njmp finish\n"
        + "task: mov eax, [esp]\ncall log\nmov eax, 0x4000\nsub eax, esp\ncall log\n"
        + log_dword(TSS + 0x20)
        + "jmp finish",
        gates={GP: (TASK_TSS, 0, 0x85)},
        task=TASK,
    )
    assert run(program) == [0xF00, 4, program["culprit"]]


def test_16_bit_task(run):
    """3A 7.6: an 80286 TSS has words; the rest of its task is like any other."""
    # EIP of the task has 16 bits: CODE16 would do, here a jump at a low address is used instead
    trampoline = 0x600
    program = Program(
        f"mov byte [{trampoline}], 0xE9\nmov dword [{trampoline + 1}], task - {trampoline + 5}\n"
        f"call {OLD_TSS}:0\nmov eax, 9\ncall log\njmp finish\n"
        "task: movzx esp, sp\nmovzx eax, bx\ncall log\nmovzx eax, sp\ncall log\n"
        + log_dword(TSS + 0x300)
        + "iretd\n",
        old={
            "ip": trampoline,
            "flags": 2,
            "bx": 0x4321,
            "sp": 0x4000,
            "cs": CODE,
            "ss": DATA,
            "ds": DATA,
            "es": DATA,
        },
    )
    log = run(program)
    assert log[:2] == [0x4321, 0x4000]
    assert log[2] & 0xFFFF == MAIN_TSS
    assert log[3] == 9


@pytest.mark.parametrize("run", [run_here, run_bochs])
def test_16_bit_task_has_ones_above(run):
    """Upper halves of the general registers are not in an 80286 TSS: Bochs fills them with ones.

    (The manual leaves them open; QEMU keeps those of the old task.)
    """
    trampoline = 0x600
    names = "eax ecx edx ebx esp ebp esi edi".split()
    keep = "".join(f"mov [0x8000 + {4 * i}], {name}\n" for i, name in enumerate(names))
    program = Program(
        f"mov byte [{trampoline}], 0xE9\nmov dword [{trampoline + 1}], task - {trampoline + 5}\n"
        f"mov eax, 0x12345678\nmov edx, eax\njmp {OLD_TSS}:0\n"
        f"task: {keep}mov esp, {STACK0}\n"
        + "".join(log_dword(0x8000 + 4 * i) for i in range(8))
        + "jmp finish\n",
        old={"ip": trampoline, "flags": 2, "cs": CODE, "ss": DATA, "ds": DATA, "es": DATA}
        | {name[1:]: 0x1111 * i for i, name in enumerate(names)},
    )
    assert run(program) == [0xFFFF0000 | 0x1111 * i for i in range(8)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (MAIN_TSS, (GP, MAIN_TSS)),  # busy: tasks are not recursive
        (ABSENT_TSS, (NP, ABSENT_TSS)),
        (0xF00, (GP, 0xF00)),
    ],
)
def test_target_errors(run, target, expected):
    """3A table 7-1, rows 1 to 3: what is wrong with the new TSS itself, seen in the old task."""
    program = Program(expect(f"culprit: jmp {target}:0"), task=TASK | {"eip": 0})
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (*expected, program["culprit"])


def test_short_tss(run):
    """3A table 7-1, row 4: a limit below 67h is #TS of the new TSS."""
    program = Program(expect(f"culprit: jmp {SHORT_TSS}:0"), task=TASK | {"eip": 0})
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (TS, SHORT_TSS, program["culprit"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ldt": 0xF00}, (TS, 0xF00)),
        ({"ldt": DATA}, (TS, DATA)),
        ({"cs": 0}, (TS, 0)),
        ({"cs": DATA}, (TS, DATA)),
        ({"cs": ABSENT_CODE}, (NP, ABSENT_CODE)),
        ({"ss": 0}, (TS, 0)),
        ({"ss": CODE}, (TS, CODE)),
        ({"ss": ABSENT_DATA}, (SS, ABSENT_DATA)),
        ({"ss": DATA3}, (TS, DATA3 & ~3)),
        ({"ds": 0xF00}, (TS, 0xF00)),
        ({"es": MAIN_TSS}, (TS, MAIN_TSS)),
        ({"fs": ABSENT_DATA}, (NP, ABSENT_DATA)),
        ({"cs": CODE1 | 1, "ss": DATA1 | 1, "ds": DATA}, (TS, DATA)),  # DPL 0 is not for ring 1
    ],
)
def test_new_segment_errors(change, expected):
    """3A table 7-1, rows 5 to 17: faults of the new task, at its first instruction.

    The handlers of #TS, #NP and #SS are tasks too, since the new task may have no stack.
    """
    program = Program(
        f"jmp {TASK_TSS}:0\n"
        + "".join(
            f"double{v}: mov eax, {v}\ncall log\npop eax\ncall log\njmp checked\n" for v in (TS, NP, SS)
        )
        + f"checked:\n{log_dword(TSS + 0x120)}jmp finish\ntask: jmp finish",
        gates=dict.fromkeys((TS, NP, SS), (72, 0, 133)),
        task=TASK | change,
        df_task={**TASK, "eip": f"double{expected[0]}"},
    )
    assert run_here(program) == [*expected, program["task"]]


def test_eip_beyond_the_limit():
    """3A 7.3 step 14 with JMP: EIP outside the new code segment is #GP(0) of the new task."""
    program = Program(
        f"mov dword [resume], finish\njmp {TASK_TSS}:0",
        task={**TASK, "eip": 0x20000, "cs": 0x18, "ss": DATA},
    )
    (fault,) = run_here(program)
    assert (fault.vector, fault.error, fault.eip, fault.cs) == (GP, 0, 0x20000, 0x18)


def test_iret_with_a_back_link_that_is_not_busy(run):
    """3A table 7-1, row 3: IRET wants a busy TSS, else #TS of the link."""
    program = Program(
        f"mov word [{TSS}], {TASK_TSS}\n" + expect("push dword 0x4002\npopfd\nculprit: iretd"),
        task=TASK | {"eip": 0},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip) == (TS, TASK_TSS, program["culprit"])


def test_trap_bit():
    """3A 7.2.1: the T bit of the new TSS raises #DB with DR6.BT before the task's first instruction."""
    program = Program(
        f"mov dword [resume], after\njmp {TASK_TSS}:0\ntask: nop\nafter: mov eax, dr6\ncall log\n",
        task=TASK | {"trap": 1},
    )
    trap, dr6 = run_here(program)
    assert (trap.vector, trap.eip) == (1, program["task"])
    assert dr6 & 0x8000


def test_switch_to_ring_3_and_back_by_interrupt(run):
    """3A 7.3: the RPL of the new CS is the new CPL; the interrupt uses the new task's SS0:ESP0."""
    program = Program(
        f"mov dword [resume], finish\ncall {TASK_TSS}:0\ntask: cli",
        task={**TASK, "cs": CODE3, "ss": DATA3, "ds": DATA3, "es": DATA3, "esp0": 0x3000, "ss0": DATA},
    )
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.cs) == (GP, 0, CODE3)


def test_switch_into_virtual_8086(run):
    """3B 20.2.5: a task whose EFLAGS image has VM set runs in virtual-8086 mode."""
    program = Program(
        f"mov dword [resume], finish\njmp {TASK_TSS}:0\nbits 16\ntask: cli\nbits 32",
        task={
            **TASK, "eflags": 0x20002, "cs": ORIGIN >> 4, "eip": 0, "ss": 0x50, "esp": 0x100,
            "esp0": STACK0, "ss0": DATA,
        },
    )  # fmt: skip
    program.set_dword(TSS + 0x100 + 0x20, program["task"] - ORIGIN)
    (fault,) = run(program)
    assert (fault.vector, fault.error, fault.eip, fault.cs) == (GP, 0, program["task"] - ORIGIN, ORIGIN >> 4)


def test_ldt_of_the_new_task(run):
    """3A 7.3: LDTR comes from the TSS."""
    program = Program(
        f"jmp {TASK_TSS}:0\ntask: sldt ax\nmovzx eax, ax\ncall log\njmp finish", task=TASK | {"ldt": LDT}
    )
    assert run(program) == [LDT]


def test_tss_page_not_present(run):
    """3A 7.3 step 4: all of both TSSs must be paged in before anything is saved; then JMP works."""
    place = 0x31FC0  # its end lies in the next page
    program = Program(
        PAGING
        + f"mov esi, {TSS + 0x100}\nmov edi, {place}\nmov ecx, 26\nrep movsd\n"
        + set_page(0x32000, 0)
        + expect(f"culprit: jmp {SPARE}:0")
        + log_dword(TSS + 0x20)  # EIP of the old task: not saved yet
        + set_page(0x32000, 0x32007)
        + f"jmp {SPARE}:0\ntask: mov eax, cr3\ncall log\njmp finish",
        task=TASK | {"cr3": 0x20000},
        gdt_entries={SPARE: descriptor(place, 0x67, 0x89)},
    )
    fault, saved, cr3 = run(program)
    assert (fault.vector, fault.eip, fault.cr2 & ~0xFFF) == (14, program["culprit"], 0x32000)
    assert (saved, cr3) == (0, 0x20000)


def test_task_has_its_own_page_tables(run):
    """3A 7.3: with paging on, CR3 comes from the TSS of the new task."""
    program = Program(
        PAGING
        + "mov dword [0x22000], 0x23007\nmov esi, 0x21000\nmov edi, 0x23000\nmov ecx, 0x400\nrep movsd\n"
        + "mov dword [0x23000 + 0x40 * 4], 0x41007\n"  # 40000h maps to 41000h there
        + f"mov dword [0x40000], 1\nmov dword [0x41000], 2\n{log_dword(0x40000)}call {TASK_TSS}:0\n"
        + log_dword(0x40000)
        + f"jmp finish\ntask: {log_dword(0x40000)}iretd",
        main={"cr3": 0x20000},
        task=TASK | {"cr3": 0x22000},
    )
    assert run(program) == [1, 2, 1]


def test_pdptes_are_loaded_by_a_task_switch():
    """3A 4.4.1 and 7.3: with PAE paging, a switch to another CR3 loads the PDPTEs found there."""
    clear = "mov edi, 0xA000\nmov ecx, 0xC00\nxor eax, eax\ncld\nrep stosd\n"
    tables = {0xA000: 0xB001, 0xB000: 0x87, 0xB008: 0x20_0087, 0xC000: 0xB001, 0xC008: 0xB001}
    program = Program(
        clear
        + "".join(f"mov dword [{at}], {value}\n" for at, value in tables.items())
        + "mov eax, 0x20\nmov cr4, eax\nmov eax, 0xA000\nmov cr3, eax\n"
        + "mov eax, cr0\nor eax, 0x80000000\nmov cr0, eax\n"
        + expect("mov eax, [0x40000000]")
        + f"jmp {TASK_TSS}:0\ntask: mov eax, [0x40000000 + 0xC008]\ncall log\njmp finish",
        task={**TASK, "cr3": 0xC000},
    )
    fault, seen = run_here(program)
    assert (fault.vector, fault.cr2, seen) == (14, 0x40000000, 0xB001)
