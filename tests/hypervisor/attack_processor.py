"""Productions about the processor: paging, its registers, flags, ports, the code itself.

The sections are the manual's, volume 3A where no other stands."""

from __future__ import annotations

from .attack_kernel import (
    CODE,
    DATA,
    DIRECTORY,
    LEAVE,
    LOOT,
    OTHER_TABLE,
    RAM,
    SCRATCH,
    STACK,
    TABLE,
    TSS,
    USER_CALL,
    USER_CODE,
    USER_DATA,
    USER_STACK,
    put,
)
from .attack_words import BIG, M32, SMALL, Production, Words

LOW_CODE = 0x8000  # within the reach of an IP of 16 bits
SILENT = LOOT + 0xC000  # nobody reads there

# --- paging: chapter 4 --------------------------------------------------------------------------------


def monitor_mapped(w: Words) -> str:
    """Page tables that lead to the monitor's frames, or claim its addresses."""
    flags, frame = w.number(1, 3, 7, 7, 0x67, 0x1E7), w.in_its_frames() & ~0xFFF
    entries = {TABLE + (SCRATCH >> 10): frame | flags}
    place = DIRECTORY + 4 * w.number(1023, 1022, 0x180)
    entries |= {place: w.number(frame | flags, OTHER_TABLE | 7, TABLE | 7, 0x87)}
    entries |= {OTHER_TABLE + 4 * i: frame + 4096 * i | flags for i in range(2)}
    other = w.number(w.in_monitor(), 0x6000_0000 + frame, 0xFF80_0000)
    at = SCRATCH + w.number(*SMALL) if w.chance(0.6) else other
    writes = "; ".join(f"mov dword [{at:#x}], {value:#x}" for at, value in entries.items())
    big = w.perhaps(0.5, "mov eax, cr4; or al, 0x10; mov cr4, eax")
    return f"call tables; {writes}; {big}call enable; {w.ring_3(0.3)}{w.touch('ds', at)}"


def rights_of_pages(w: Words) -> str:
    """Every combination of rights, changed with and without INVLPG; accessed and dirty bits."""
    entry, flush = TABLE + (SCRATCH >> 10), w.perhaps(0.7, f"invlpg [{SCRATCH:#x}]")
    if not flush:
        w.wild()  # the old translation may live or not
    wp = w.perhaps(0.5, "mov eax, cr0; or eax, 0x10000; mov cr0, eax")
    value = w.number(SCRATCH, LOOT, RAM, 0xFFFF_F000) | w.random.randrange(8)
    change = f"{w.perhaps(0.5, w.touch('ds', SCRATCH))}mov dword [{entry:#x}], {value:#x}; {flush}"
    use = f"{w.ring_3(0.4)}{w.touch('ds', SCRATCH + w.number(0, 0xFFE))}"
    return f"call tables; {wp}call enable; {change}{use}; mov eax, [{entry:#x}]; shr eax, 4; call show"


def recursive_tables(w: Words) -> str:
    """A directory that is its own page table, and changes through it."""
    slot = w.number(0x3FE, 0x300, 1)
    window = slot << 22
    change = f"mov dword [{window + (SCRATCH >> 10):#x}], {LOOT | w.number(1, 3, 7):#x}"
    look = f"mov eax, [{window + (slot << 12):#x}]; call show"
    enable = f"mov dword [{DIRECTORY + 4 * slot:#x}], {DIRECTORY | 7:#x}; call enable"
    return f"call tables; {enable}; {change}; {look}; invlpg [{SCRATCH:#x}]; {w.touch('ds', SCRATCH)}"


