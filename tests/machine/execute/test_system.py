"""System instructions: manual 2A and 2B by name, 3A chapter 2, manual 1 chapter 19.

`run` executes here and, where it is installed, in QEMU.
"""

from __future__ import annotations

import pytest

from ..guest_lab import (
    DATA,
    GDT,
    IDT,
    LDT,
    MAIN_TSS,
    OLD_TSS,
    PAGING,
    READ_ONLY,
    SHORT_TSS,
    STACK0,
    TASK_TSS,
    TSS,
    Program,
    descriptor,
    expect,
    faults,
    new_machine,
    ring3,
    run_bochs,
    run_here,
    run_qemu,
    set_page,
    v86,
)

GP, NP, UD, NM, DB = 13, 11, 6, 7, 1


@pytest.fixture(params=["here", "qemu"])
def run(request):
    return run_here if request.param == "here" else run_qemu


def log(*registers: str) -> str:
    return "".join(f"mov eax, {r}\ncall log\n" for r in registers)


# --- privilege ---------------------------------------------------------------------------


PRIVILEGED = [
    "hlt", "clts", "invd", "wbinvd", "invlpg [0]", "lgdt [0]", "lidt [0]", "lldt ax", "ltr ax", "lmsw ax",
    "mov eax, cr0", "mov cr0, eax", "mov cr3, eax", "mov eax, dr7", "mov dr7, eax", "rdmsr", "wrmsr",
]  # fmt: skip


@pytest.mark.parametrize("instruction", PRIVILEGED)
def test_privileged_instructions(run, instruction):
    """3A 5.9: above CPL 0 these are #GP(0)."""
    assert faults(run(Program(ring3(instruction)))) == [(GP, 0)]


@pytest.mark.parametrize("instruction", ["lldt ax", "ltr ax", "sldt ax", "str ax"])
def test_undefined_in_virtual_8086_mode(run, instruction):
    """2A, LLDT and its kin: #UD outside protected mode, whatever the privilege."""
    assert faults(run(Program(v86(instruction)))) == [(UD, None)]


def test_unprivileged_system_instructions(run):
    """2A: SGDT, SIDT, SLDT, STR and SMSW work in ring 3 (there is no UMIP)."""
    program = Program(
        ring3(
            "sgdt [0x8000]\nsidt [0x8008]\nstr ebx\nsmsw ecx\nmov [0x8010], ebx\nmov [0x8014], ecx", flags=2
        ).replace("sgdt", "mov ax, 0x33\nmov ds, ax\nsgdt")
        + log("[0x8002]", "[0x800A]", "[0x8010]")
        + "mov eax, [0x8014]\nand eax, 1\ncall log\n"
    )
    result = run(program)
    assert faults(result[:1]) == [(0x40, None)]
    assert result[1:] == [GDT, IDT, MAIN_TSS, 1]


# --- control registers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "mov eax, 0x80000000\nmov cr0, eax",  # PG without PE
        "mov eax, cr0\nand eax, 0xBFFFFFFF\nor eax, 0x20000000\nmov cr0, eax",  # NW without CD
        "mov eax, 0x80000000\nmov cr4, eax",  # reserved
        "mov eax, 0x1\nmov cr4, eax",  # VME, which CPUID does not report
    ],
)
def test_control_register_values(code):
    """2B, MOV control registers: impossible or reserved bits are #GP(0), nothing changes."""
    assert faults(run_here(Program(expect(code) + "mov eax, cr4\ncall log\n"))) == [(GP, 0), 0]


def test_control_registers_that_do_not_exist():
    """2B, MOV control registers: CR1, CR5, CR6 and CR7 are #UD."""
    program = Program("".join(expect(f"db 0x0F, 0x20, {0xC0 | n << 3}") for n in (1, 5, 6, 7)))
    assert faults(run_here(program)) == [(UD, None)] * 4


