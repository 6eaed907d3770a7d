"""A small world for testing gates, tasks and privileges: the same program here and in QEMU.

A scenario is a piece of 32-bit ring-0 assembly. Around it this module builds a GDT, an IDT
whose every gate logs what it was given, a few TSSs, and the way into protected mode. The log
is an array of dwords in memory; it is read after HLT here, and through the debug port in QEMU.

    expect("mov ax, 0xFFFB\\n mov ds, ax")     run code that should fault, go on after it
    call log                                  append EAX to the log
    ring3("...")                              run code in ring 3
    v86("...")                                run 16-bit code in virtual-8086 mode

An exception appends the five words (EXCEPTION + vector, error code, EIP, CS, EFLAGS), then
execution goes on in ring 0 at the address in [resume].
"""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from pyvirt_edu import Machine, assemble

ORIGIN = 0x10000
GDT, IDT, TSS = 0x18000, 0x18800, 0x19000
IMAGE_END = 0x1A000
LOG, LOG_BYTES = 0x9000, 0x400
EXCEPTION = 0xE000_0000
NO_ERROR = 0xFFFF_FFFF
STACK0, STACK3, STACK1 = 0x7000, 0x6000, 0x5000

# Selectors
CODE, DATA, CODE16, DATA16, CODE3, DATA3 = 0x08, 0x10, 0x18, 0x20, 0x2B, 0x33
MAIN_TSS, TASK_TSS, DF_TSS, OLD_TSS = 0x38, 0x40, 0x48, 0x50
(
    ABSENT_DATA,
    READ_ONLY,
    CONFORMING,
    LDT,
    ABSENT_CODE,
    SMALL_STACK,
    CODE1,
    DATA1,
    ABSENT_TSS,
    TASK_GATE,
    SHORT_TSS,
) = range(0x58, 0x58 + 11 * 8, 8)
SPARE = 0xB8  # first unused slot

TSS_SIZE = 0x100
WITH_ERROR = {8, 10, 11, 12, 13, 14, 17}

_names = itertools.count()


def descriptor(base: int, limit: int, kind: int, flags: int = 0) -> bytes:
    """kind: the byte with type, S, DPL, P; flags: G and D/B as 8 and 4."""
    low = (limit & 0xFFFF) | (base & 0xFFFF) << 16
    high = (base >> 16 & 0xFF) | kind << 8 | (limit & 0xF0000) | flags << 20 | (base & 0xFF00_0000)
    return struct.pack("<II", low, high)


def gate(selector: int, offset: int, kind: int) -> bytes:
    return struct.pack("<HHHH", offset & 0xFFFF, selector, kind << 8, offset >> 16)


def gdt(more: dict[int, bytes]) -> bytes:
    flat = 0xFFFFF
    entries = {
        CODE: descriptor(0, flat, 0x9A, 0xC),
        DATA: descriptor(0, flat, 0x92, 0xC),
        CODE16: descriptor(ORIGIN, 0xFFFF, 0x9A),
        DATA16: descriptor(0, 0xFFFF, 0x92),
        CODE3 & ~3: descriptor(0, flat, 0xFA, 0xC),
        DATA3 & ~3: descriptor(0, flat, 0xF2, 0xC),
        MAIN_TSS: descriptor(TSS, TSS_SIZE - 1, 0x89),
        TASK_TSS: descriptor(TSS + 0x100, 0x67, 0x89),
        DF_TSS: descriptor(TSS + 0x200, 0x67, 0x89),
        OLD_TSS: descriptor(TSS + 0x300, 0x2B, 0x81),
        ABSENT_DATA: descriptor(0, flat, 0x12, 0xC),
        READ_ONLY: descriptor(0, flat, 0x90, 0xC),
        CONFORMING: descriptor(0, flat, 0x9E, 0xC),
        LDT: descriptor(IDT + 0x700, 0x1F, 0x82),
        ABSENT_CODE: descriptor(0, flat, 0x1A, 0xC),
        SMALL_STACK: descriptor(STACK0 - 0x20, 0x1F, 0x92, 0x4),
        CODE1: descriptor(0, flat, 0xBA, 0xC),
        DATA1: descriptor(0, flat, 0xB2, 0xC),
        ABSENT_TSS: descriptor(TSS + 0x100, 0x67, 0x09),
        TASK_GATE: gate(TASK_TSS, 0, 0x85),
        SHORT_TSS: descriptor(TSS + 0x100, 0x66, 0x89),
        **more,
    }
    table = bytearray(max(entries) + 8)
    for selector, entry in entries.items():
        table[selector : selector + 8] = entry
    return bytes(table)