def physical_address_extension(w: Words) -> str:
    """CR4.PAE with good and bad entries for the four directories (4.4.1)."""
    entries = [
        OTHER_TABLE | 1,
        *(w.number(0, OTHER_TABLE | 1, OTHER_TABLE | 0x19, TABLE | 1) for _ in range(3)),
    ]
    if w.chance(0.3):
        entries[w.random.randrange(4)] |= w.number(2, 4, 0x1E0, 1)  # reserved, or of nowhere
    table = "; ".join(f"mov dword [{DIRECTORY + 8 * i:#x}], {entry:#x}" for i, entry in enumerate(entries))
    page = w.in_its_frames() & ~0xFFF if w.chance(0.3) else w.number(SCRATCH, 0)
    large = f"mov dword [{OTHER_TABLE:#x}], {w.number(0x87, 0x83, 0xE7, TABLE | 7):#x}"
    tables = f"call tables; {table}; {large}; mov dword [{OTHER_TABLE + 8:#x}], {page & ~0x1FFFFF | 0x87:#x}"
    enable = f"mov eax, cr4; or al, 0x20; mov cr4, eax; mov eax, {DIRECTORY:#x}; mov cr3, eax; call enable"
    return f"{tables}; {enable}; {w.touch('ds', w.number(SCRATCH, 0x20_0000 + page % 0x20_0000))}; {w.kick()}"


def directory_somewhere(w: Words) -> str:
    """CR3 beyond RAM, in the monitor's frames, with reserved bits."""
    good = w.number(DIRECTORY | 0x18, DIRECTORY | 0xFE7, RAM, 0xFFFF_F000, 0)
    at = w.in_its_frames() if w.chance(0.5) else good
    return f"call tables; mov eax, {at:#x}; mov cr3, eax; call enable; mov eax, cr3; call show; {w.kick()}"


# --- registers of the system: 2.5, 5.8.7; volume 3B, 17 and 19 ----------------------------------------


def control_register(w: Words) -> str:
    """Bits of CR0 to CR4 that are reserved, or do not go together."""
    name = w.pick("cr0 | cr0 | cr4 | cr4 | cr3 | cr2")
    known = {"cr0": (1, 2, 3, 5, 16, 18, 29, 30, 31, 8), "cr4": (*range(12), 13, 16, 20, 31)}
    change = f"mov eax, {name}; {w.pick('xor | or')} eax, {w.bits(known.get(name, tuple(range(32)))):#x}"
    if name == "cr0" and w.chance(0.2):
        change = f"mov eax, {w.number(0, 0x8000_0000, 0x8000_0000, 0x10, 0x6000_0010):#x}"
        if "0x80" not in change:
            w.wild()  # back to real mode
    show = f"mov eax, {name}; shr eax, {w.number(0, 0, 1, 4, 16, 28)}; call show"
    return f"{w.perhaps(0.5, 'call tables')}{change}; mov {name}, eax; {show}"


def machine_status_word(w: Words) -> str:
    value = w.number(0, 1, 8, 9, 0xF, 0xFFFF, 0xFFF0)
    return f"mov ax, {value:#x}; lmsw ax; {w.perhaps(0.3, 'clts')}mov eax, cr0; call show; fninit"


def debug_registers(w: Words) -> str:
    """Breakpoints on own instructions, data and the monitor's, and the bit that guards them all."""
    there = w.label()
    at = w.pick(there, f"{LOOT:#x}") if w.chance(0.6) else f"{w.in_monitor():#x}"
    control = w.number(0x401, 0x402, 0x10401, 0xD0401, 0xF0403, 0x2401, 0x2000, M32)
    use = f"{there}: mov dword [{LOOT:#x}], 1; mov eax, dr6; call show; xor eax, eax; mov dr7, eax"
    return f"mov eax, {at}; mov dr0, eax; mov eax, {control:#x}; mov dr7, eax; {use}"


RDPMC = "db 0x0f, 0x33; nop; nop; nop; nop; nop; nop"  # the assembler has no name for it


def model_specific(w: Words) -> str:
    """SYSENTER's registers, and those that are not there; counters and their locks."""
    there = w.label()
    where = there if w.chance(0.6) else f"{w.stub():#x}"
    values = {
        0x174: f"{w.number(CODE, CODE, 0, 3, DATA, 0xFFF8):#x}",
        0x175: f"{w.number(STACK, 0, LOOT):#x}",
    }
    values |= {0x176: where}
    if w.chance(0.3):
        values = {w.number(0x10, 0x1B, 0x8B, 0x277, 0xC0000080, 0x12345): f"{w.random.randrange(1 << 32):#x}"}
    writes = "; ".join(f"mov ecx, {n:#x}; mov eax, {v}; xor edx, edx; wrmsr" for n, v in values.items())
    lock = w.perhaps(0.3, "mov eax, cr4; or al, 4; mov cr4, eax")
    use = w.pick(f"sysenter | sysenter | sysexit | rdmsr | {RDPMC} | rdtsc")
    go = f"{w.ring_3(0.5)}mov edx, {there}; mov ecx, {USER_STACK:#x}; {use}"
    return f"{writes}; {lock}{go}; {there}: {put('s')}"


