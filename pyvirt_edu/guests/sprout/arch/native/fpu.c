/*
 * The floating-point unit is lent lazily. A switch of processes only sets CR0.TS; the first
 * floating-point instruction then raises "device not available", and here the registers change
 * hands. A process that never computes with floats never pays.
 *
 * Kept: the registers belong to `owner`; CR0.TS is clear only while the owner runs.
 */
#include "../../include/kernel.h"
#include "../../include/process.h"

enum { CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_NE = 0x20 };
enum { CR4_OSFXSR = 0x200, CR4_OSXMMEXCPT = 0x400 };
enum { CPUID_FXSR = 1 << 24, CPUID_SSE = 1 << 25 };

static struct process *owner;
static bool fxsr, sse;

bool fpu_has_fxsr(void) {
    return fxsr;
}

static void set_ts(void) {
    u32 cr0;
    asm volatile("mov %%cr0, %0; or %1, %0; mov %0, %%cr0" : "=&r"(cr0) : "i"(CR0_TS));
}

static void clear_ts(void) {
    asm volatile("clts");
}

void fpu_start(void) {
    u32 eax = 1, ebx, ecx, edx, cr0, cr4;
    asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    fxsr = edx & CPUID_FXSR;
    sse = edx & CPUID_SSE;
    asm volatile("mov %%cr0, %0" : "=r"(cr0));
    cr0 = (cr0 & ~CR0_EM) | CR0_MP | CR0_NE | CR0_TS;
    asm volatile("mov %0, %%cr0" : : "r"(cr0));
    if (fxsr) {
        asm volatile("mov %%cr4, %0" : "=r"(cr4));
        cr4 |= CR4_OSFXSR | (sse ? CR4_OSXMMEXCPT : 0);
        asm volatile("mov %0, %%cr4" : : "r"(cr4));
    }
}

static void store(struct process *p) {
    if (fxsr) {
        asm volatile("fxsave %0" : "=m"(p->arch.fpu));
    } else {
        asm volatile("fnsave %0; frstor %0" : "+m"(p->arch.fpu));
    }
}

static void fresh(void) {
    static const u32 default_mxcsr = 0x1f80;
    asm volatile("fninit");
    if (sse)
        asm volatile("ldmxcsr %0" : : "m"(default_mxcsr));
}

void fpu_switch(struct process *to) {
    if (owner == to)
        clear_ts();
    else
        set_ts();
}

void fpu_take(struct process *p) {
    clear_ts();
    if (owner == p)
        return;
    if (owner)
        store(owner);
    owner = p;
    if (!p->arch.fpu_used)
        fresh();
    else if (fxsr)
        asm volatile("fxrstor %0" : : "m"(p->arch.fpu));
    else
        asm volatile("frstor %0" : : "m"(p->arch.fpu));
    p->arch.fpu_used = true;
}

void fpu_save(struct process *p) {
    if (owner == p) {
        clear_ts();
        store(p);
        fpu_switch(current);
    }
}

void fpu_drop(struct process *p) {
    if (owner == p) {
        owner = NULL;
        set_ts();
    }
}

void fpu_clear_exceptions(void) {
    asm volatile("fnclex");
}
