"""Productions about protection: segments, stacks, tasks, interrupts.

The sections are the manual's, volume 3A."""

from __future__ import annotations

from pyvirt_edu.hypervisor.descriptors import descriptor
from pyvirt_edu.hypervisor.trap_gates import MONITOR_AT

from . import attack_kernel as k
from .attack_kernel import CODE, DATA, LOOT, SCRATCH, TABLE, TASK, TSS, USER_CODE, USER_DATA, gate, put
from .attack_words import BIG, M32, G, Production, Words

# --- segments: 3.4, chapter 5 -------------------------------------------------------------------------


def data_segment(w: Words) -> str:
    """Expand-up and expand-down, big or not, and code; with any base and limit, used at its edges."""
    base = w.number(SCRATCH, SCRATCH, LOOT, 0, 0xFFFF_0000, MONITOR_AT - 0x1000, MONITOR_AT, M32 - 0xFFF)
    limit, flags = w.number(0, 0xF, 0xFFF, 0xFFFF, 0xFFFFF), w.number(0, BIG, G, G | BIG, G | BIG)
    kind = w.number(0, 1, 2, 2, 2, 3, 4, 6, 6, 6, 6, 7, 8, 0xA, 0xE)
    access = w.number(0x10, 0x90, 0x90, 0x90, 0x90, 0x90) | w.number(0, 0, 0, 1, 2, 3) << 5 | kind
    top = limit << 12 | 0xFFF if flags & G else limit
    register = w.pick("ds | es | fs | gs | ss")
    code = w.load(register, w.segment(base, limit, access, flags) | w.number(0, 0, 0, 0, 0, 3))
    if kind & 12 == 4 and flags & BIG or base >= MONITOR_AT - 0x1000:
        w.wild()
    if register == "ss":
        esp = w.number(top, top + 1, 4, 0x10000) & M32
        w.around(base + (esp if flags & BIG else esp & 0xFFFF), 0x10)
        return f"{code}; mov esp, {esp:#x}; {w.kick()}"
    for _ in range(w.number(1, 2, 3)):
        target = w.address()
        edge = w.number(0, top - 3, top - 2, top, top + 1, 0xFFFC)
        offset = w.number(edge, target - base) & M32
        w.around(base + offset, 0)
        code += f"; {w.touch(register, offset)}"
    return code


def segment_over_the_monitor(w: Words) -> str:
    """Expand-down, based above the top, over the end of the address space, flat: all reach there (5.3)."""
    below, access = w.number(0, SCRATCH), w.number(0x92, 0xF2, 0x93)
    base, limit, kind = w.random.choice(
        ((below, w.number(0, 0xFF, 0xFFFF), 4), (MONITOR_AT + w.number(0, -0x10, 0xA000), 0xFFFFF, 0))
        + ((w.number(0xFFFF_0000, 0x8000_0000), 0xFFFFF, 0), (0, 0xFFFFF, 0))
    )
    selector, register = w.segment(base, limit, access | kind, G | BIG), w.pick("ds | es | fs | gs | ss")
    targets = [w.in_monitor() - base & M32 for _ in range(w.number(1, 2, 3))]
    if register == "ss":
        return f"{w.load('ss', selector & ~3)}; mov esp, {targets[0]:#x}; {w.kick()}"
    return "; ".join([w.load(register, selector), *(w.touch(register, target) for target in targets)])


def flat_access(w: Words) -> str:
    """The monitor's linear addresses and its frames, through the kernel's own segments."""
    code = "; ".join(w.touch(w.pick("ds | es | ss"), w.address()) for _ in range(w.number(1, 2, 3)))
    w.wild()
    return code


def code_segment(w: Words) -> str:
    """Conforming, execute-only, of 16 bits, short, absent; by jump, call, return and IRET."""
    base, limit = w.number(0, 0, 0, 0x1000, MONITOR_AT, 0xFFFF_0000), w.number(0xFFFFF, 0xFFFFF, 0x12, 0)
    flags, access = w.number(G | BIG, G | BIG, G | BIG, G, BIG), w.number(0x98, 0x98, 0x98, 0x18)
    access |= w.number(0, 0, 0, 1, 2, 3) << 5 | w.random.randrange(8)
    selector, there = w.segment(base, limit, access, flags) | w.number(0, 0, 0, 1, 3), w.label()
    if base >= MONITOR_AT or flags in (G, BIG) or access & 0x60 in (0x20, 0x40) or selector & 1:
        w.wild()  # other bits, rings 1 and 2
    offset = f"{there} - {base:#x}" if base < MONITOR_AT else f"{there} + {(1 << 32) - base:#x}"
    if limit < 0xFFFFF and w.chance(0.5):
        offset = f"{w.number(0, 0x12FFF, 0x13000, 0xFFF):#x}"
    far, frame = f"{selector:#x}:{offset}", f"push {selector:#x}; push {offset}"
    go = w.pick(f"jmp {far} | call {far} | {frame}; retf | pushfd; {frame}; iretd")
    return f"{go}; {there}: mov eax, [cs:{TABLE:#x}]; {put('x')}"


