/*
 * System calls: INT 80h with the number in EAX, arguments in EBX, ECX, EDX, ESI, EDI, EBP, and the
 * result in EAX, as on Linux for i386.
 */
#include "../include/call_names.h"
#include "../include/calls.h"
#include "../include/process.h"

typedef int call(u32 a, u32 b, u32 c, u32 d, u32 e, u32 f);

/* A function that takes fewer words than it is given leaves the others alone. */
#define DECLARE(number, name) int sys_##name(u32, u32, u32, u32, u32, u32);
SYSTEM_CALLS(DECLARE)

#define ENTRY(number, name) [number] = sys_##name,
static call *const table[] = {SYSTEM_CALLS(ENTRY)};

/* What is not there says so by name, once. */
static int not_there(u32 number) {
    static u32 told[512 / 32];
    if (number >= 512 || !(told[number / 32] >> number % 32 & 1)) {
        bool named = number < ARRAY_SIZE(call_names) && call_names[number];
        if (number < 512)
            told[number / 32] |= 1u << number % 32;
        if (number < 512)
            print("%s[%d]: system call %u (%s) is not supported\n", current->name, current->pid, number,
                  named ? call_names[number] : "unknown");
    }
    return -ENOSYS;
}

void system_call(struct trap_frame *f) {
    u32 number = f->eax;
    current->call = number;
    if (number < ARRAY_SIZE(table) && table[number])
        f->eax = (u32)table[number](f->ebx, f->ecx, f->edx, f->esi, f->edi, f->ebp);
    else
        f->eax = (u32)not_there(number);
}