def test_lmsw_sets_but_never_clears_pe(run):
    """2A, LMSW: PE stays set; MP, EM and TS change; the rest of CR0 is not touched."""
    show = "mov eax, cr0\nand eax, 0xF\ncall log\n"
    program = Program("mov ax, 0xFFFE\nlmsw ax\n" + show + "clts\nxor ax, ax\nlmsw ax\n" + show)
    assert run(program) == [0xF, 1]


def test_clts(run):
    """2A, CLTS."""
    program = Program("mov eax, cr0\nor eax, 8\nmov cr0, eax\nclts\nmov eax, cr0\nand eax, 8\ncall log\n")
    assert run(program) == [0]


def test_pdptes_are_checked():
    """3A 4.4.1: with PAE, loading CR3 (or setting PG) checks reserved bits of present PDPTEs: #GP(0)."""
    program = Program(
        "mov eax, 0x20\nmov cr4, eax\n"
        + "mov dword [0xA000], 0xB003\n"  # R/W is reserved in a PDPTE
        + "mov eax, 0xA000\nmov cr3, eax\n"  # paging is off: not looked at
        + expect("mov eax, cr0\nor eax, 0x80000000\nmov cr0, eax")
        + "mov eax, cr0\nshr eax, 31\ncall log\n"
    )
    assert faults(run_here(program)) == [(GP, 0), 0]


def test_coprocessor_not_available(run):
    """2A, WAIT and 3A 2.5: an x87 instruction is #NM with EM or TS; WAIT only with MP and TS both."""
    fninit = "db 0xDB, 0xE3"

    def with_bits(bits: int, code: str) -> str:
        return f"mov eax, {0x11 | bits}\nmov cr0, eax\n" + expect(code) + f"mov eax, {bits}\ncall log\n"

    program = Program(
        with_bits(8, fninit)
        + with_bits(4, fninit)
        + with_bits(8, "wait")
        + with_bits(2, "wait")
        + with_bits(10, "wait")
    )
    assert faults(run(program)) == [(NM, None), 8, (NM, None), 4, 8, 2, (NM, None), 10]


# --- flags ------------------------------------------------------------------------------------


def test_cli_and_sti_need_iopl(run):
    """2A, CLI and 2B, STI: #GP(0) with CPL above IOPL; allowed in ring 3 with IOPL 3."""
    program = Program(
        ring3("cli") + ring3("sti") + ring3("cli", flags=0x3002) + v86("cli") + v86("cli", 0x23002)
    )
    assert faults(run(program)) == [(GP, 0), (GP, 0), (0x40, None), (GP, 0), (0x40, None)]


def test_pushf_and_popf_in_virtual_8086_mode(run):
    """2B, PUSHF and POPF: below IOPL 3 both are #GP(0)."""
    program = Program(v86("pushf") + v86("popf") + v86("pushf\npopf", 0x23002))
    assert faults(run(program)) == [(GP, 0), (GP, 0), (0x40, None)]


def test_popf_in_ring_3(run):
    """2B, POPF: in ring 3, IOPL does not change; IF only with CPL <= IOPL; there is no fault."""
    attempt = "push dword 0x243202\npopfd\npushfd\npop ebx"
    program = Program(ring3(attempt) + ring3(attempt, flags=0x3002) + "push dword 2\npopfd\n")
    first, second = run(program)
    assert first.eflags & 0x267F00 == 0x240000  # AC and ID, but neither IF nor IOPL
    assert second.eflags & 0x267F00 == 0x243200


def test_popf_in_ring_0(run):
    """2B, POPF: everything but VM, RF, VIF and VIP; the image PUSHF makes has VM and RF clear."""
    program = Program("push dword 0x3F7ED7\npopfd\npushfd\npop eax\npush dword 2\npopfd\ncall log\n")
    assert run(program) == [0x247ED7]


def test_popf_of_a_word(run):
    """2B, POPF with 16-bit operands leaves bits 16 to 31."""
    program = Program("push dword 0x240002\npopfd\npush word 0x7002\ndb 0x66\npopfd\npushfd\npop eax\n"
                      "push dword 2\npopfd\ncall log\n".replace("db 0x66\npopfd", "popfw"))  # fmt: skip
    assert run(program) == [0x247002]