def tss32(**fields: int) -> bytes:
    """A 32-bit TSS from register names; what is not named is zero."""
    places = {"link": 0, "esp0": 4, "ss0": 8, "esp1": 12, "ss1": 16, "cr3": 0x1C, "eip": 0x20, "eflags": 0x24}
    places |= {n: 0x28 + 4 * i for i, n in enumerate("eax ecx edx ebx esp ebp esi edi".split())}
    places |= {n: 0x48 + 4 * i for i, n in enumerate("es cs ss ds fs gs ldt trap".split())}
    image = bytearray(0x68)
    struct.pack_into("<H", image, 0x66, 0x68)
    for name, value in fields.items():
        size = 2 if name == "trap" else 4
        image[places[name] : places[name] + size] = value.to_bytes(size, "little")
    return bytes(image)


def tss16(**fields: int) -> bytes:
    names = "link sp0 ss0 sp1 ss1 sp2 ss2 ip flags ax cx dx bx sp bp si di es cs ss ds ldt".split()
    return struct.pack("<22H", *(fields.get(name, 0) for name in names))


def expect(code: str) -> str:
    """Code that should fault: the log has the exception, execution goes on behind it."""
    name = f"after{next(_names)}"
    return f"mov dword [resume], {name}\n{code}\n{name}:\n"


def ring3(code: str, flags: int = 0x2, cs: int = CODE3) -> str:
    """Run code in ring 3; it ends with a fault (or INT 40h, whose gate is open to it)."""
    name = f"user{next(_names)}"
    return expect(
        f"push dword {DATA3}\npush dword {STACK3}\npush dword {flags}\n"
        f"push dword {cs}\npush dword {name}\niretd\n"
        f"{name}: {code}\nint 0x40\n"
    )


def v86(code: str, flags: int = 0x20002) -> str:
    """Run 16-bit code in virtual-8086 mode (CS = image, DS 1111h, ES 2222h, FS 3333h, GS 4444h)."""
    name, after = f"virtual{next(_names)}", f"beyond{next(_names)}"
    return (
        f"mov dword [resume], {after}\n"
        "push dword 0x4444\npush dword 0x3333\npush dword 0x1111\npush dword 0x2222\n"
        f"push dword 0x500\npush dword 0x800\npush dword {flags}\npush dword {ORIGIN >> 4}\n"
        f"push dword {name} - {ORIGIN}\niretd\nbits 16\n{name}: {code}\nint 0x40\nbits 32\n{after}:\n"
    )


#: Turns paging on: the first 4 MiB map to themselves, for everybody. Page tables at 20000h.
PAGE_TABLE = 0x21000
PAGING = f"""
    mov edi, {PAGE_TABLE}
    mov eax, 7
fill: mov [edi], eax
    add eax, 0x1000
    add edi, 4
    cmp edi, {PAGE_TABLE + 0x1000}
    jne fill
    mov dword [0x20000], {PAGE_TABLE + 7}
    mov eax, 0x20000
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80010000
    mov cr0, eax
"""


def set_page(page: int, entry: int) -> str:
    """Replace the page-table entry of a page."""
    return f"mov dword [{PAGE_TABLE + (page >> 10)}], {entry}\ninvlpg [{page}]\n"


_ENTRY = """
bits 16
org {origin}
    cli
    mov ax, {origin} >> 4
    mov ds, ax
    lgdt [gdtr - {origin}]
    lidt [idtr - {origin}]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword {code}:protected
bits 32
protected:
    mov ax, {data}
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, {stack}
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov edi, {log}
    mov ecx, {log_bytes} / 4
    cld
    rep stosd
    mov ax, {main_tss}
    ltr ax
    jmp body
gdtr: dw {gdt_limit}
    dd {gdt}
idtr: dw 0x3FF
    dd {idt}
resume: dd finish
log_at: dd {log}
old_esp: dd 0
log:
    push ebx
    mov ebx, [ss:log_at]
    mov [ss:ebx], eax
    add dword [ss:log_at], 4
    pop ebx
    ret
finish:
    mov ax, {data}
    mov ds, ax
    mov eax, [log_at]
    sub eax, {log}
    shr eax, 2
    mov [{log} + {log_bytes} - 4], eax
    mov esi, {log}
    mov ecx, {log_bytes}
    mov edx, 0xE9
    rep outsb
    mov al, 0
    out 0xF4, al
    cli
    hlt
common:
    mov ax, {data}
    mov ds, ax
    mov es, ax
    mov eax, [esp]
    add eax, {exception}
    call log
    mov eax, [esp + 4]
    call log
    mov eax, [esp + 8]
    call log
    mov eax, [esp + 12]
    and eax, 0xFFFF
    call log
    mov eax, [esp + 16]
    call log
    cmp dword [esp], 14
    jne .no_address
    mov eax, cr2
    call log
.no_address:
    mov ss, [flat_data]
    mov esp, {stack}
    jmp [resume]
flat_data: dd {data}
"""


