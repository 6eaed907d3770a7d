"""The x87 inside programs: when it may be used, how it reports errors, how it is saved."""

from __future__ import annotations

import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.errors import RegisterError
from pyvirt_edu.machine.state.layout import FERR
from pyvirt_edu.machine.x87.values import Float80

AT, STACK, DATA = 0x1000, 0x8000, 0x3000
NM, GP, PF, MF = 7, 13, 14, 16
EM, TS, MP, NE = 4, 8, 2, 0x20
IDT, GDT, HANDLER = 0x5000, 0x5800, 0x6000


def machine(source: str, cr0: int = NE, bits: int = 32, **registers: int) -> Machine:
    """A program in flat protected mode, or at 0:1000 in real mode; faults are intercepted."""
    m = Machine(ram="1MiB", devices=(), history=False)
    if bits == 32:
        m.enter_protected_mode(eip=AT, esp=STACK)
    else:
        m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
        m.cpu.eip, m.cpu.esp = AT, STACK
    m.cpu.cr0 |= cr0
    m.write(AT, bytes(assemble(f"bits {bits}\norg {AT}\n{source}\nhlt", bits=bits)))
    for name, value in registers.items():
        setattr(m.cpu, name, value)
    for vector in (NM, GP, PF, MF):
        m.break_on(vector)
    return m


def stops_at(m: Machine) -> int | None:
    """Run; the vector of the exception that ended it, None for HLT."""
    left = m.run()
    return None if m.cpu.halted else left.vector


# --- results that Python can read --------------------------------------------------------------------


def test_a_program_computes() -> None:
    m = machine("fninit\n fild dword [0x3000]\n fld1\n faddp\n fsqrt\n fst qword [0x3008]\n fldpi")
    m.write(DATA, (8).to_bytes(4, "little"))
    assert stops_at(m) is None
    assert struct.unpack("<d", m.read(DATA + 8, 8)) == (3.0,)
    assert m.cpu.st1 == 3 and m.cpu.st1.exact == 3 and m.cpu.st2 is None
    assert m.cpu.st0 == 3.141592653589793 and m.cpu.st0.significand == 0xC90F_DAA2_2168_C235
    assert (m.cpu.fcw, m.cpu.fsw, m.cpu.ftw) == (0x37F, 6 << 11, 0x0FFF)


def test_registers_can_be_set() -> None:
    m = machine("fmulp\n fild qword [0x3000]")
    m.cpu.fcw, m.cpu.ftw, m.cpu.fsw = 0x37F, 0xFFFF, 0
    m.cpu.st0, m.cpu.st1 = Fraction(1, 3), 3
    assert m.cpu.st0.exact != Fraction(1, 3) and abs(m.cpu.st0.exact - Fraction(1, 3)) < Fraction(1, 2**65)
    m.step()
    assert m.cpu.st0 == 1.0 and m.cpu.st1 is None
    m.cpu.st0 = None
    assert m.cpu.ftw == 0xFFFF
    m.cpu.st0 = -0.0
    assert m.cpu.ftw == 0xFFF7 and m.cpu.st0.head == 0x8000
    m.cpu.st3 = float("inf")
    assert (m.cpu.st3.significand, m.cpu.st3.head) == (1 << 63, 0x7FFF)
    assert Float80.nearest(Fraction(2) ** -16445).bits == bytes([1]) + bytes(9)
    with pytest.raises(RegisterError):
        m.cpu.st0 = "1"
    with pytest.raises(RegisterError):
        m.cpu.st0 = 10**5000


def test_state_after_reset() -> None:
    """Manual 3A, table 9-1: zeros in every register, every exception unmasked."""
    m = Machine(ram="1MiB", devices=())
    assert (m.cpu.fcw, m.cpu.fsw, m.cpu.ftw) == (0x40, 0, 0x5555)
    assert [getattr(m.cpu, f"st{i}") for i in range(8)] == [0.0] * 8