def test_lahf_and_sahf(run):
    """2A, LAHF: SF ZF - AF - PF - CF with bit 1 set; 2B, SAHF leaves OF."""
    program = Program(
        "mov ah, 0xFF\nsahf\nlahf\nmovzx eax, ah\ncall log\nmov ah, 0\nsahf\nlahf\nmovzx eax, ah\ncall log\n"
    )
    assert run(program) == [0xD7, 0x02]


# --- ports -----------------------------------------------------------------------------------------


def test_io_permission_map(run):
    """Manual 1, 19.5.2: ring 3 with CPL > IOPL asks the bit of every port it touches; #GP(0)."""
    bits = bytearray(b"\xff" * 0x21)
    bits[0x80 >> 3] = 0b1111_1100  # ports 80h and 81h are free
    program = Program(
        ring3("out 0x80, al")
        + ring3("in ax, 0x80")
        + ring3("in eax, 0x80")
        + ring3("out 0x82, al")
        + ring3("mov dx, 0x200\nin al, dx")
        + ring3("out 0x82, al", flags=0x3002)
        + v86("out 0x80, al", flags=0x23002)
        + v86("out 0x82, al", flags=0x23002),
        io_map=bytes(bits),
        gdt_entries={MAIN_TSS: descriptor(TSS, 0x68 + 0x20, 0x89)},
    )
    # port 200h lies beyond the limit; IOPL 3 opens all in ring 3, but not in virtual-8086 mode
    done = (0x40, None)
    assert faults(run(program)) == [done, done, (GP, 0), (GP, 0), (GP, 0), done, done, (GP, 0)]


def test_io_map_ends_with_the_limit(run):
    """Manual 1, 19.5.2: two bytes are read, and both must lie within the limit of the TSS."""
    program = Program(
        ring3("out 0x07, al") + ring3("out 0x08, al"),
        io_map=b"\0\0\0",
        gdt_entries={MAIN_TSS: descriptor(TSS, 0x69, 0x89)},
    )
    assert faults(run(program)) == [(0x40, None), (GP, 0)]


@pytest.mark.parametrize("tss", [OLD_TSS, SHORT_TSS], ids=["16 bits", "no room for its place"])
def test_a_tss_without_an_io_map(run, tss):
    """Manual 1, 19.5.2: where there is no map, no port is open; #GP(0)."""
    program = Program(
        f"mov ax, {tss}\nltr ax\n" + ring3("out 0x80, al") + ring3("out 0x80, al", flags=0x3002),
        old={"sp0": STACK0, "ss0": DATA},
        task={"esp0": STACK0, "ss0": DATA},
    )
    assert faults(run(program)) == [(GP, 0), (0x40, None)]


def test_unclaimed_ports_read_ones():
    """A port nobody claimed costs no exit: it reads as ones, and the write is lost."""
    program = Program("out 0x99, al\nmov eax, 0\nin al, 0x99\ncall log\nin eax, 0x98\ncall log\n")
    assert run_here(program) == [0xFF, 0xFFFF_FFFF]


# --- debug registers ---------------------------------------------------------------------------------


def test_debug_register_fixed_bits(run):
    """3B 17.2: DR6 and DR7 have bits that always read as one or zero."""
    program = Program(
        "mov eax, 0xFFFFFFFF\nmov dr6, eax\nmov ebx, dr6\n"
        "xor eax, eax\nmov dr7, eax\nmov ecx, dr7\nmov dr6, eax\nmov edx, dr6\n" + log("ebx", "ecx", "edx")
    )
    assert [v & 0xFFFF_EFFF for v in run(program)] == [0xFFFF_EFFF, 0x400, 0xFFFF_0FF0]


def test_dr4_and_dr5(run):
    """3B 17.2.2: names of DR6 and DR7, until CR4.DE makes them #UD."""
    program = Program(
        "db 0x0F, 0x21, 0xE8\ncall log\nmov eax, 8\nmov cr4, eax\n" + expect("db 0x0F, 0x21, 0xE0")
    )
    assert faults(run(program)) == [0x400, (UD, None)]