def system_selector(w: Words) -> str:
    """Any selector in any register, and as a task, an LDT, a far target."""
    selector, register = w.selector(), w.pick("ds | es | fs | gs | ss")
    far = f"jmp {selector:#x}:0 | call {selector:#x}:{w.number(0, 0x12345678):#x}"
    if w.chance(0.5):
        return f"mov ax, {selector:#x}; {w.pick(f'lldt ax | ltr ax | {far}')}"
    return f"{w.load(register, selector)}; {w.touch('es' if register == 'ss' else register, w.low())}"


def monitor_selector(w: Words) -> str:
    """Those that a monitor may have in its own GDT, in every place that takes one."""
    selector, there = w.monitor_selector(), w.label()
    if w.chance(0.5):
        register = w.pick("ds | es | fs | gs")
        return f"{w.load(register, selector)}; {w.touch(register, w.in_monitor())}"
    frame = f"push {selector:#x}; push {w.pick(there, hex(w.stub()))}"
    outer = f"push {selector:#x}; push {w.in_monitor():#x}; push 2; push {USER_CODE}; push {there}; iretd"
    far = f"jmp {selector:#x}:{there} | call {selector:#x}:{w.stub():#x}"
    frames = f"{frame}; retf | pushfd; {frame}; iretd | {outer}"
    system = f"mov ax, {selector:#x}; {w.pick('ltr ax | lldt ax | mov ss, ax')}"
    return w.pick(f"{far} | {frames} | {system}") + f"; {there}: nop"


def late_descriptor(w: Words) -> str:
    """A descriptor written after LGDT: the processor looks when it loads."""
    selector = w.segment(0, 0, 0)
    kind = w.number(0x92, 0x90, 0xF2, 0x12, 0x96, 0x89, 0x82)
    value, at = descriptor(w.number(SCRATCH, LOOT), w.number(0xF, 0xFFF), kind, BIG), f"gdt + {selector}"
    write = f"mov dword [{at}], {value & M32:#x}; mov dword [{at} + 4], {value >> 32:#x}"
    use = w.touch("fs", w.number(0, 0xC, 0xD, 0x10, 0xFFC, 0x1000))
    return f"{write}; {w.perhaps(0.5, 'lgdt [gdt_pointer]')}mov ax, {selector:#x}; mov fs, ax; {use}"


def table_somewhere(w: Words, load: str, table: str, limits: tuple[int, ...]) -> str:
    """LGDT or LIDT of a table beyond RAM, on two pages, in the monitor; there may be a copy there."""
    pointer, at = w.label(), w.address()
    w.data.append(f"{pointer}: dw {w.number(*limits):#x}\ndd {at:#x}")
    copy = w.perhaps(0.7, f"mov esi, {table}; mov edi, {at:#x}; mov ecx, 128; cld; rep movsd")
    return f"{copy}{load} [{pointer}]; "


def gdt_somewhere(w: Words) -> str:
    where = table_somewhere(w, "lgdt", "gdt", (0, 0xF, 0x16, 0x17, 0x2F, 0x1FF, 0x1FF, 0xFFFF))
    return f"{where}mov ax, {w.number(DATA, USER_DATA, 0x30):#x}; mov es, ax; {w.kick()}"


def system_operand(w: Words) -> str:
    """What a monitor reads for an instruction that it does itself, in a segment of its own or not."""
    at, segment, load = w.around(w.address(), 8), "ds", ""
    if w.chance(0.4):
        segment = w.pick("fs | cs")
        load = (
            w.load("fs", w.segment(SCRATCH, w.number(3, 0xFFF), 0x92, BIG)) + "; " if segment == "fs" else ""
        )
    place = f"[{segment}:{at - SCRATCH * (segment == 'fs') & M32:#x}]"
    fill = (
        w.perhaps(0.5, f"mov dword {place}, {w.number(0, 9, 0x1FF01FF, 0x20028):#x}")
        if segment != "cs"
        else ""
    )
    use = w.pick("lgdt | lidt | lldt | ltr | lmsw | invlpg | smsw | mov ss,")
    return f"{load}{fill}{use} {place}; {w.kick()}"