# --- when it may be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cr0", "source", "vector"),
    [
        (EM, "fninit", NM), (TS, "fninit", NM), (TS | MP, "fnstsw ax", NM), (EM, "fwait", None),
        (TS, "fwait", None), (MP, "fwait", None), (MP | TS, "fwait", NM), (EM, "fxsave [0x3000]", NM),
        (TS, "fxrstor [0x3000]", NM),
        (TS, "fld tbyte [0x3000]", NM), (0, "fninit", None),
    ],
)  # fmt: skip
def test_availability(cr0: int, source: str, vector: int | None) -> None:
    """Manual 3A, table 2-2: EM and TS keep the x87 away, WAIT asks MP and TS."""
    m = machine(source, cr0)
    assert stops_at(m) == vector
    if vector:
        assert m.cpu.eip == AT


def test_undefined_forms() -> None:
    """Encodings without a row raise #UD, EM set or not."""
    for code in (b"\xd9\xd1", b"\xdb\xe5", b"\xd9\x08", b"\xdd\x28", b"\xdf\xe1"):
        m = machine("")
        m.write(AT, code + bytes(4))
        m.break_on(6)
        assert stops_at(m) == 6


TASKS = f"""
    bits 32
    org {AT}
        fninit
        fldz                    ; task 1 begins with a zero, task 0 with another one
        fnsave [save1]
        frstor [save1]
        call turn               ; of task 1, then 0, then 1
        call turn
        call turn
        hlt
    turn:
        mov eax, cr0
        or eax, 8               ; TS: a switch of tasks, as hardware or kernel marks it
        mov cr0, eax
        xor byte [current], 1
        fld1                    ; #NM; the handler swaps the states
        faddp                   ; no second one
        fist dword [result]
        ret
    handler:
        clts
        inc dword [switches]
        push eax
        mov al, [current]
        cmp al, [owner]
        je done
        mov [owner], al
        cmp al, 0
        je first
        fnsave [save0]
        frstor [save1]
        jmp done
    first:
        fnsave [save1]
        frstor [save0]
    done:
        pop eax
        iret
    result: dd 0
    switches: dd 0
    owner: db 0
    current: db 0
    save0: times 108 db 0
    save1: times 108 db 0
"""


def test_lazy_switching() -> None:
    """Two tasks, one x87: TS is set at each switch, and the first use swaps the states."""
    program = assemble(TASKS)
    m = machine("")
    m.clear_break_on()
    m.write(AT, bytes(program))
    catch(m, NM, program.symbols["handler"])
    m.run(max_instructions=2000)
    assert m.cpu.halted
    word = {
        name: int.from_bytes(m.read(program.symbols[name], 4), "little") for name in ("result", "switches")
    }
    # task 1 had two turns and counted to 2, task 0 one
    assert word == {"result": 2, "switches": 3}
    assert m.cpu.st0 == 2.0
    significand, head = struct.unpack("<QH", m.read(program.symbols["save0"] + 28, 10))
    assert Float80(significand, head) == 1.0


def catch(m: Machine, vector: int, handler: int) -> None:
    """An interrupt gate for one vector."""
    m.write(GDT, struct.pack("<QQQ", 0, 0x00CF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF))
    m.write(IDT + 8 * vector, struct.pack("<HHHH", handler & 0xFFFF, 8, 0x8E00, handler >> 16))
    m.cpu.gdtr_base, m.cpu.gdtr_limit, m.cpu.idtr_base, m.cpu.idtr_limit = GDT, 23, IDT, 0x7FF
    m.cpu.cs = 8


# --- errors ------------------------------------------------------------------------------------------

ERROR = "fninit\n fldcw [0x3000]\n fld1\n fldz\n fdivp\n"  # 1 / 0


def with_unmasked(m: Machine, unmasked: int) -> Machine:
    m.write(DATA, (0x37F & ~unmasked).to_bytes(2, "little"))
    return m