def test_general_detect():
    """3B 17.2.4: with DR7.GD, MOV DR is #DB with DR6.BD and does nothing; the handler finds GD clear."""
    program = Program(
        "mov eax, 0x2400\nmov dr7, eax\n"
        + expect("culprit: mov dr0, eax")
        + "mov eax, dr6\ncall log\nmov eax, dr7\ncall log\n"
    )
    fault, dr6, dr7 = run_here(program)
    assert (fault.vector, fault.eip, dr6 & 0x2000, dr7) == (DB, program["culprit"], 0x2000, 0x400)


def test_instruction_breakpoint(run):
    """3B 17.3.1.1: a fault before the instruction, DR6.B0; RF in the frame lets it pass once."""
    program = Program(
        "mov eax, place\nmov dr0, eax\nmov eax, 1\nmov dr7, eax\n" + expect("nop\nplace: nop")
        + "mov eax, 0\nmov dr7, eax\nmov eax, dr6\nand eax, 0xF\ncall log\n"
    )  # fmt: skip
    fault, hits = run(program)
    assert (fault.vector, fault.eip, hits) == (DB, program["place"], 1)


def test_data_breakpoint(run):
    """3B 17.3.1.2: a trap after the store, DR6.B1."""
    program = Program(
        "mov eax, 0x8004\nmov dr1, eax\nmov eax, 0x00D00004\nmov dr7, eax\n"
        + expect("mov ebx, [0x8004]\nmov [0x8006], ax\nplace: nop")
        + "mov eax, 0\nmov dr7, eax\nmov eax, dr6\nand eax, 0xF\ncall log\n"
    )
    fault, hits = run(program)
    assert (fault.vector, fault.eip, hits) == (DB, program["place"], 2)


def test_accesses_beside_a_data_breakpoint(run):
    """3B 17.2.5: only an access that touches one of the bytes named by DR and LEN hits."""
    program = Program(
        "mov eax, 0x8004\nmov dr1, eax\nmov eax, 0x00D00004\nmov dr7, eax\n"
        + "mov [0x8000], eax\nmov [0x8008], al\nmov [0x8003], al\nmov [0x8002], ax\n"
        + expect("mov dword [0x8002], 0\nplace: nop")
        + "mov eax, 0\nmov dr7, eax\nmov eax, dr6\nand eax, 0xF\ncall log\n"
    )
    fault, hits = run(program)
    assert (fault.vector, fault.eip, hits) == (DB, program["place"], 2)


def test_port_breakpoint(run):
    """3B 17.2.4: with CR4.DE, R/W 10 means port accesses; a trap after the instruction."""
    program = Program(
        "mov eax, 8\nmov cr4, eax\nmov eax, 0x99\nmov dr2, eax\nmov eax, 0x02000010\nmov dr7, eax\n"
        + expect("out 0x98, al\nout 0x99, al\nplace: nop")
        + "mov eax, 0\nmov dr7, eax\nmov eax, dr6\nand eax, 0xF\ncall log\n"
    )
    fault, hits = run(program)
    assert (fault.vector, fault.eip, hits) == (DB, program["place"], 4)


@pytest.mark.parametrize("run", [run_here, run_bochs])
def test_no_port_breakpoint_without_debugging_extensions(run):
    """3B 17.2.4: R/W 10 means ports while CR4.DE is set. (QEMU does not ask for it.)"""
    program = Program(
        "mov eax, 0x99\nmov dr2, eax\nmov eax, 0x02000010\nmov dr7, eax\nout 0x99, al\nnop\n"
        "mov eax, 0\nmov dr7, eax\nmov eax, dr6\nand eax, 0xF\ncall log\n"
    )
    assert run(program) == [0]