def selector_probe(w: Words) -> str:
    """Instructions that look at tables, and do not trap: what they say is not printed."""
    place = f"[{SILENT if w.chance(0.6) else w.in_monitor():#x}]"
    looks = "lar ecx, eax | lsl edx, eax | verr ax | verw ax | arpl ax, bx | str ecx | sldt edx | smsw ebx"
    stores = " | ".join(f"{name} {place}" for name in ("sgdt", "sidt", "str", "sldt", "smsw"))
    return f"mov ax, {w.selector():#x}; {w.some(4, f'{looks} | {stores}')}"


# --- flags: volume 1, 3.4.3; 6.8, chapter 20 ----------------------------------------------------------


def single_step(w: Words) -> str:
    """TF over instructions that a monitor does itself, or has put breakpoints on."""
    steps = "nop | cli | sti | mov eax, cr0 | out 0x80, al | in al, 0x80 | clts | lidt [idt_pointer]"
    steps += " | wbinvd | ud2 | pushfd; popfd | mov ax, ss; mov ss, ax; nop | pushfw; pop ax | rep lodsb"
    steps += f" | int {USER_CALL:#x}"
    on, off = "or dword [esp], 0x100", "and dword [esp], 0xfffffeff"
    return f"mov ecx, 3; pushfd; {on}; popfd; {w.some(w.number(1, 3, 5), steps)}; pushfd; {off}; popfd"


def flags_image(w: Words) -> str:
    """POPF and IRET with any flags, in both sizes; PUSHF then says what they are."""
    image, there = w.bits((0, 6, 9, 10, 11, 12, 13, 14, 16, 18, 19, 20, 21, 22)) | 2, w.label()
    jump = f"mov byte [{LOW_CODE:#x}], 0xe9; mov dword [{LOW_CODE + 1:#x}], {there} - {LOW_CODE + 5:#x}"
    word = f"push word {image & 0xFFFF:#x}"
    small = f"{word}; popfw | {jump}; {word}; push word {CODE}; push word {LOW_CODE:#x}; iretw"
    large = f"push {image:#x}; popfd | push {image:#x}; push {CODE}; push {there}; iretd"
    read = w.pick("pushfd; pop eax | xor eax, eax; pushfw; pop ax")
    set_flags, bit = w.pick(f"{small} | {large}"), w.number(8, 9, 12, 16, 18)
    return f"{set_flags}; {there}: {read}; shr eax, {bit}; call show; cld"


def io_privilege(w: Words) -> str:
    """IOPL 0 to 3 and the I/O permission bit map, for programs in ring 3 (volume 1, 19.5)."""
    use = w.pick(
        "cli | sti | out 0x80, al | in al, 0x80 | insb | outsb | out 0xe9, ax | mov dx, 0x3ff; in eax, dx"
    )
    enter = w.ring_3(flags=w.random.randrange(4) << 12 | 2)
    pointers = f"mov dx, 0x80; mov esi, {LOOT:#x}; mov edi, {LOOT:#x}"
    return f"{w.port_map()}{enter}{pointers}; {use}; int {USER_CALL:#x}"


def virtual_8086(w: Words) -> str:
    """IRET into the 8086, and what it does there (chapter 20)."""
    there = w.label()
    traps = f"out 0xe9, al | cli | sti | hlt | int {LEAVE:#x} | int {USER_CALL:#x} | pushf | popf | iret"
    far = "mov eax, cr0 | mov si, 0xffff; lodsw | mov ax, 0xffff; mov ds, ax; mov al, [0xffff]"
    body = w.pick(f"{traps} | {far} | db 0xea, 0, 0, 0, 0xf0").replace(";", "\n")
    w.data.append(f"bits 16\n{there}: mov al, 'v'\nout 0xe9, al\n{body}\nnop\nint {LEAVE:#x}\nhlt\nbits 32")
    segments = "; ".join(f"push {w.number(0, 0x1000, 0x6000, 0xFFFF)}" for _ in range(4))
    flags = 0x20002 | w.number(0, 1, 2, 3, 3, 3) << 12 | w.number(0, 0, 0, 0x100, 0x4000)
    stack = f"push {w.number(0x7000, 0)}; push {w.number(0xFFE, 0, 1)}; push {flags:#x}; push 0x1000"
    return f"{w.port_map() if w.chance(0.7) else ''}{segments}; {stack}; push {there} - 0x10000; iretd"