class Program:
    """The bytes of a scenario and the addresses of its labels."""

    def __init__(
        self,
        body: str,
        gates: dict[int, tuple[int, str | int, int]] | None = None,
        gdt_entries: dict[int, bytes] | None = None,
        main: dict[str, int] | None = None,
        task: dict[str, str | int] | None = None,
        df_task: dict[str, str | int] | None = None,
        old: dict[str, str | int] | None = None,
        io_map: bytes = b"",
    ) -> None:
        table = gdt(gdt_entries or {})
        text = _ENTRY.format(
            origin=ORIGIN,
            code=CODE,
            data=DATA,
            stack=STACK0,
            log=LOG,
            log_bytes=LOG_BYTES,
            main_tss=MAIN_TSS,
            gdt=GDT,
            gdt_limit=len(table) - 1,
            idt=IDT,
            exception=EXCEPTION,
        )
        for vector in [*range(32), 0x40]:
            dummy = "" if vector in WITH_ERROR else f"push dword {NO_ERROR}\n"
            text += f"vector{vector}: {dummy}push dword {vector}\njmp common\n"
        text += f"body:\n{body}\njmp finish\n"
        code = assemble(text)
        self.symbols = code.symbols

        def number(value: str | int) -> int:
            return self.symbols[value] if isinstance(value, str) else value

        idt = bytearray(0x400)
        for vector in range(32):
            idt[8 * vector : 8 * vector + 8] = gate(CODE, self.symbols[f"vector{vector}"], 0x8E)
        idt[8 * 0x40 : 8 * 0x41] = gate(CODE, self.symbols["vector64"], 0xEE)
        for vector, (selector, where, kind) in (gates or {}).items():
            idt[8 * vector : 8 * vector + 8] = gate(selector, number(where), kind)
        image = bytearray(IMAGE_END - ORIGIN)
        assert len(bytes(code)) <= GDT - ORIGIN
        tables = {
            ORIGIN: bytes(code),
            GDT: table,
            IDT: bytes(idt),
            TSS: tss32(**({"esp0": STACK0, "ss0": DATA, "esp1": STACK1, "ss1": DATA1 | 1} | (main or {})))
            + io_map,
            TSS + 0x100: tss32(**{k: number(v) for k, v in (task or {}).items()}),
            TSS + 0x200: tss32(**{k: number(v) for k, v in (df_task or {}).items()}),
            TSS + 0x300: tss16(**{k: number(v) & 0xFFFF for k, v in (old or {}).items()}),
        }
        for address, data in tables.items():
            image[address - ORIGIN : address - ORIGIN + len(data)] = data
        self.image = bytes(image)

    def __getitem__(self, label: str) -> int:
        return self.symbols[label]

    def set_dword(self, address: int, value: int) -> None:
        place = address - ORIGIN
        self.image = self.image[:place] + value.to_bytes(4, "little") + self.image[place + 4 :]

    def set_gate(self, vector: int, selector: int, offset: int, kind: int) -> None:
        """Replace a gate after assembly."""
        place = IDT - ORIGIN + 8 * vector
        self.image = self.image[:place] + gate(selector, offset, kind) + self.image[place + 8 :]


class Fault(NamedTuple):
    """What a gate was given: vector, error code (None: it pushed none), and the frame."""

    vector: int
    error: int | None
    eip: int
    cs: int
    eflags: int
    cr2: int | None = None