# --- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"mov ax, {DATA}\nlldt ax", (GP, DATA)),
        ("mov ax, 0xF00\nlldt ax", (GP, 0xF00)),
        (f"mov ax, {LDT | 4}\nlldt ax", (GP, LDT | 4)),
        (f"mov ax, {MAIN_TSS}\nltr ax", (GP, MAIN_TSS)),  # busy
        ("xor ax, ax\nltr ax", (GP, 0)),
        (f"mov ax, {DATA}\nltr ax", (GP, DATA)),
        (f"mov ax, {DATA | 3}\nltr ax", (GP, DATA)),  # no RPL in an error code, but the table
        (f"mov ax, {DATA | 7}\nltr ax", (GP, DATA | 4)),
        (f"mov ax, {DATA | 3}\nlldt ax", (GP, DATA)),
        ("mov ax, 0x98\nltr ax", (NP, 0x98)),
    ],
)
def test_table_register_errors(run, code, expected):
    """2A, LLDT and LTR: wrong table, type or limit is #GP of the selector, absent is #NP."""
    if run is run_qemu and code.startswith("xor"):
        pytest.skip("QEMU takes a null selector for LTR")
    assert faults(run(Program(expect(code)))) == [expected]


def test_ltr_marks_the_tss_busy(run):
    """2A, LTR."""
    program = Program(
        f"mov ax, {TASK_TSS}\nltr ax\nmov eax, [{GDT + TASK_TSS + 4}]\nshr eax, 8\nand eax, 0xFF\ncall log\n"
    )
    assert run(program) == [0x8B]


def test_null_ldt(run):
    """2A, LLDT: a null selector is allowed; selectors into the LDT then fault."""
    program = Program("xor ax, ax\nlldt ax\n" + expect("mov ax, 4\nmov ds, ax"))
    assert faults(run(program)) == [(GP, 4)]


def test_a_null_ldt_forgets_the_one_before(run):
    """2A, LLDT: after a null selector, every reference to the LDT is #GP of the selector."""
    code = f"mov dword [{IDT + 0x708}], 0x0000FFFF\nmov dword [{IDT + 0x70C}], 0x00CF9200\n"
    program = Program(
        f"{code}mov ax, {LDT}\nlldt ax\nmov ax, 12\nmov es, ax\nmov eax, es\ncall log\n"
        "xor eax, eax\nlldt ax\n" + expect("mov ax, 12\nmov es, ax")
    )
    assert faults(run(program)) == [12, (GP, 12)]


def test_lgdt_with_16_bit_operands(run):
    """2A, LGDT: a 16-bit operand size loads 24 bits of the base."""
    program = Program(
        f"mov dword [0x8000], {0xFFFF | (0x1234 << 16)}\nmov dword [0x8004], 0xFF56\ncli\n"
        "db 0x66\nlidt [0x8000]\nsidt [0x8010]\nlidt [idtr_again]\nmov eax, [0x8012]\ncall log\njmp finish\n"
        f"idtr_again: dw 0x3FF\ndd {IDT}"
    )
    assert run(program) == [0x0056_1234]


# --- CPUID, time stamp, model-specific registers ---------------------------------------------------------


def test_cpuid_reports_what_is_there():
    """2A, CPUID: vendor, and the features of this processor: no APIC, MMX or machine check."""
    program = Program(
        "mov eax, 0\ncpuid\ncall log\n"
        + log("ebx", "edx", "ecx")
        + "mov eax, 1\ncpuid\ncall log\n"
        + log("edx", "ecx")
    )
    highest, b, d, c, signature, features, more = run_here(program)
    assert highest == 2
    assert b"".join(v.to_bytes(4, "little") for v in (b, d, c)) == b"GenuineIntel"
    assert signature >> 8 & 15 == 6
    # FPU DE PSE TSC MSR PAE CX8 SEP PGE CMOV PAT FXSR
    assert features == sum(1 << bit for bit in (0, 2, 3, 4, 5, 6, 8, 11, 13, 15, 16, 24))
    assert more == 0


def test_cpuid_above_the_highest_leaf():
    """2A, CPUID: a leaf that does not exist answers like the highest basic one."""
    program = Program("".join(f"mov eax, {leaf}\ncpuid\ncall log\n" for leaf in (2, 3, 0x8000_0000)))
    two, three, extended = run_here(program)
    assert two == three == extended
    assert two & 0xFF == 1