def return_frame(w: Words) -> str:
    """IRET and RETF to any selectors and flags, in both sizes."""
    there = w.label()
    cs = w.number(CODE, USER_CODE, USER_CODE, DATA, 0, 9, CODE | 3, TSS) if w.chance(0.7) else w.selector()
    ss = w.number(USER_DATA, USER_DATA, DATA, 0) if w.chance(0.8) else w.selector()
    if cs & 3 in (1, 2):
        w.wild()
    esp, eip = USER_STACK if w.chance(0.7) else w.address(), there if w.chance(0.7) else f"{w.stub():#x}"
    flags = w.number(2, 0x202, 0x3002, 0x102, 0x4002, 0x1_0002, 0x20_0002)
    use = w.pick("iretd | iretd | retf | iretw | retf 8 | o16 retf")
    middle = f"push {flags:#x}; " if "iret" in use else ""
    return f"push {ss:#x}; push {esp:#x}; {middle}push {cs:#x}; push {eip}; {use}; {there}: {put('r')}"


# --- jumps, ports, strings, code ----------------------------------------------------------------------


def jump_into_the_monitor(w: Words) -> str:
    """Over a frame as its gates would push it."""
    at = w.stub() if w.chance(0.7) else w.in_monitor()
    frame = DATA, LOOT, 2, w.selector(), SCRATCH, 0, w.number(3, 6, 13, 14)
    go = w.pick(f"mov eax, {at:#x}; jmp eax | push {at:#x}; ret | call {at:#x} | jmp {CODE}:{at:#x} | ud2")
    return "; ".join(f"push {value:#x}" for value in frame) + f"; {go}"


def code_at_an_edge(w: Words) -> str:
    """An instruction that goes on in a page that is not there, or behind the segment's end."""
    code = w.random.choice((b"\x0f\x20\xc0", b"\xfa", b"\xe6\x80", b"\xb8\1\2\3\4", b"\xf4", b"\x0f\1\x15"))
    page = SCRATCH + 0x1000
    at = page - w.number(1, 2, 3)
    write = "; ".join(f"mov byte [{at + i:#x}], {byte:#x}" for i, byte in enumerate(code))
    if w.chance(0.5):
        return f"{write}; jmp {w.segment(0, at + w.number(0, 1), 0x9A, BIG):#x}:{at:#x}"
    absent = f"mov dword [{TABLE + (page >> 10):#x}], 0"
    return f"{write}; call tables; {absent}; call enable; mov eax, {at:#x}; jmp eax"


def ports(w: Words) -> str:
    """What takes the computer from the host: mask its interrupts, its address line, reset, end."""
    chip, mask = w.number(0x11, 0x20, 0x0B), w.number(0, 0xFB, 0xFF)
    reset = w.number(0xFE, 0xD1, 0xDD, 0xAD)
    pairs = [(0x20, chip), (0x21, mask), (0x43, 0x30), (0x40, 1), (0x64, reset), (0x60, 0), (0xF4, 3)]
    pairs += [(0x92, w.number(0, 1, 2)), (0xCF9, w.number(0, 6, 0xE)), (0x1F7, w.number(0xE7, 0x20, 0xEC))]
    pairs += [(0x70, 0x8F), (0x3F8, 0x41), (0x80, 1), (0x61, 3)]
    some = w.random.sample(pairs, w.number(1, 2, 4))
    if (0x21, 0) in some or (0x20, 0x11) in some:
        w.wild()  # interrupts come
    out = w.pick("out dx, al | out dx, al | out dx, ax")
    return "; ".join(f"mov dx, {port:#x}; mov eax, {value:#x}; {out}" for port, value in some)


