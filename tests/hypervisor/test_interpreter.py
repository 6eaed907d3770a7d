"""The interpreter of hypervisors: one instruction of a guest, in any mode, on a virtual processor's record.

It is the core itself, so it must do what the core does on bare metal, whatever frames the guest was given.
The checks are functions: test_virtual_machine.py plants faults in the glue and wants each of them found.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

pytest.importorskip("unicorn", reason="the matrix names it as an oracle of its cells")

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.disk import Disk
from pyvirt_edu.guests import sprout, tiny
from pyvirt_edu.hypervisor.frames import Frames
from pyvirt_edu.hypervisor.virtual_machine import VirtualMachine as Guest
from pyvirt_edu.hypervisor.virtual_machine import lend
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_DMA_READ, HOST_DMA_WRITE
from pyvirt_edu.machine.state.layout import PAGE

from ..machine import every_mode, guest_lab
from ..machine.matrix.table import every_cell
from ..machine.time_travel import test_one_machine as one_machine
from ..programs.debian_lab import newest, ram_disk
from ..programs.test_debian import BOOT_SECTOR, FLOPPY_BOOT_SECTOR, MEMTEST, needs_memtest, needs_seabios
from ..programs.test_kernels_from_debian import SHORT, kernel
from .two_machines import MIB, Both, assert_same, bare, differences, shuffle, virtual

How = Callable[[Machine, random.Random, int], None]

# --- the matrix ---------------------------------------------------------------------------

PARTS = 10


def check_matrix(part: int, parts: int = PARTS) -> None:
    """A part of the matrix's cells, many with pages that are ROM, a device, traced or not there."""
    both = Both(seed=part)
    wrong = both.run(every_cell()[part::parts])
    assert not wrong, "\n".join([f"{len(wrong)} of {both.cases} cases differ; the first ones:", *wrong[:20]])
    assert both.cases > 150_000 / parts and both.faults > 100_000 / parts
    assert both.log_length > 1_500 / parts and both.stores > 200 / parts


def test_the_matrix_is_the_same_through_a_map() -> None:
    forms, some = ({(c.form.row.number, c.form.mode) for c in every_cell()[::n]} for n in (1, PARTS))
    assert len(some) > 0.98 * len(forms), "every opcode in every mode"
    check_matrix(0)


@pytest.mark.long
@pytest.mark.parametrize("part", range(1, PARTS))
def test_the_whole_matrix_is_the_same_through_a_map(part: int) -> None:
    check_matrix(part)


# --- programs -----------------------------------------------------------------------------


def check_program(guest: Machine, other: Machine, how: How, targets: Iterable[int]) -> None:
    """The guest run in some way is at each target what bare metal is, run whole."""
    rng = random.Random(1)
    for target in targets:
        how(guest, rng, target)
        one_machine.whole(other, rng, target)
        assert guest.instructions == other.instructions
        assert_same(guest, other)


TARGETS = range(one_machine.EVERY, one_machine.STEPS + 1, one_machine.EVERY)
WAYS = [one_machine.whole, one_machine.stepped, one_machine.sliced, one_machine.flushed]


def check_random_program(seed: int, how: How) -> None:
    guest = one_machine.program(seed, virtual(one_machine.RAM, seed))
    other = one_machine.program(seed, bare(one_machine.RAM, devices=()))
    check_program(guest, other, how, TARGETS)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int, how: How) -> None:
    check_random_program(seed, how)


def check_every_mode(how: How = one_machine.whole) -> None:
    """Real mode, protected, ring 3, virtual-8086, PAE and two levels, a task, faults."""
    guest = every_mode.guest(1, virtual(MIB, 5))
    check_program(guest, every_mode.guest(1, bare(MIB, devices=())), how, TARGETS)


@pytest.mark.parametrize("how", WAYS)
def test_every_mode(how: How) -> None:
    check_every_mode(how)