def entries(data: bytes) -> list[int | Fault]:
    """The log: a number for each `call log`, a Fault for each exception."""
    values = list(struct.unpack(f"<{len(data) // 4}I", data))
    log: list[int | Fault] = []
    count = values[-1]  # `finish` leaves there where the log ended
    at = 0
    while at < count:
        value = values[at]
        at += 1
        if EXCEPTION <= value < EXCEPTION + 256:
            vector = value - EXCEPTION
            error, eip, cs, eflags = values[at : at + 4]
            at += 4
            cr2 = None
            if vector == 14:
                cr2 = values[at]
                at += 1
            log.append(Fault(vector, None if error == NO_ERROR else error, eip, cs, eflags, cr2))
        else:
            log.append(value)
    return log


def faults(log: list[int | Fault]) -> list[int | tuple[int, int | None]]:
    """The log with vector and error code only."""
    return [(e.vector, e.error) if isinstance(e, Fault) else e for e in log]


def new_machine(program: Program, machine: Machine | None = None) -> Machine:
    m = machine or Machine(ram="1MiB", devices=())
    m.load(program.image, at=ORIGIN)
    m.cpu.cs = ORIGIN >> 4
    m.cpu.eip = 0
    return m


def run_here(program: Program, limit: int = 100_000) -> list[int | Fault]:
    m = new_machine(program)
    m.run(max_instructions=limit)
    assert m.cpu.eip - 1 < program["common"], f"did not finish: {m.cpu}"
    return entries(m.read(LOG, LOG_BYTES))


#: Copies the image from the ROM at F0000h to where it belongs, and starts it.
_ROM = """
bits 16
org 0xFF00
    cli
    mov al, 2
    out 0x92, al
    mov ax, 0xF000
    mov ds, ax
    mov ax, {segment}
    mov es, ax
    xor si, si
    xor di, di
    mov cx, {count}
    cld
    rep movsd
    jmp {segment}:0
    times 0xFFF0 - 0xFF00 - ($ - $$) db 0xF4
    jmp 0xF000:0xFF00
    times 0x100 - ($ - $$) db 0
"""


def rom_of(program: Program) -> bytes:
    """The image as a firmware that starts it."""
    rom = bytearray(0x10000)
    rom[: len(program.image)] = program.image
    rom[0xFF00:] = bytes(assemble(_ROM.format(segment=ORIGIN >> 4, count=len(program.image) // 4)))
    return bytes(rom)


def run_qemu(program: Program, cpu: str = "pentium2") -> list[int | Fault]:
    """The same image as the firmware of a QEMU machine; skips where QEMU is not installed."""
    qemu = shutil.which("qemu-system-i386")
    if qemu is None:
        pytest.skip("qemu-system-i386 is not installed")
    with tempfile.TemporaryDirectory() as folder:
        image, output = Path(folder) / "rom.bin", Path(folder) / "log"
        image.write_bytes(rom_of(program))
        command = [qemu, "-accel", "tcg", "-cpu", cpu, "-m", "4", "-bios", str(image), "-nodefaults"]
        command += ["-display", "none", "-no-reboot", "-debugcon", f"file:{output}"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        try:
            subprocess.run(command, capture_output=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            pytest.fail("QEMU did not come to an end")
        return entries(output.read_bytes())


_BOCHSRC = """
display_library: rfb, options="timeout=0"
cpu: model=pentium_mmx
megs: 4
romimage: file=rom.bin, address=0xffff0000
vgaromimage: file=none.bin
port_e9_hack: enabled=1
sound: waveoutdrv=file, waveout=/dev/null, waveindrv=dummy, midioutdrv=dummy
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, extfpuirq=0, parallel=0, serial=0, gameport=0
log: bochs.log
"""


def run_bochs(program: Program) -> list[int | Fault]:
    """The same in Bochs, if it is there and built with its debugger, as Debian's is."""
    bochs = shutil.which("bochs")
    if bochs is None:
        pytest.skip("Bochs is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("rom.bin", rom_of(program)), ("none.bin", bytes(0x8000)), ("go", b"c\n")):
            (Path(folder) / name).write_bytes(data)
        (Path(folder) / "bochsrc").write_text(_BOCHSRC)
        command = [bochs, "-q", "-f", "bochsrc", "-rc", "go"]
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        timer = threading.Timer(20, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if line.startswith(b"(0)"):  # the debugger shows the first instruction, then it runs
                    break
            log = process.stdout.read(LOG_BYTES)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
        if len(log) < LOG_BYTES:
            pytest.skip("this Bochs does not run from a script")
        return entries(log)