def test_an_error_waits() -> None:
    """Manual 3A, 6.15: #MF comes at the next waiting instruction, and points at it."""
    m = with_unmasked(machine(ERROR + "nop\n inc eax\n fld1"), 4)
    assert stops_at(m) == MF
    assert m.cpu.fsw & 0x80FF == 0x8084 and m.cpu.eax == 1
    code = m.read(m.cpu.eip, 2)
    assert code == b"\xd9\xe8"  # the FLD1 has not begun
    assert m.cpu.st0 == 0.0 and m.cpu.st1 == 1.0  # nor was anything stored or popped


WAITING = ["fwait", "fstcw [0x3010]", "fldcw [0x3000]", "frstor [0x3100]", "fldenv [0x3100]", "fld1", "fnop"]
PATIENT = ["fnstsw ax", "fnstcw [0x3010]", "fnclex", "fninit", "fnsave [0x3100]", "fnstenv [0x3100]"]
PATIENT += ["fxsave [0x3100]", "fxrstor [0x3100]"]


@pytest.mark.parametrize("next_one", WAITING)
def test_who_waits(next_one: str) -> None:
    assert stops_at(with_unmasked(machine(ERROR + next_one), 4)) == MF


@pytest.mark.parametrize("next_one", PATIENT)
def test_who_does_not_wait(next_one: str) -> None:
    assert stops_at(with_unmasked(machine(ERROR + next_one), 4)) is None


def test_masked_errors_do_not_wait() -> None:
    m = with_unmasked(machine(ERROR + "fwait"), 0)
    assert stops_at(m) is None
    assert m.cpu.fsw & 0xFF == 4 and m.cpu.st0 == float("inf")


def test_unmasking_wakes_an_old_error() -> None:
    m = machine("fninit\n fldz\n fld1\n fdivrp\n fldcw [0x3000]\n fwait")
    m.write(DATA, (0x37B).to_bytes(2, "little"))
    assert stops_at(m) == MF


def test_clearing_forgets_it() -> None:
    m = with_unmasked(machine(ERROR + "fnclex\n fwait\n fld1"), 4)
    assert stops_at(m) is None
    assert m.cpu.fsw & 0x80FF == 0


def test_without_numeric_errors_a_pin_is_set() -> None:
    """CR0.NE clear: no #MF; the FERR# pin is for the platform to wire to IRQ 13."""
    m = with_unmasked(machine(ERROR + "fld1", cr0=0), 4)
    assert stops_at(m) is None
    assert m._c[FERR] == 1
    m = with_unmasked(machine(ERROR + "fld1\n fnclex", cr0=0), 4)
    assert stops_at(m) is None
    assert m._c[FERR] == 0


def test_error_is_delivered_through_the_table() -> None:
    """A handler sees the address of the failing instruction in the environment."""
    m = with_unmasked(machine(ERROR + "fwait"), 4)
    m.clear_break_on()
    m.write(HANDLER, bytes(assemble("bits 32\n fnstenv [0x3020]\n hlt")))
    catch(m, MF, HANDLER)
    m.run(max_instructions=100)
    control, status, tags, ip, selector, dp, data = struct.unpack("<7I", m.read(0x3020, 28))
    divide = AT + len(assemble("bits 32\n" + ERROR)) - 2
    assert ip == divide and selector == 8 | 0x6F9 << 16  # DE F9
    assert status & 0x80FF == 0x8084 and tags & 0xFFFF == 0x1FFF and control & 0xFFFF == 0x37B


# --- saving ------------------------------------------------------------------------------------------


SETUP = "fninit\n fld1\n fldpi\n fldz\n fld dword [0x3000]\n fstp st0\n"


