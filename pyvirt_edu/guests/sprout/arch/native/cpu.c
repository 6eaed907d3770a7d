/*
 * Instructions that only ring 0 may use, a function each: halting, control registers for paging,
 * and ports. The rest of the kernel calls these and is plain C.
 */
#include "../../include/kernel.h"

/* STI takes effect after the instruction that follows it, so no interrupt comes before HLT. */
void cpu_idle(void) {
    asm volatile("sti; hlt; cli" : : : "memory");
}

void cpu_serve_interrupts(void) {
    asm volatile("sti; nop; cli" : : : "memory");
}

void cpu_stop(void) {
    for (;;)
        asm volatile("cli; hlt");
}

/* An interrupt that cannot be delivered shuts the processor down, and the board resets it. */
void cpu_reset(void) {
    struct __attribute__((packed)) {
        u16 limit;
        u32 base;
    } none = {0, 0};
    port_out8(0x64, 0xfe); /* the keyboard controller's reset line, where there is one */
    asm volatile("lidt %0; int3" : : "m"(none));
    cpu_stop();
}

u64 cpu_cycles(void) {
    u64 value;
    asm volatile("rdtsc" : "=A"(value));
    return value;
}

void mmu_set(pte *entry, pte value) {
    *(volatile pte *)entry = value;
}

void mmu_load(u32 root) {
    asm volatile("mov %0, %%cr3" : : "r"(root) : "memory");
}

void mmu_flush(u32 address) {
    asm volatile("invlpg %0" : : "m"(*(char *)address) : "memory");
}

u32 mmu_fault_address(void) {
    u32 address;
    asm volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

u8 port_in8(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

u32 port_in32(u16 port) {
    u32 value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void port_out8(u16 port, u8 value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void port_out16(u16 port, u16 value) {
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

void port_out32(u16 port, u32 value) {
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

void port_in16s(u16 port, void *to, u32 count) {
    asm volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

void port_out16s(u16 port, const void *from, u32 count) {
    asm volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