def spread(m: Machine, seed: int) -> int:
    """Descriptor tables and TSSs at addresses where they go over page ends; where the task's TSS is."""
    rng = random.Random(seed)
    gdt = 0x38FFC - 8 * rng.choice((1, 2, 5, 6, 7, 8))  # this descriptor is on two pages
    idt = 0x3AFFC - 8 * rng.choice((1, 13, 14, 0x40))
    tss, task = 0x3C000 - rng.randrange(4, 0x60, 4), 0x3E000 - rng.randrange(2, 0x60)
    program = every_mode.program()
    for old, size, new in (
        (guest_lab.GDT, 0x100, gdt), (guest_lab.IDT, 0x400, idt),
        (guest_lab.TSS, 0x100, tss), (guest_lab.TSS + 0x100, 0x68, task),
    ):  # fmt: skip
        m.load(m.read(old, size), at=new)
        m.load(bytes(size), at=old)
    for selector, base, limit in ((guest_lab.MAIN_TSS, tss, 0xFF), (guest_lab.TASK_TSS, task, 0x67)):
        m.load(guest_lab.descriptor(base, limit, 0x89), at=gdt + selector)
    for label, base in (("gdtr", gdt), ("idtr", idt)):
        m.load(base.to_bytes(4, "little"), at=program[label] + 2)
    return task


def check_tables_over_page_ends(seed: int) -> None:
    guest, other = virtual(MIB, seed), bare(MIB, devices=())
    for m in (guest, other):
        task = spread(every_mode.guest(seed, m), seed)
    check_program(guest, other, one_machine.whole, TARGETS)
    assert guest.read(task + 0x3C, 4) != bytes(4), "the task's EBP is saved there"


@pytest.mark.parametrize("seed", range(12))
def test_descriptor_tables_and_tasks_over_page_ends(seed: int) -> None:
    check_tables_over_page_ends(seed)


# --- guests -------------------------------------------------------------------------------


def check_pc(guest: Machine, other: Machine, run: Callable[[Machine], object]) -> None:
    """A whole PC: what was printed, its chips and its memory."""
    for m in (guest, other):
        run(m)
    assert guest.console.text == other.console.text
    assert guest.screen.text == other.screen.text
    assert guest._a.devices.tobytes() == other._a.devices.tobytes(), "the chips differ"
    assert guest._a.device_bytes.tobytes() == other._a.device_bytes.tobytes(), "the chips' buffers differ"
    assert_same(guest, other)


def check_tiny() -> None:
    def run(m: Machine) -> None:
        m.boot(tiny.image("tiny2"), "one two", disk=Disk(bytes(MIB), "overlay"))
        m.run(max_instructions=2_000_000)
        assert "tiny2: done" in m.console.text

    check_pc(virtual(2 * MIB, 3, pc=True), bare(2 * MIB), run)


def test_tiny2() -> None:
    check_tiny()


SESSION = ("", "ls /bin\n", "wild write\n", "cat /proc/uptime | cat > /tmp/x\n", "ls /tmp\n", "poweroff\n")


def test_sprout() -> None:
    """Paging, ring 3, a disk, interrupts from its timer: all on time."""

    def run(m: Machine) -> None:
        m.boot(sprout.image(), initrd=sprout.root(), disk=Disk(bytes(MIB), "overlay"))
        for line in SESSION:
            m.console.type(line)
            m.run(max_instructions=1_000_000 if not line else 400_000)
        assert "wild" in m.console.text.split("ls /bin")[1]

    check_pc(virtual(16 * MIB, 4, pc=True), bare(16 * MIB), run)