def test_time_stamp_disable(run):
    """2B, RDTSC: CR4.TSD reserves it for ring 0."""
    program = Program(
        ring3("rdtsc") + "mov eax, 4\nmov cr4, eax\n" + ring3("rdtsc") + "rdtsc\nmov eax, 7\ncall log\n"
    )
    assert faults(run(program)) == [(0x40, None), (GP, 0), 7]


def test_time_stamp_counts_and_can_be_set():
    """2B, RDTSC and 4, IA32_TIME_STAMP_COUNTER: it grows, and WRMSR sets it."""
    program = Program(
        "rdtsc\nmov ebx, eax\nnop\nrdtsc\nsub eax, ebx\ncall log\n"
        "mov ecx, 0x10\nmov eax, 1000\nmov edx, 5\nwrmsr\nrdtsc\nsub eax, 1000\n"
        "call log\nmov eax, edx\ncall log\n"
    )
    elapsed, after, high = run_here(program)
    assert 0 < elapsed < 1000
    assert after < 1000
    assert high == 5


def test_model_specific_registers(run):
    """2B, RDMSR and WRMSR: the SYSENTER registers keep what is written; an unknown one is #GP(0)."""
    program = Program(
        "mov ecx, 0x175\nmov eax, 0x12345678\nxor edx, edx\nwrmsr\nxor eax, eax\nrdmsr\ncall log\n"
        + expect("mov ecx, 0x12345\nrdmsr")
    )
    log_here = faults(run(program))
    assert log_here[0] == 0x12345678
    if run is run_here:  # QEMU reads unknown ones as zero
        assert log_here[1:] == [(GP, 0)]


def test_microcode_drivers_find_their_registers(run):
    """4, table 2-20: IA32_PLATFORM_ID is there from the Pentium II on and read-only."""
    program = Program(
        "mov ecx, 0x17\nor eax, -1\nor edx, -1\nrdmsr\nor eax, edx\ncall log\n"
        "mov ecx, 0x8b\nxor eax, eax\nxor edx, edx\nwrmsr\nmov ebx, 1\nmov eax, 1\ncpuid\n"
        "mov ecx, 0x8b\nrdmsr\nmov eax, 1\ncall log\n" + expect("mov ecx, 0x17\nwrmsr")
    )
    log_here = faults(run(program))
    assert log_here[:2] == [0, 1]
    if run is run_here:  # QEMU ignores writes to unknown ones
        assert log_here[2:] == [(GP, 0)]


def test_page_attribute_table(run):
    """3A, 11.12: CPUID reports it, IA32_PAT keeps what is written; a reserved type is #GP(0), and
    then nothing has changed."""
    program = Program(
        "mov eax, 1\ncpuid\nshr edx, 16\nand edx, 1\nmov eax, edx\ncall log\n"
        "mov ecx, 0x277\nrdmsr\ncall log\nmov eax, 0x00010406\nmov edx, 0x05040100\nwrmsr\n"
        "xor eax, eax\nrdmsr\ncall log\nmov eax, edx\ncall log\n"
        + expect("mov eax, 0x00020406\nmov edx, 0\nmov ecx, 0x277\nwrmsr")
        + "mov ecx, 0x277\nrdmsr\ncall log\n"
    )
    log_here = faults(run(program))
    assert log_here[:4] == [1, 0x0007_0406, 0x0001_0406, 0x0504_0100]
    if run is run_here:  # QEMU keeps reserved types
        assert log_here[4:] == [(GP, 0), 0x0001_0406]


# --- HLT ----------------------------------------------------------------------------------------------


def test_hlt_stops_behind_itself():
    """2A, HLT: EIP is the next instruction; nothing runs until an interrupt."""
    program = Program("hlt\nbehind: nop")
    m = new_machine(program)
    assert m.run(max_instructions=100_000).reason == "halt"
    assert m.cpu.eip == program["behind"]


def test_store_table_into_read_only_memory():
    """2A, SGDT: a write like any other; nothing is stored if it cannot all be. (QEMU does not check.)"""
    program = Program(f"mov ax, {READ_ONLY}\nmov es, ax\n" + expect("sgdt [es:0x8000]"))
    assert faults(run_here(program)) == [(GP, 0)]