@pytest.mark.parametrize(
    ("bits", "prefix", "size"), [(32, "", 108), (32, "o16 ", 94), (16, "", 94), (16, "o32 ", 108)]
)
def test_save_and_restore(bits: int, prefix: str, size: int) -> None:
    """FNSAVE writes exactly its area and initializes; FRSTOR brings everything back."""
    m = machine(
        SETUP + f"{prefix}fnsave [0x3100]\n nop\n {prefix}frstor [0x3100]\n {prefix}fnsave [0x3200]",
        bits=bits,
    )
    m.write(0x3100, b"\xee" * 512)
    while m.read(m.cpu.eip, 1) != b"\x90":
        m.step()
    assert (m.cpu.fcw, m.cpu.fsw, m.cpu.ftw) == (0x37F, 0, 0xFFFF)
    m.step(2)
    assert m.cpu.st0 == 0 and m.cpu.st2 == 1 and m.cpu.fsw == 5 << 11 and m.cpu.ftw == 0x07FF
    assert stops_at(m) is None
    first, second = m.read(0x3100, 256), m.read(0x3200, 256)
    assert first[:size] == second[:size]
    assert first[size:] == b"\xee" * (256 - size)


@pytest.mark.parametrize("how", ["fninit", "fnsave [0x3200]"])
def test_initializing_forgets_the_last_instruction(how: str) -> None:
    """Manual 2A, FINIT and FSAVE: instruction and data pointer and the opcode become 0."""
    m = machine(SETUP + how + "\n fnstenv [0x3100]")
    assert stops_at(m) is None
    assert struct.unpack("<7I", m.read(0x3100, 28)) == (
        0xFFFF037F,
        0xFFFF0000,
        0xFFFFFFFF,
        0,
        0,
        0,
        0xFFFF0000,
    )


def test_environment_in_four_forms() -> None:
    """Manual 1, figures 8-9 to 8-12."""
    place = len(assemble(f"bits 32\n{SETUP}".rsplit("fld dword", 1)[0]))
    m = machine(SETUP + "fnstenv [0x3100]\n o16 fnstenv [0x3200]")
    assert stops_at(m) is None
    pop = AT + place + 6  # FSTP ST0, the last that is not a control instruction
    wide = struct.unpack("<7I", m.read(0x3100, 28))
    # FSTP ST0 has no memory operand: the data pointer is that of the load before
    assert wide[:3] == (0xFFFF037F, 0xFFFF2800, 0xFFFF07FF)
    assert wide[3:] == (pop, m.cpu.cs | 0x5D8 << 16, DATA, 0xFFFF0000 | m.cpu.ds)
    narrow = struct.unpack("<7H", m.read(0x3200, 14))
    assert narrow == (0x37F, 0x2800, 0x07FF, pop, m.cpu.cs, DATA, m.cpu.ds)

    m = machine(SETUP + "fnstenv [0x3100]\n o32 fnstenv [0x3200]", bits=16)
    m.write(0x13000, m.read(0x3000, 16))
    m.cpu.cs, m.cpu.ds = 0x80, 0x1000
    m.cpu.eip = AT - 0x800
    assert stops_at(m) is None
    pop = AT + len(assemble(f"bits 16\n{SETUP}", bits=16)) - 2
    narrow = struct.unpack("<7H", m.read(0x13100, 14))
    assert narrow == (0x37F, 0x2800, 0x07FF, pop, 0x5D8, 0x3000, 0x1000)
    wide = struct.unpack("<7I", m.read(0x13200, 28))
    assert wide[:3] == (0xFFFF037F | 0x3F, 0xFFFF2800, 0xFFFF07FF)
    assert wide[3:] == (0xFFFF0000 | pop, 0x5D8, 0xFFFF3000, 0x1000)


def test_environment_masks_and_loads() -> None:
    """FNSTENV masks all exceptions; FLDENV brings back masks and tags."""
    m = with_unmasked(
        machine("fninit\n fldcw [0x3000]\n fld1\n fnstenv [0x3100]\n nop\n fninit\n fldenv [0x3100]"), 0x3F
    )
    while m.read(m.cpu.eip, 1) != b"\x90":
        m.step()
    assert m.cpu.fcw == 0x37F
    assert stops_at(m) is None
    assert m.cpu.fcw == 0x340 and m.cpu.ftw == 0x3FFF and m.cpu.st0 == 1


