/*
 * What the kernel asks of the architecture layer. Everything that needs ring 0 is behind these
 * functions; arch/native answers them with privileged instructions.
 */
#pragma once
#include "layout.h"
#include "types.h"

/* What a trap leaves on the kernel stack, lowest address first. */
struct trap_frame {
    u32 gs, fs, es, ds;
    u32 edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
    u32 vector, error;
    u32 eip, cs, eflags;
    u32 esp, ss; /* only if the trap came from ring 3 */
};

enum {
    TRAP_DIVIDE = 0, TRAP_DEBUG = 1, TRAP_BREAKPOINT = 3, TRAP_OVERFLOW = 4, TRAP_BOUND = 5,
    TRAP_OPCODE = 6, TRAP_NO_FPU = 7, TRAP_DOUBLE = 8, TRAP_PAGE = 14,
    TRAP_FPU = 16, TRAP_ALIGNMENT = 17, TRAP_SIMD = 19, TRAP_IRQ = 32, TRAP_SYSCALL = 0x80,
};

enum { FLAG_TF = 0x100, FLAG_IF = 0x200, FLAG_DF = 0x400 };
#define USER_FLAGS 0x00050dd5 /* AC RF OF DF TF SF ZF AF PF CF: what a program may change */

enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_USER = 4 };

/* What the processor keeps for a process while that does not run. */
struct arch_state {
    u32 stack;              /* kernel ESP, when it gave the processor away */
    u64 tls[TLS_COUNT];     /* segment descriptors of set_thread_area */
    bool fpu_used;
    u8 fpu[512] __attribute__((aligned(16)));
};

struct process;

void arch_start(void);                                              /* descriptor tables */
void arch_prepare(struct process *p, const struct trap_frame *f);   /* its first return to ring 3 */
void arch_switch(struct process *from, struct process *to);
struct trap_frame *arch_frame(struct process *p);
/* flags as in Linux's struct user_desc */
enum { SEG_32BIT = 1, SEG_CONTENTS = 6, SEG_READ_ONLY = 8, SEG_PAGES = 16, SEG_ABSENT = 32,
       SEG_USEABLE = 64 };
int arch_set_tls(struct process *p, u32 index, u32 base, u32 limit, u32 flags);
bool arch_selector_valid(struct process *p, u32 selector);

void arch_crash_root(u32 root);

void cpu_idle(void);                                                /* until an interrupt was served */
void cpu_serve_interrupts(void);                                    /* those that wait */
void cpu_stop(void) __attribute__((noreturn));
void cpu_reset(void) __attribute__((noreturn));
u64 cpu_cycles(void);

/* Page tables. An entry is a frame's address and these bits. */
typedef u32 pte;
enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4 };
#define PTE_FRAME 0xfffff000u
void mmu_set(pte *entry, pte value);
void mmu_load(u32 root);
void mmu_flush(u32 address);
u32 mmu_fault_address(void);

/* The x87 and, where there is one, SSE: switched when somebody uses it. */
void fpu_start(void);
void fpu_switch(struct process *to);  /* to runs next */
void fpu_take(struct process *p);       /* device not available: p wants it */
void fpu_save(struct process *p);       /* p->arch.fpu is current afterwards */
void fpu_drop(struct process *p);       /* p's state is void */
bool fpu_has_fxsr(void);
void fpu_clear_exceptions(void);

u8 port_in8(u16 port);
u32 port_in32(u16 port);
void port_out8(u16 port, u8 value);
void port_out16(u16 port, u16 value);
void port_out32(u16 port, u32 value);
void port_in16s(u16 port, void *to, u32 count);
void port_out16s(u16 port, const void *from, u32 count);

/* Called by the architecture layer. */
void trap(struct trap_frame *f);
