/*
 * System calls: INT 80h with the number in EAX, arguments in EBX, ECX, EDX, ESI, EDI, EBP, and the
 * result in EAX, as on Linux for i386. include/calls.h lists them.
 */
#include "../include/call_names.h"
#include "../include/files.h"

/* All arguments are words, so the list needs not say which. */
#define CALL(number, name, ...) int sys_##name();
#include "../include/calls.h"
#undef CALL

/* What is not there says so by name, once. */
static int not_there(u32 number) {
    static bool told[512];
    if (number < ARRAY_SIZE(told) && !told[number]) {
        const char *name = number < ARRAY_SIZE(call_names) ? call_names[number] : NULL;
        told[number] = true;
        print("%s[%d]: system call %u (%s) is not supported\n", current->name, current->pid, number,
              name ? name : "unknown");
    }
    return -ENOSYS;
}

static int call(u32 number, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) {
    switch (number) {
#define CALL(number, name, ...) \
    case number:                \
        return sys_##name(__VA_ARGS__);
#include "../include/calls.h"
    }
    return not_there(number);
}

/* The older way to the calls on sockets: one number for all, and their words in memory. */
int sys_socketcall(u32 which, u32 at) {
    static const struct {
        u16 number, words;
    } calls[] = {{0, 0},   {359, 3}, {361, 3}, {362, 3}, {363, 2}, {364, 3}, {367, 3}, {368, 3}, {360, 4},
                 {369, 4}, {371, 4}, {369, 6}, {371, 6}, {373, 2}, {366, 5}, {365, 5}, {370, 3}, {372, 3}};
    u32 w[6] = {0};
    if (which < 1 || which >= ARRAY_SIZE(calls))
        return -EINVAL;
    if (copy_from_user(w, at, calls[which].words * 4u))
        return -EFAULT;
    return call(calls[which].number, w[0], w[1], w[2], w[3], w[4], w[5]);
}

void system_call(struct trap_frame *f) {
    current->call = f->eax; /* a signal may have to make the call again */
    f->eax = (u32)call(f->eax, f->ebx, f->ecx, f->edx, f->esi, f->edi, f->ebp);
}