def string_ports(w: Words) -> str:
    """INS and OUTS with long counts and pointers to anywhere."""
    count, at = w.number(0, 1, 5, 0x400, M32, 0x10003, 0x7FFF_FFFF), w.around(w.address(), 0x1000)
    if count > 0x400:
        w.wild()
    prefix = w.pick("rep | rep | a16 rep | fs rep | nop;")
    port = w.number(0x80, 0x80, 0x1F0, 0xE9 if at in range(LOOT, LOOT + 0x1000) else 0x80)
    pointers = f"mov esi, {at:#x}; mov edi, {at:#x}; mov ecx, {count:#x}; {w.pick('cld | cld | std')}"
    return f"mov dx, {port:#x}; {pointers}; {prefix} {w.pick('outs | ins')}{w.pick('b | w | d')}; cld"


def strings(w: Words) -> str:
    """REP over the end of a segment, or into the monitor."""
    first, second = (w.around(w.address(), 0x4000) for _ in range(2))
    count = w.number(1, 16, 0x1000)
    pointers = f"mov esi, {first:#x}; mov edi, {second:#x}; mov ecx, {count}; {w.pick('cld | cld | std')}"
    use = w.pick("movsb | movsd | stosd | stosb | lodsd | scasb | cmpsd | stosw")
    return f"{pointers}; {w.pick('rep | rep | a16 rep')} {use}; cld"


def self_modifying(w: Words) -> str:
    """An instruction that traps becomes another, or comes to be, just before it is reached again."""
    there, again = w.label(), w.label()
    old = w.pick("cli | nop | sti | clts | mov eax, cr0 | pushfd | wbinvd")
    new = w.number(0x90, 0xFA, 0xFB, 0x60, 0x40, 0xF4)
    return f"mov ecx, 2; {again}: nop; {there}: {old}; mov byte [{there}], {new:#x}; loop {again}; {put('m')}"


def prefixes(w: Words) -> str:
    """Up to 15 bytes and beyond; LOCK where it may not be."""
    some = w.random.choices(b"\x66\x67\x2e\x36\x3e\x26\x64\x65\xf2\xf3", k=w.number(1, 3, 8, 13, 14, 15))
    some += [0xF0] * w.chance(0.3)
    ends = "fa | fb | f4 | 90 | 60 | 6c | aa | 0f06 | 0f20c0 | e480 | e680 | 0f0b | 0f09 | 0f22d8 | 0f00d8"
    code = ", ".join(map(hex, (*some, *bytes.fromhex(w.pick(f"{ends} | 0f01f0 | cd{USER_CALL:02x}")))))
    return f"mov edi, {LOOT:#x}; mov ecx, 2; mov edx, 0x80; db {code}"


def privileged(w: Words) -> str:
    """What needs ring 0; from ring 3 as well."""
    some = "cli | sti | clts | invd | wbinvd | invlpg [0x60000] | mov cr2, eax | mov eax, cr3 | mov cr3, eax"
    some += " | hlt | lidt [idt_pointer] | lgdt [gdt_pointer] | in al, 0x80 | out 0x80, al | rdmsr | lmsw ax"
    some += " | ltr cx"
    values = f"{w.perhaps(0.5, 'call tables')}mov ecx, 0x174; mov eax, {DIRECTORY | 9:#x}"
    return f"{values}; {w.some(w.number(1, 2, 4), some)}"


def random_bytes(w: Words) -> str:
    w.wild()
    code = ", ".join(map(hex, w.random.randbytes(w.number(4, 12, 24))))
    return f"db {code}; times 16 nop"


PRODUCTIONS: tuple[Production, ...] = (
    *(
        monitor_mapped,
        rights_of_pages,
        recursive_tables,
        physical_address_extension,
        directory_somewhere,
        control_register,
    ),
    *(machine_status_word, debug_registers, model_specific, selector_probe, single_step),
    *(flags_image, io_privilege, virtual_8086, return_frame, jump_into_the_monitor),
    *(code_at_an_edge, ports, string_ports, strings, self_modifying, prefixes, privileged),
    *(random_bytes, control_register, monitor_mapped),  # the last ones are twice as often
)