def test_fast_save() -> None:
    """FXSAVE: abridged tags, registers 16 bytes apart, no more than the x87's part; FXRSTOR undoes it."""
    source = SETUP + "fxsave [0x3200]\n fninit\n fld1\n fxrstor [0x3200]\n fxsave [0x3400]"
    m = machine(source)
    m.write(0x3200, b"\xee" * 1024)
    assert stops_at(m) is None
    image = m.read(0x3200, 512)
    control, status, tags, opcode, ip, cs, dp, ds = struct.unpack("<HHHHIIII", image[:24])
    assert (control, status, tags, opcode) == (0x37F, 5 << 11, 0b1110_0000, 0x5D8)
    assert (cs, dp, ds) == (m.cpu.cs, DATA, m.cpu.ds) and AT < ip < AT + 32
    assert image[24:32] == b"\xee" * 8 and image[160:] == b"\xee" * 352
    assert [image[32 + 16 * i : 48 + 16 * i] for i in (0, 2)] == [
        bytes(16), Float80.nearest(1).bits + bytes(6)
    ]  # fmt: skip
    assert m.read(0x3400, 512) == image
    assert m.cpu.st2 == 1 and m.cpu.ftw == 0x07FF


@pytest.mark.parametrize("source", ["fxsave [0x3008]", "fxrstor [0x3201]"])
def test_fast_save_wants_alignment(source: str) -> None:
    assert stops_at(machine(source)) == GP


def test_osfxsr_exists() -> None:
    m = machine("mov eax, 0x200\n mov cr4, eax\n mov eax, 1\n cpuid")
    assert stops_at(m) is None
    assert m.cpu.cr4 == 0x200 and m.cpu.edx & 1 and m.cpu.edx >> 24 & 1
    assert not m.cpu.edx >> 23 & 1 and not m.cpu.edx >> 25 & 3  # neither MMX nor SSE


# --- faults of the memory operand --------------------------------------------------------------------


def paged(source: str) -> Machine:
    """Paging with the page at 4000h absent."""
    m = machine(source)
    m.write(0x10000, (0x11007).to_bytes(4, "little"))
    for page in range(256):
        entry = page << 12 | (7 if page != 4 else 6)
        m.write(0x11000 + 4 * page, entry.to_bytes(4, "little"))
    m.cpu.fcw, m.cpu.ftw, m.cpu.fsw = 0x37F, 0xFFFF, 0
    m.cpu.st0, m.cpu.st1 = 7, 9
    m.cpu.cr3 = 0x10000
    m.cpu.cr0 |= 0x8000_0000
    return m


@pytest.mark.parametrize(
    "source",
    [
        "fld dword [0x3FFE]", "fld qword [0x3FF9]", "fld tbyte [0x3FF8]", "fild qword [0x4000]",
        "fbld tbyte [0x3FF7]", "fadd qword [0x3FFC]", "fcomp dword [0x3FFD]", "fstp dword [0x3FFE]",
        "fstp tbyte [0x3FF8]",
        "fistp word [0x3FFF]", "fbstp tbyte [0x3FF7]", "fnsave [0x3FC0]", "frstor [0x3FC0]",
        "fnstenv [0x3FF0]",
        "fldenv [0x3FF0]", "fldcw [0x3FFF]", "fnstsw [0x3FFF]", "fxsave [0x3F00]", "fxrstor [0x3F00]",
        "o16 fnsave [0x3FC0]", "fxrstor [0x3FF0]", "fldenv [0x3FFC]",
    ],
)  # fmt: skip
def test_faults_change_nothing(source: str) -> None:
    """The part before the absent page is not written, the x87 is as it was."""
    m = paged(source)
    m.write(0x3F00, bytes(range(256)))
    before = (m.cpu.fcw, m.cpu.fsw, m.cpu.ftw, m.cpu.st0, m.cpu.st1, m.cpu.eax)
    assert stops_at(m) == PF
    assert m.cpu.cr2 == 0x4000 and m.cpu.eip == AT  # the first byte that is not there
    assert (m.cpu.fcw, m.cpu.fsw, m.cpu.ftw, m.cpu.st0, m.cpu.st1, m.cpu.eax) == before
    assert m.read(0x3F00, 256) == bytes(range(256))
    m.write(0x11010, (0x4007).to_bytes(4, "little"))  # the page comes: the instruction completes
    m.cpu.cr3 = 0x10000
    m.clear_break_on(PF)
    m.step()
    assert m.cpu.eip > AT