def local_table(w: Words) -> str:
    """An LDT anywhere, with segments of its own (3.5.1)."""
    at = w.low() & ~7 if w.chance(0.6) else w.around(w.address(), 0x20)
    base = w.number(SCRATCH, SCRATCH, MONITOR_AT, MONITOR_AT - 0x1000)
    if base >= MONITOR_AT - 0x1000:
        w.wild()
    entry = descriptor(base, w.number(0xF, 0xFFF, 0xFFFFF), w.number(0x92, 0xF2, 0x96, 0x9A, 0xEC, 0x89), BIG)
    table = w.segment(at, w.number(7, 0xF, 0xFFF), w.number(0x82, 0x82, 0xE2, 0x02, 0x92))
    low, high = (f"mov dword [{at + n & M32:#x}], {entry >> 8 * (n - 8) & M32:#x}" for n in (8, 12))
    register, selector = w.pick("es | fs | gs"), 4 | w.number(8, 8, 0, 0x10) | w.number(0, 0, 3)
    use = w.touch(register, w.number(0, 0xC, 0x10, 0xFFC))
    return f"{low}; {high}; mov ax, {table:#x}; lldt ax; {w.load(register, selector)}; {use}"


def far_pointer(w: Words) -> str:
    """LDS and its sisters, JMP and CALL by a pointer in memory, which may lie anywhere."""
    at, there = w.around(w.address(), 8), w.label()
    fill = f"mov dword [{at:#x}], {there}; mov dword [{at + 4 & M32:#x}], {w.selector():#x}"
    use = w.pick("lds eax, | les ecx, | lfs edx, | lgs ebx, | lss esp, | jmp far | call far")
    after = f"; {w.kick()}" if "lss" in use else ""
    return f"{w.perhaps(0.7, fill)}{use} [{at:#x}]; {there}: nop{after}"


def call_gate(w: Words) -> str:
    """Gates of every kind, with parameters, to good and bad targets (5.8.3)."""
    target: str | int = "far_call" if w.chance(0.6) else w.number(w.stub(), 0, M32)
    code = w.number(CODE, CODE, USER_CODE & ~3, DATA, 0, TSS) if w.chance(0.8) else w.monitor_selector()
    word = w.number(0x8C, 0x8C, 0x84, 0x0C, 0x85) << 8 | w.random.randrange(4) << 13 | w.number(0, 0, 1, 31)
    selector = w.slot(gate(target, code, word)) | w.number(0, 0, 3)
    return f"{w.pick('call | call | jmp')} {selector:#x}:{w.number(0, w.random.randrange(1 << 32)):#x}"


# --- stacks: 5.8.5, 6.12 ------------------------------------------------------------------------------


def stack_somewhere(w: Words) -> str:
    at = w.address() if w.chance(0.7) else w.in_monitor()
    return f"mov esp, {w.around(at + w.number(0, 0, 4, 12) & M32, 0x100):#x}; {w.kick()}"


def small_stack(w: Words) -> str:
    """SS.B = 0: SP alone counts, and wraps."""
    selector = w.segment(
        w.number(SCRATCH, LOOT), w.number(0xFFFF, 0xFFFF, 0xFFF, 3), w.number(0x92, 0x92, 0x96)
    )
    esp = w.number(0, 1, 2, 4, 0xFFE, 0xFFFE, 0x12340010)
    return f"mov ax, {selector:#x}; mov ss, ax; mov esp, {esp:#x}; {w.kick()}"


def unmapped_stack(w: Words) -> str:
    page = w.number(SCRATCH, LOOT)
    absent = f"mov dword [{TABLE + (page >> 10):#x}], {page | w.number(0, 0, 1, 3, 5):#x}"
    esp = page + w.number(4, 8, 0x800, 0x1000, 0x1004)
    return f"call tables; {absent}; call enable; mov esp, {esp:#x}; {w.kick()}"


def stack_of_ring_0(w: Words) -> str:
    """The TSS names the stack for entries from ring 3: wherever one likes."""
    esp = w.around(w.address() if w.chance(0.6) else w.number(4, k.ENTRY_STACK, LOOT + 0x1000), 0x100)
    ss = w.number(DATA, DATA, DATA, DATA, DATA | 3, 0, CODE, USER_DATA) if w.chance(0.8) else w.selector()
    enter = w.ring_3(flags=w.number(2, 0x202, 0x3002))
    return f"mov dword [tss + 4], {esp:#x}; mov dword [tss + 8], {ss:#x}; {enter}{w.kick()}"


# --- tasks: chapter 7 ---------------------------------------------------------------------------------


def tss_somewhere(w: Words) -> str:
    access = w.number(0x89, 0x89, 0x8B, 0x81, 0x09, 0xE9, 0x92)
    selector = w.task(w.around(w.address(), 0x68), w.number(0x67, 0x67, 0x66, 0x2B, 0xFFFFF), access)
    return f"mov ax, {selector:#x}; ltr ax; {w.ring_3()}{w.kick()}"