def test_allowed_ports_are_read():
    """Manual 1, 19.5.2: a port whose bit is clear is read as in ring 0 (here nobody answers: ones)."""
    program = Program(
        ring3("xor eax, eax\nin al, 0x80\ncall log\nxor eax, eax\nin eax, 0x80\ncall log"),
        io_map=b"\0" * 0x20 + b"\xff",
        gdt_entries={MAIN_TSS: descriptor(TSS, 0x68 + 0x20, 0x89)},
    )
    assert faults(run_here(program)) == [0xFF, 0xFFFF_FFFF, (0x40, None)]


# --- privilege before operands, ports of strings, PDPTEs ----------------------------------------------


@pytest.mark.parametrize("instruction", ["lldt [0x3FF000]", "ltr [0x3FF000]", "lmsw [0x3FF000]"])
def test_privilege_is_checked_before_the_operand_is_read(run, instruction):
    """3A 5.9: above CPL 0 these are #GP(0), even where reading the operand would be #PF."""
    program = Program(PAGING + set_page(0x3FF000, 0) + ring3(instruction) + expect(instruction))
    first, second = run(program)
    assert (first.vector, first.error) == (GP, 0)
    assert (second.vector, second.cr2) == (14, 0x3FF000)


@pytest.mark.parametrize("instruction", ["insb", "outsb", "rep insb", "rep outsb", "outsw", "insw"])
def test_io_permission_map_for_strings_in_v86_mode(run, instruction):
    """3B 20.2.8: in virtual-8086 mode every port is asked of the map, whatever IOPL is."""
    bits = bytearray(b"\xff" * 0x21)
    bits[0x80 >> 3] = 0b1111_1100  # ports 80h and 81h are free
    code = f"mov cx, 2\nmov dx, {{port}}\nmov si, 0\nmov di, 0\n{instruction}"
    program = Program(
        "".join(v86(code.format(port=port), flags=0x23002) for port in (0x80, 0x82, 0x81)),
        io_map=bytes(bits),
        gdt_entries={MAIN_TSS: descriptor(TSS, 0x68 + 0x20, 0x89)},
    )
    last = (GP, 0) if instruction.endswith("w") else (0x40, None)
    assert faults(run(program)) == [(0x40, None), (GP, 0), last]


def pae_tables(entries: dict[int, int]) -> str:
    """PDPTEs at A000h; the first 4 MiB map to themselves through two large pages."""
    table = {0xA000: 0xB001, 0xB000: 0x87, 0xB008: 0x20_0087} | entries
    clear = "mov edi, 0xA000\nmov ecx, 0x800\nxor eax, eax\ncld\nrep stosd\n"
    return clear + "".join(f"mov dword [{at}], {value}\n" for at, value in table.items())


def test_pdptes_are_loaded_by_a_change_of_cr4():
    """3A 4.4.1: with PAE paging, MOV to CR4 that changes PGE or PSE loads the PDPTEs again; they are
    not looked at in between. A reserved bit in one is #GP(0), and CR4 stays."""
    program = Program(
        pae_tables({})
        + "mov eax, 0x20\nmov cr4, eax\nmov eax, 0xA000\nmov cr3, eax\n"
        + "mov eax, cr0\nor eax, 0x80000000\nmov cr0, eax\n"
        + "mov dword [0xA008], 0xB001\n"  # a second gigabyte, the same as the first
        + expect("mov eax, [0x40000000]")  # not loaded yet
        + "mov eax, 0xA0\nmov cr4, eax\nmov eax, [0x40000000 + 0xA008]\ncall log\n"
        + "mov dword [0xA010], 0xB003\n"  # R/W is reserved in a PDPTE
        + expect("mov eax, 0x20\nmov cr4, eax")
        + "mov eax, cr4\ncall log\n"
    )
    assert faults(run_here(program)) == [(14, 0), 0xB001, (GP, 0), 0xA0]