@pytest.mark.parametrize("source", ["fnsave", "frstor", "o16 fnsave", "o16 frstor", "fnstenv", "fldenv"])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_alignment_of_images(source: str, offset: int) -> None:
    """With alignment checks an image wants what its words want, the registers in it no more (3A, 6.15)."""
    m = machine(f"{source} [{0x3100 + offset}]")
    m.cpu.cr0 |= 0x4_0000
    m.cpu.eflags |= 0x4_0000
    m.write(GDT, struct.pack("<QQQ", 0, 0x00CF_FA00_0000_FFFF, 0x00CF_F200_0000_FFFF))
    m.cpu.gdtr_base, m.cpu.gdtr_limit = GDT, 23
    enter = f"mov eax, 19\n mov ds, ax\n push 19\n push {STACK}\n pushfd\n push 11\n push {AT}\n iret"
    m.write(0x6000, bytes(assemble(f"bits 32\n {enter}")))
    m.cpu.eip = 0x6000
    m.break_on(17)
    m.run(max_instructions=8)
    assert m.cpu.cpl == 3 and m.cpu.eip == AT
    left = m.step()
    size = 2 if source.startswith("o16") else 4
    assert left.vector == (17 if offset % size else None)


def test_same_however_it_is_run() -> None:
    """Steps or one run: the same numbers, instructions and cycles."""
    body = "fld1\n faddp\n fld st0\n fsin\n fstp qword [0x3000]"
    source = f"fninit\n mov ecx, 50\n fldz\n again: {body}\n loop again"
    whole, stepped = machine(source), machine(source)
    whole.run()
    while not stepped.cpu.halted:
        stepped.step()
    assert whole.digest() == stepped.digest() and whole.cycles == stepped.cycles
    assert whole.cpu.st0 == 50


def test_compiled_code(tmp_path: Path) -> None:
    """What a C compiler makes for the x87: a sum of square roots, against Python's."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: no compiled code to run")
    (tmp_path / "sum.c").write_text(
        """
        static double root(double x) { double r; __asm__("fsqrt" : "=t"(r) : "0"(x)); return r; }
        __attribute__((section(".text.first"))) double start(int n) {
            double sum = 0;
            for (int i = 1; i <= n; i++) sum += root(i) / (i + 0.5);
            return sum;
        }
        """
    )
    flags = (
        "-m32 -march=i686 -mfpmath=387 -mno-sse -O1 -ffreestanding -fno-pic -nostdlib -static -no-pie".split()
    )
    link = [f"-Wl,-Ttext={AT:#x},--build-id=none,-e,start", "-Wl,--oformat=binary"]
    command = ["gcc", *flags, *link, "-o", "sum.bin", "sum.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip("gcc cannot make 32-bit code here")
    code = (tmp_path / "sum.bin").read_bytes()
    m = machine("")
    m.write(AT, code)
    m.write(
        0x7000,
        bytes(assemble(f"bits 32\n org 0x7000\n fninit\n push dword 100\n mov eax, {AT}\n call eax\n hlt")),
    )
    m.cpu.eip = 0x7000
    assert stops_at(m) is None
    expected = sum((i**0.5) / (i + 0.5) for i in range(1, 101))
    assert m.cpu.st0 == pytest.approx(expected, rel=1e-14)