@needs_seabios
@pytest.mark.parametrize("floppy", [False, True])
def test_a_bios_boots_a_disk(floppy: bool) -> None:
    """ROM, a chip set that shadows it, option ROM at an address, and DMA from the floppy."""
    source = FLOPPY_BOOT_SECTOR if floppy else BOOT_SECTOR
    sector = bytes(assemble(source, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    image = sector + b"the second sector".ljust(512, b"\0")
    image = image.ljust(1440 * 1024 if floppy else 1 << 20, b"\0")

    def run(m: Machine) -> None:
        assert m.boot(image) == "boot-sector"
        assert m.run(max_instructions=400_000_000).reason == "halt"
        assert "SeaBIOS" in m.screen.text and ("boot floppy:" if floppy else "boot sector:") in m.screen.text
        assert b"he second sector" in m.read(0x8000, 17)

    check_pc(virtual(4 * MIB, 6, pc=True), bare(4 * MIB), run)


@needs_memtest
def test_memtest() -> None:
    """Somebody else's program, which maps memory in many places and measures the clock."""

    def run(m: Machine) -> None:
        m.boot(MEMTEST, append="console=ttyS0,115200")
        m.run(max_instructions=100_000_000)
        assert "CLK/Temp: 200MHz" in m.screen.text and "Testing" in m.screen.text

    check_pc(virtual(8 * MIB, 7, pc=True), bare(8 * MIB), run)


@pytest.mark.long
@pytest.mark.parametrize("flavour", ["686", "686-pae"])
def test_linux(flavour: str) -> None:
    """From the first instruction to its shell's last: what it prints, its memory and its chips."""
    script = "cat /proc/cpuinfo /proc/interrupts\nsleep 1\ndate\necho ready\npoweroff -f\n"
    root, files = newest(flavour), ram_disk(script)

    def run(m: Machine) -> None:
        m.boot(kernel(root), append=f"console=ttyS0 {SHORT}", initrd=files)
        assert m.run(max_instructions=12_000_000_000).reason == "halt"
        assert "ready" in m.console.serial

    check_pc(virtual(96 * MIB, 8, pc=True), bare(96 * MIB), run)


# --- memory -------------------------------------------------------------------------------

RAM = 2 * MIB
CODE, VICTIM = 0x10000, 0x20_0000 - 0x8000


def pair(seed: int, ram: int = RAM) -> tuple[Guest, Machine]:
    return virtual(ram, seed), bare(ram, devices=())


def put_code(m: Machine, source: str, at: int = CODE, esp: int = 0x9000) -> None:
    m.load(bytes(assemble(source, bits=32, origin=at)), at=at)
    m.enter_protected_mode(eip=at, esp=esp)


def both_run(guest: Machine, other: Machine, most: int = 100_000) -> None:
    want = other.run(max_instructions=most)
    got = guest.run(max_instructions=most)
    assert str(got) == str(want)
    assert_same(guest, other)


#: Page-directory and page-table entries that lead where no memory is, or to too much of it.
TWO_LEVELS = (
    0,
    7,
    0x67,
    0xFFFF_F067,
    0x8000_0067,
    0xFFFF_FFFF,
    0x20_0067,
    0xE7,
    0x8000_00E7,
    0x1E7,
    0x20E7,
    5,
)
PAE = (
    *TWO_LEVELS, 0x1_0000_0067, 0xF_FFFF_F067, 0xF_0000_2067, 0x1_0000_00E7, 0x10_0000_0067, 1 << 63 | 0x67,
)  # fmt: skip
TOUCH = """
    mov eax, [0x800040]
    mov dword [0x800044], 0x12345678
    mov ebx, [0x800044]
    add [0x800048], ebx
    movzx ecx, byte [0x800fff]
    mov edx, [0x800ffe]
    hlt
"""


def check_guest_tables(cr4: int, place: str, entry: int, write_protect: bool) -> None:
    """Code at 0 on, mapped to itself; one entry that counts for linear 800000h is as given."""
    wide = 8 if cr4 & 0x20 else 4
    guest, other = pair(entry + cr4)
    for m in (guest, other):
        m.break_on(14)
        flags = 0x67
        table = b"".join((page << 12 | flags).to_bytes(wide, "little") for page in range(PAGE // wide))
        directory = [0] * (PAGE // wide)
        directory[0] = 0x42000 | flags
        at = 0x80_0000 >> (21 if wide == 8 else 22)
        directory[at] = entry if place == "directory" else 0x43000 | flags
        second = bytearray(table)
        second[:wide] = (entry if place == "table" else 0x3_0000 | flags).to_bytes(8, "little")[:wide]
        m.load(table, at=0x42000)
        m.load(bytes(second), at=0x43000)
        m.load(b"".join(e.to_bytes(wide, "little") for e in directory), at=0x41000)
        m.load((0x41001).to_bytes(8, "little") + bytes(24), at=0x40000)
        put_code(m, TOUCH)
        m.cpu.cr4 = cr4
        m.cpu.cr3 = 0x40000 if wide == 8 else 0x41000
        m.cpu.cr0 = 0x8000_0011 | write_protect << 16
    for _ in range(8):
        both_run(guest, other, 1)


@pytest.mark.parametrize("write_protect", [False, True])
@pytest.mark.parametrize("place", ["directory", "table"])
@pytest.mark.parametrize("cr4", [0, 0x10, 0x20, 0x30])
def test_page_tables_that_lead_anywhere(cr4: int, place: str, write_protect: bool) -> None:
    for entry in PAE if cr4 & 0x20 else TWO_LEVELS:
        check_guest_tables(cr4, place, entry, write_protect)


@pytest.mark.parametrize("cr4", [0, 0x10])
def test_a_directory_where_no_memory_is(cr4: int) -> None:
    """Entries of ones: present, and with 4 MiB pages their reserved bits fault."""
    guest, other = pair(1)
    for m in (guest, other):
        m.break_on(14)
        put_code(m, "mov cr3, eax\nmov cr0, ebx\nmov ecx, [0x1234]\nhlt")
        m.cpu.cr4, m.cpu.eax, m.cpu.ebx = cr4, 0x80_0000, 0x8000_0011
    for _ in range(4):
        both_run(guest, other, 1)


PAGING_ON = """
    mov eax, 0x40000
    mov cr3, eax
    mov eax, 0x80000011
    mov cr0, eax
"""


def check_a20(through_port: bool) -> None:
    """Odd megabytes are even ones while the gate is closed, for data, code and page tables; paging on and
    off. Python closes it, or the guest by port 92h."""
    pc = through_port
    guest = virtual(4 * MIB, 8, pc)
    other = bare(4 * MIB) if pc else bare(4 * MIB, devices=())
    reload = "mov eax, cr3\nmov cr3, eax\n"  # what the TLB kept would be another megabyte's
    body = """
        mov dword [0x108000], 1
        mov dword [0x8000], 2
        mov al, 0
        out 0x92, al
        {reload}
        mov eax, [0x108000]
        mov dword [0x308004], eax
        add dword [0x108008], 5
        mov ebx, [0x208004]
        call 0x105000
        mov al, 2
        out 0x92, al
        {reload}
        mov ecx, [0x108000]
        call 0x105000
    """
    tables = "mov dword [0x40000], 0x141007"
    for m in (guest, other):
        m.load(bytes(assemble("inc edx\nret", bits=32)), at=0x5000)
        m.load(bytes(assemble("inc esi\nret", bits=32)), at=0x105000)
        for at, offset in ((0x41000, 0), (0x141000, 0x1000)):  # the gate decides which table is the one
            entries = [page << 12 | 7 for page in range(1024)]
            entries[0x208] += offset
            m.load(b"".join(e.to_bytes(4, "little") for e in entries), at=at)
        without, with_paging = body.format(reload=""), body.format(reload=reload)
        put_code(m, f"{tables}\n{without}\n{PAGING_ON}\n{with_paging}\nhlt")
        if not pc:
            m.claim_port(0x92)
    for gate in (False, True, False, True):
        both_run(guest, other)
        if not pc:
            guest.a20 = other.a20 = gate
    both_run(guest, other)
    assert other.cpu.esi == 2 and other.cpu.edx == 0x652 + 2


@pytest.mark.parametrize("through_port", [False, True])
def test_the_a20_gate(through_port: bool) -> None:
    check_a20(through_port)


def check_dma() -> None:
    """Devices reach memory by the guest's map, past the A20 gate; not ROM, not what is missing."""
    guest, other = pair(9)
    frame = guest.map.place(0x5000)
    assert frame is not None
    guest.map.put(5, [frame // PAGE], writable=False)
    (gone,) = guest.map.take(6)
    for a20 in (True, False):
        guest.a20 = other.a20 = a20
        for at in (0, 0x1FFF, 0x2000, 0x4FFF, 0x10_0000, 0x1F_FFFF, RAM, 1 << 31):
            for m in (guest, other):
                m._host(m._handle, HOST_DMA_WRITE, at, 0x5A ^ at >> 8 & 0xFF)
            answers = [m._host(m._handle, HOST_DMA_READ, at, 0) for m in (guest, other)]
            assert answers[0] == answers[1], hex(at)
    for at in (0x5000, 0x6000):
        guest._host(guest._handle, HOST_DMA_WRITE, at, 0x77)
    assert guest._host(guest._handle, HOST_DMA_READ, 0x5000, 0) == 0
    assert guest._host(guest._handle, HOST_DMA_READ, 0x6000, 0) == 0xFF
    guest.map.put(6, [gone])
    assert_same(guest, other)


def test_dma_goes_through_the_map() -> None:
    check_dma()


STRINGS = """
    cld
    mov esi, {source}
    mov edi, {target}
    mov ecx, {count}
    mov eax, 0x5aa5c33c
    {direction}
    {instruction}
    hlt
"""


def check_strings(seed: int) -> None:
    """REP over page ends whose frames are no neighbours, with ROM, a device, a traced page, and a page
    that is not there in the way. Bare metal has devices that act as ROM and as nothing."""
    rng = random.Random(seed)
    guest, other = pair(seed)
    for m in (guest, other):
        m.load(random.Random(seed).randbytes(0x20000), at=0x40000)
    pages = rng.sample(range(0x40, 0x60), 4)
    rom, device, traced, gone = pages
    place = guest.map.place(rom * PAGE)
    assert place is not None
    guest.map.put(rom, [place // PAGE], writable=False)
    contents = other.read(rom * PAGE, PAGE)
    other.on_mmio(
        rom * PAGE, PAGE, lambda a, n: int.from_bytes(contents[a % PAGE : a % PAGE + n], "little"), nothing
    )
    logs: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = [], []
    for m, log in zip((guest, other), logs):
        m.on_mmio(
            device * PAGE, PAGE, lambda a, n: a >> 2 & 0xFF, lambda *access, log=log: log.append(access)
        )
    guest.map.trace(traced * PAGE)
    guest.map.take(gone)
    other.on_mmio(gone * PAGE, PAGE, lambda a, n: None, nothing)
    for _ in range(6):
        instruction = rng.choice("rep movsd,rep movsb,rep stosd,rep movsw,repe cmpsb,repne scasb".split(","))
        size = {"d": 4, "w": 2, "b": 1}[instruction[-1]]
        down = rng.random() < 0.4
        source, target = (0x40000 + rng.randrange(0x18000) + 0x4000 * down for _ in range(2))
        count = rng.randrange(1, 0x4000) // size
        text = STRINGS.format(
            source=source, target=target, count=count, instruction=instruction, direction="std" * down
        )
        for m in (guest, other):
            put_code(m, text)
            m.cpu.eflags = 2
        out = [str(m.run()) for m in (guest, other)]
        assert out[0] == out[1]
        wrong = [text for text in differences(guest, other) if "replay" not in text]
        assert not wrong, wrong
        assert logs[0] == logs[1]
    frame = place // PAGE
    guest.map.put(rom, [frame])
    assert guest.read(rom * PAGE, PAGE) == contents
    for page in range(0x40, 0x60):
        if page not in (rom, gone, device):
            assert guest.read(page * PAGE, PAGE) == other.read(page * PAGE, PAGE), hex(page)


def nothing(*access: int) -> None:
    """A device that takes no notice."""


@pytest.mark.parametrize("seed", range(10))
def test_string_instructions_over_pages(seed: int) -> None:
    check_strings(seed)


def check_rom(write_protect: bool, paging: bool) -> None:
    """What the map makes read-only no store changes, of a supervisor with CR0.WP = 0 neither; modifies see
    it as it is."""
    guest, other = pair(2)
    place = guest.map.place(0x7000)
    assert place is not None
    guest.write(0x7000, b"\x11\x22\x33\x44" * 1024)
    guest.map.put(7, [place // PAGE], writable=False)
    setup = """
        mov edi, 0x40000
    fill: mov eax, edi
        and eax, 0xfff
        shl eax, 10
        or eax, 7
        mov [edi], eax
        add edi, 4
        cmp edi, 0x41000
        jne fill
        mov dword [0x41000], 0x40007
        mov eax, 0x41000
        mov cr3, eax
        mov cr0, ebx
    """
    put_code(
        guest,
        (setup if paging else "")
        + """
        mov eax, [0x7000]
        mov dword [0x7000], 1
        mov ebx, [0x7000]
        add dword [0x7000], 1
        sete dl
        mov ecx, [0x7000]
        xchg [0x7004], esi
        push dword [0x7000]
        mov dword [0x6ffe], 0x99999999
        mov ebp, [0x7000]
        mov edi, 0x7100
        mov ecx, 16
        rep stosd
        hlt
    """,
    )
    guest.cpu.ebx = 0x8000_0011 | write_protect << 16
    assert guest.run(max_instructions=100_000).reason == "halt"
    assert guest.read(0x7000, PAGE) == b"\x11\x22\x33\x44" * 1024
    assert guest.read(0x6FFE, 2) == b"\x99\x99"
    cpu = guest.cpu
    assert cpu.eax == cpu.ebx == cpu.esi == cpu.ebp == 0x4433_2211
    assert not cpu.eflags & 0x40


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("write_protect", [False, True])
def test_rom_stays_rom(write_protect: bool, paging: bool) -> None:
    check_rom(write_protect, paging)


MODIFY = """
    mov eax, 1
    add [0xf0100], eax
    pushfd
    mov ebx, [0xf0100]
    add [0xffff0ffe], eax
    mov ecx, [0xffff0ffe]
    pop edx
    hlt
"""


def test_a_modify_of_rom_reads_it_on_bare_metal_too() -> None:
    """The BIOS's place, with the chip set as a reset leaves it: reads from ROM, writes nowhere."""
    rom = b"\x21\x43\x65\x87" * 0x4000
    guest, other = virtual(2 * MIB, 1, pc=True), bare(2 * MIB)
    for m in (guest, other):
        m.load_firmware(rom)
        put_code(m, MODIFY)
    both_run(guest, other)
    assert other.cpu.ebx == 0x8765_4321 and other.cpu.ecx == 0x4321_8765
    assert other.cpu.edx & 0x80, "the flags are those of 87654321h plus 1"


def check_fetch_over_page_ends() -> None:
    """Code without a gap over sixteen pages: each end has an instruction on both sides of it."""
    guest, other = pair(12)
    # add eax, imm32; xor ebx, eax: seven bytes, so that page ends fall everywhere
    numbers = ((0x0101_0101 * (i % 200 + 1)).to_bytes(4, "little") for i in range(9000))
    code = b"".join(b"\x05" + number + b"\x31\xc3" for number in numbers)
    for m in (guest, other):
        put_code(m, "hlt")
        m.load(code + b"\xf4", at=CODE)
    both_run(guest, other)
    assert other.cpu.eip > CODE + 15 * PAGE


def test_code_over_page_ends() -> None:
    check_fetch_over_page_ends()


def check_self_modification() -> None:
    """Code that writes its own frame by another linear address, and by the same one."""
    guest, other = pair(13)
    for m in (guest, other):
        entries = [page << 12 | 7 for page in range(1024)]
        entries[0x300] = 0x50007  # linear 300000h is 50000h
        m.load(b"".join(e.to_bytes(4, "little") for e in entries), at=0x42000)
        m.load((0x42007).to_bytes(4, "little"), at=0x41000)
        m.load(bytes(assemble("add edx, 1\nret", bits=32)), at=0x50000)
        m.load(
            bytes(
                assemble(
                    "mov dword [there + 2], 0x77\nthere: add esi, 0x11111111\nret", bits=32, origin=0x51000
                )
            ),
            at=0x51000,
        )
        put_code(
            m,
            """
            mov eax, 0x41000
            mov cr3, eax
            mov eax, 0x80000011
            mov cr0, eax
            mov ecx, 20
        again:
            call 0x50000
            call 0x300000
            inc byte [0x300002]
            call 0x50000
            inc byte [0x50002]
            call 0x300000
            call 0x51000
            dec ecx
            jne again
            hlt
        """,
        )
    both_run(guest, other)
    assert other.cpu.edx > 80


def test_code_that_changes_itself_through_another_mapping() -> None:
    check_self_modification()


def check_linear() -> None:
    """Python reads and writes the guest's linear memory, and walks its tables."""
    guest, other = pair(14)
    for m in (guest, other):
        entries = [page << 12 | 7 for page in range(1024)]
        entries[0x300], entries[0x301], entries[0x302] = 0x50007, 0x33007, 0x8000_0007
        m.load(b"".join(e.to_bytes(4, "little") for e in entries), at=0x42000)
        m.load((0x42007).to_bytes(4, "little"), at=0x41000)
        m.enter_protected_mode(eip=0)
        m.cpu.cr3 = 0x41000
        m.cpu.cr0 = 0x8000_0011
        m.write_linear(0x300FFE, b"over the end")
    for linear in (0, 0x1234, 0x300123, 0x301FFF, 0x302001, 0x40_0000):
        assert guest.translate(linear) == other.translate(linear), hex(linear)
    assert guest.read_linear(0x300FFE, 12) == b"over the end"
    assert guest.translate(0x300123) == 0x50123
    assert_same(guest, other)


def test_linear_memory_from_python() -> None:
    check_linear()


def check_low_frames() -> None:
    """Frames of a guest that lie where the host's chip set has ROM; the guest's has ROM elsewhere."""
    host = bare(4 * MIB)
    guest = lend(host, Frames(0x90, host.ram_size // PAGE), "guest", MIB)
    shuffle(guest, 3)
    other = bare(MIB)
    for m in (guest, other):
        m.load_firmware(b"\x21\x43\x65\x87" * 0x4000)
        put_code(
            m,
            """
            mov edi, 0x20000
        again:
            add [edi], edi
            xor ebx, [edi]
            mov [edi + 0xffe], ebx
            add edi, 0x1000
            cmp edi, 0x120000
            jne again
            hlt
        """,
        )
    places = [guest.map.place(page * PAGE) or 0 for page in range(MIB // PAGE)]
    assert any(0xC_0000 <= place < MIB for place in places)
    both_run(guest, other)


def test_frames_may_lie_anywhere() -> None:
    check_low_frames()
