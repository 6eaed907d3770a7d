/*
 * System calls: INT 80h with the number in EAX, arguments in EBX, ECX, EDX, ESI, EDI, EBP, and the
 * result in EAX, as on Linux for i386. include/calls.h lists them.
 *
 * Kept: every number has an answer, if only that there is no such call.
 */
#include "../include/missing_calls.h"
#include "../include/files.h"

/* All arguments are words, so the list needs not say which. */
#define CALL(number, name, ...) int sys_##name();
#include "../include/calls.h"
#undef CALL

/* What is not there says so by name, once. */
static int not_there(u32 number) {
    static bool told[512];
    if (number < ARRAY_SIZE(told) && !told[number]) {
        const char *name = number < ARRAY_SIZE(missing_calls) ? missing_calls[number] : NULL;
        told[number] = true;
        complain("system call %u (%s) is not supported\n", number, name ? name : "unknown");
    }
    return -ENOSYS;
}

static int call(const struct trap_frame *frame) {
    u32 a = frame->ebx, b = frame->ecx, c = frame->edx, d = frame->esi, e = frame->edi, f = frame->ebp;
    switch (frame->eax) {
#define CALL(number, name, ...) \
    case number:                \
        return sys_##name(__VA_ARGS__);
#include "../include/calls.h"
    }
    return not_there(frame->eax);
}

/* The older way to the calls on sockets: one number for all, and their words in memory. */
int sys_socketcall(u32 which, u32 at) {
    static const struct {
        u16 number, words;
    } calls[] = {
        {0, 0},   {359, 3}, {361, 3}, {362, 3}, /* -, socket, bind, connect */
        {363, 2}, {364, 3}, {367, 3}, {368, 3}, /* listen, accept, getsockname, getpeername */
        {360, 4}, {369, 4}, {371, 4}, {369, 6}, /* socketpair, send, recv, sendto */
        {371, 6}, {373, 2}, {366, 5}, {365, 5}, /* recvfrom, shutdown, setsockopt, getsockopt */
        {370, 3}, {372, 3},                     /* sendmsg, recvmsg */
    };
    u32 w[6] = {0};
    if (which < 1 || which >= ARRAY_SIZE(calls))
        return -EINVAL;
    if (copy_from_user(w, at, calls[which].words * 4u))
        return -EFAULT;
    return call(&(struct trap_frame){.eax = calls[which].number, .ebx = w[0], .ecx = w[1], .edx = w[2],
                                     .esi = w[3], .edi = w[4], .ebp = w[5]});
}

void system_call(struct trap_frame *f) {
    current->call = f->eax; /* a signal may have to make the call again */
    f->eax = (u32)call(f);
}