def task_switch(w: Words) -> str:
    """By a jump, a call, a task gate in the GDT or the IDT; into a good task, or a spoilt one."""
    base = TASK if w.chance(0.7) else w.around(w.address(), 0x68)
    task = w.task(base, w.number(0x67, 0x67, 0x67, 0x66), w.number(0x89, 0x89, 0xE9, 0x8B, 0x81))
    through = w.slot(gate(0, task, w.number(0x8500, 0xE500, 0x0500)))
    vector = w.vector(gate(0, task, w.number(0x8500, 0xE500)))
    spoil = ""
    if w.chance(0.3):
        field = w.number(0x20, 0x48, 0x4C, 0x50, 0x38, 0x60, 0x24)
        good = w.number(0, 3, TSS, 0x2_0000, 0x3000, 0x4000)
        value = good if w.chance(0.7) else w.number(w.monitor_selector(), w.stub())
        spoil = f"mov dword [{TASK + field:#x}], {value:#x}; "
    go = w.pick(
        f"jmp {task:#x}:0 | call {task:#x}:0 | call {through:#x}:0 | jmp {through:#x}:0 | int {vector:#x}"
    )
    return f"call make_task; {spoil}{go}"


def nested_task_flag(w: Words) -> str:
    """IRET with NT goes to the task of the back link (7.4)."""
    link = w.selector() if w.chance(0.5) else w.task(access=w.number(0x8B, 0x89))
    set_nt = "pushfd; or dword [esp], 0x4000; popfd"
    return f"call make_task; mov word [tss], {link:#x}; {set_nt}; {w.pick('iretd | iretd | iretw')}"


# --- interrupts and exceptions: chapter 6 -------------------------------------------------------------


def idt_somewhere(w: Words) -> str:
    return table_somewhere(w, "lidt", "idt", (0, 0x6F, 0x18B, 0x1FE, 0x1FF, 0x1FF, 0x7FF, 0xFFFF)) + w.kick()


def gate_of_any_kind(w: Words) -> str:
    kind, dpl = w.number(14, 14, 15, 6, 7, 5, 12, 0, 31), w.random.randrange(4)
    target: str | int = w.pick("call | call | h6") if w.chance(0.6) else w.number(w.stub(), 0x1234_5678)
    ordinary = w.number(CODE, CODE, CODE | 3, DATA, USER_CODE, 0, TSS)
    selector = ordinary if w.chance(0.8) else w.monitor_selector()
    word = (w.number(0x80, 0x80, 0x80, 0) | dpl << 5 | kind) << 8
    return f"int {w.vector(gate(target, selector, word)):#x}"


def exceptions(w: Words) -> str:
    bounds = w.label()
    w.data.append(f"{bounds}: dd 1, 5")
    plain = f"bound eax, [{bounds}] | mov al, 127; inc al; into | int3 | int1 | ud2"
    divide = "xor ecx, ecx; div ecx | aam 0 | mov eax, 0x80000000; cdq; mov ecx, -1; idiv ecx"
    x87 = f"mov eax, cr0; xor eax, {w.bits((1, 2, 3, 5)):#x}; mov cr0, eax; fninit; fldz; fwait"
    unaligned = f"{w.ring_3(flags=0x40002)}mov eax, [{SCRATCH + 1:#x}]"
    aligned = f"mov eax, cr0; or eax, 0x40020; mov cr0, eax; {unaligned}"
    return w.pick(f"{plain} | int {w.random.randrange(256):#x} | {divide} | {x87} | {aligned}")


def halt(w: Words) -> str:
    """With interrupts off and on; nothing will come."""
    return w.perhaps(0.7, w.pick("sti | cli")) + "hlt"


def interrupts_as_exceptions(w: Words) -> str:
    """The interrupt controller told to use the vectors of exceptions, as after power on."""
    w.wild()
    chip = [(0x20, 0x11), (0x21, w.number(0, 8, 8, 0x20, 0x30, 0xF8)), (0x21, 4), (0x21, 1), (0x21, 0xFE)]
    clock = [(0x43, 0x34), (0x40, w.number(8, 40)), (0x40, 0)]
    told, again = "; ".join(f"mov al, {value}; out {port}, al" for port, value in chip + clock), w.label()
    return f"{told}; mov ecx, 6000; sti; {again}: {w.pick('nop | inc eax | hlt')}; loop {again}; cli"


PRODUCTIONS: tuple[Production, ...] = (
    *(data_segment, code_segment, system_selector, monitor_selector, late_descriptor),
    *(gdt_somewhere, system_operand, local_table, far_pointer, call_gate, stack_somewhere, small_stack),
    *(unmapped_stack, stack_of_ring_0, tss_somewhere, task_switch, nested_task_flag, idt_somewhere),
    *(gate_of_any_kind, exceptions, halt, interrupts_as_exceptions),
    *(flat_access, flat_access, segment_over_the_monitor, segment_over_the_monitor),
    *(data_segment, stack_somewhere),  # twice as often
)
