/*
 * Segments, gates and tasks. Segmentation is out of the way: code and data segments cover all
 * 4 GiB, and paging protects. What remains of it: the ring in a selector, the stack of ring 0 in
 * the task segment, and three descriptors for thread-local storage.
 *
 * Kept: the task segment's stack is the current process's kernel stack, and the TLS descriptors
 * are the current process's.
 */
#include "../../include/kernel.h"
#include "../../include/process.h"

struct __attribute__((packed)) table_register {
    u16 limit;
    u32 base;
};

struct task_segment {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt;
    u16 trap, io_map;
};

enum { CODE = 0x9a, DATA = 0x92, RING3 = 0x60, TASK = 0x89, BIG_4G = 0xc };
enum { INTERRUPT_GATE = 0x8e, TASK_GATE = 0x85 };

static u64 gdt[10];
static u64 idt[TRAP_SYSCALL + 1];
static struct task_segment task, crash_task;
static u8 crash_stack[4096];

extern const u32 trap_stubs[48], system_call_stub;
void leave_kernel(void);
void switch_stacks(u32 *save, u32 load);

static u64 descriptor(u32 base, u32 limit, u32 type, u32 flags) {
    u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40;
    return d | (u64)(limit >> 16 & 0xf) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static u64 gate(u32 selector, u32 offset, u32 type) {
    return (offset & 0xffff) | (u64)selector << 16 | (u64)type << 40 | (u64)(offset >> 16) << 48;
}

/* A fault that found no stack to be delivered on: the processor switches to this task. */
static void crashed(void) {
    panic("double fault: eip %08x esp %08x, the kernel stack is used up", task.eip, task.esp);
}

void arch_start(void) {
    gdt[KERNEL_CS / 8] = descriptor(0, 0xfffff, CODE, BIG_4G);
    gdt[KERNEL_DS / 8] = descriptor(0, 0xfffff, DATA, BIG_4G);
    gdt[USER_CS / 8] = descriptor(0, 0xfffff, CODE | RING3, BIG_4G);
    gdt[USER_DS / 8] = descriptor(0, 0xfffff, DATA | RING3, BIG_4G);
    gdt[TASK_SELECTOR / 8] = descriptor((u32)&task, sizeof(task) - 1, TASK, 0);
    gdt[CRASH_TASK_SELECTOR / 8] = descriptor((u32)&crash_task, sizeof(crash_task) - 1, TASK, 0);
    task.ss0 = KERNEL_DS;
    task.io_map = crash_task.io_map = sizeof(task); /* beyond the limit: no ports for ring 3 */
    crash_task.eip = (u32)crashed;
    crash_task.esp = (u32)(crash_stack + sizeof(crash_stack));
    crash_task.cs = KERNEL_CS;
    crash_task.ss = crash_task.ds = crash_task.es = KERNEL_DS;
    crash_task.eflags = 2;

    for (u32 i = 0; i < 48; i++) {
        /* INT3, INTO and BOUND are for programs; INT with any other number is a protection fault */
        u32 ring = i == TRAP_BREAKPOINT || i == TRAP_OVERFLOW || i == TRAP_BOUND ? RING3 : 0;
        idt[i] = gate(KERNEL_CS, trap_stubs[i], INTERRUPT_GATE | ring);
    }
    idt[TRAP_DOUBLE] = gate(CRASH_TASK_SELECTOR, 0, TASK_GATE);
    idt[TRAP_SYSCALL] = gate(KERNEL_CS, system_call_stub, INTERRUPT_GATE | RING3);

    struct table_register g = {sizeof(gdt) - 1, (u32)gdt}, i = {sizeof(idt) - 1, (u32)idt};
    asm volatile("lgdt %0; ljmp %1, $1f; 1:" : : "m"(g), "i"(KERNEL_CS));
    asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(KERNEL_DS));
    asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
    asm volatile("lidt %0; ltr %w1; lldt %w2" : : "m"(i), "r"(TASK_SELECTOR), "r"(0));
    fpu_start();
}

/* For the double fault: once the last page directory is there. */
void arch_crash_root(u32 root) {
    crash_task.cr3 = root;
}

struct trap_frame *arch_frame(struct process *p) {
    return (struct trap_frame *)p->stack_top - 1;
}

/* A stack as if the process had entered the kernel with frame f and then called switch_stacks. */
void arch_prepare(struct process *p, const struct trap_frame *f) {
    struct trap_frame *frame = arch_frame(p);
    *frame = *f;
    u32 *stack = (u32 *)frame;
    *--stack = (u32)leave_kernel;
    for (int i = 0; i < 4; i++)
        *--stack = 0; /* EBP, EBX, ESI, EDI */
    p->arch.stack = (u32)stack;
}

void arch_load_tls(struct process *p) {
    for (u32 i = 0; i < TLS_COUNT; i++)
        gdt[TLS_FIRST + i] = p->arch.tls[i];
}

void arch_switch(struct process *from, struct process *to) {
    task.esp0 = to->stack_top;
    arch_load_tls(to);
    fpu_switch(to);
    switch_stacks(&from->arch.stack, to->arch.stack);
}

int arch_set_tls(struct process *p, u32 index, u32 base, u32 limit, u32 flags) {
    u64 d = 0;
    if (!(flags & SEG_ABSENT)) {
        if (flags & SEG_CONTENTS)
            return -EINVAL; /* data that grows up only */
        u32 type = (flags & SEG_READ_ONLY ? 0x90 : 0x92) | RING3;
        u32 high = (flags & SEG_PAGES ? 8 : 0) | (flags & SEG_32BIT ? 4 : 0) | (flags & SEG_USEABLE ? 1 : 0);
        d = descriptor(base, limit, type, high);
    }
    p->arch.tls[index] = d;
    if (p == current)
        arch_load_tls(p);
    return 0;
}

/* Whether ring 3 may have it in DS, ES, FS or GS: loading any other would fault in ring 0. */
bool arch_selector_valid(struct process *p, u32 selector) {
    u32 index = selector >> 3;
    if ((selector & 0xffff) < 4)
        return true;
    if ((selector & 7) != 3)
        return false;
    if (index == USER_CS / 8 || index == USER_DS / 8)
        return true;
    return index >= TLS_FIRST && index < TLS_FIRST + TLS_COUNT && p->arch.tls[index - TLS_FIRST] != 0;
}
