/*
 * Traps: system calls, interrupts of devices, and faults. Every way into the kernel leads here, and
 * every way back to a program passes the end of trap(): there signals act and the processor may
 * change hands.
 *
 * Kept: a fault in ring 0 is a bug of the kernel, and ends in panic(). A fault in ring 3 is the
 * program's, and ends with the program.
 */
#include "../include/process.h"

static void (*irq_handlers[16])(void);

void irq_install(u32 irq, void (*handler)(void)) {
    irq_handlers[irq] = handler;
    pic_enable(irq);
}

static void interrupt(u32 irq) {
    if (!pic_begin(irq))
        return;
    if (irq_handlers[irq])
        irq_handlers[irq]();
    pic_end(irq);
}

static const struct {
    u8 vector, signal, code;
    const char *what;
} faults[] = {
    {TRAP_DIVIDE, SIGFPE, 1, "division error"},
    {TRAP_DEBUG, SIGTRAP, 2, "single step"},
    {TRAP_BREAKPOINT, SIGTRAP, 1, "breakpoint"},
    {TRAP_OVERFLOW, SIGSEGV, 0, "overflow"},
    {TRAP_BOUND, SIGSEGV, 0, "array index out of bounds"},
    {TRAP_OPCODE, SIGILL, 2, "invalid instruction"},
    {TRAP_FPU, SIGFPE, 3, "floating-point exception"},
    {TRAP_SIMD, SIGFPE, 3, "floating-point exception"},
    {TRAP_ALIGNMENT, SIGBUS, 1, "unaligned access"},
};

static void fault(struct trap_frame *f) {
    for (u32 i = 0; i < ARRAY_SIZE(faults); i++)
        if (faults[i].vector == f->vector) {
            if (f->vector == TRAP_FPU)
                fpu_clear_exceptions();
            if (f->vector == TRAP_DEBUG)
                f->eflags &= ~(u32)FLAG_TF;
            signal_crash(f, faults[i].signal, faults[i].code, f->eip, faults[i].what);
            return;
        }
    signal_crash(f, SIGSEGV, 128, f->eip, "privileged instruction or bad selector");
}

void trap(struct trap_frame *f) {
    bool from_program = (f->cs & 3) == 3;
    if (f->vector >= TRAP_IRQ && f->vector < TRAP_IRQ + 16)
        interrupt(f->vector - TRAP_IRQ);
    else if (!from_program)
        panic("trap %u in the kernel: error %x, eip %08x, address %08x, in %s[%d]", f->vector, f->error,
              f->eip, mmu_fault_address(), current->name, current->pid);
    else if (f->vector == TRAP_SYSCALL)
        system_call(f);
    else if (f->vector == TRAP_PAGE)
        page_fault(f);
    else if (f->vector == TRAP_NO_FPU)
        fpu_take(current);
    else
        fault(f);

    if (!from_program)
        return; /* an interrupt while the kernel was idle */
    if (need_reschedule)
        schedule();
    if (signal_waiting(current) || current->call != -1u)
        signal_deliver(f); /* a call that was interrupted is made again, or ends with EINTR */
    current->call = -1u;
}
