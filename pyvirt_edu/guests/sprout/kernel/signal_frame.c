/*
 * A handler's frame on the program's stack, in Linux's layout: the registers as they were, and the
 * floating-point state. The handler returns into a few instructions that call sigreturn, which
 * puts them back.
 *
 * Kept: what comes back from the program's memory is cleaned: ring 3 selectors, no privileged flag.
 */
#include "../include/process.h"

struct context { /* struct sigcontext: begins like a trap frame */
    struct trap_frame registers;
    u32 fpu, old_mask, cr2;
};
_Static_assert(sizeof(struct context) == 88, "sigcontext");

struct fpu_frame {
    u8 old[108]; /* FNSAVE's layout */
    u16 status, magic;
    u8 fxsave[512];
};
enum { MAGIC_OLD = 0xffff, MAGIC_FXSAVE = 0, FXSAVE_MXCSR = 24, MXCSR_BITS = 0xffbf };

struct plain_frame {
    u32 return_to, number;
    struct context context;
    u32 mask_high;
    u8 code[8];
};

struct info_frame {
    u32 return_to, number, info_at, context_at;
    u32 info[32];
    u32 flags, link;
    struct sigaltstack stack;
    struct context context;
    u64 mask;
    u8 code[8];
};

/* pop eax; mov eax, 119; int 80h; and: mov eax, 173; int 80h */
static const u8 return_plain[8] = {0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80};
static const u8 return_info[8] = {0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0x90};

static u32 stack_for(struct trap_frame *f, const struct sigaction *a) {
    struct sigaltstack *s = &current->altstack;
    bool on_it = f->esp - s->ss_sp < s->ss_size;
    return a->flags & SA_ONSTACK && s->ss_size && !on_it ? s->ss_sp + s->ss_size : f->esp;
}

static int push_fpu(u32 *sp, u32 *at) {
    struct fpu_frame frame;
    *at = 0;
    if (!current->arch.fpu_used)
        return 0;
    fpu_save(current);
    memset(&frame, 0, sizeof(frame));
    if (fpu_has_fxsr()) {
        memcpy(frame.fxsave, current->arch.fpu, sizeof(frame.fxsave));
        frame.magic = MAGIC_FXSAVE;
    } else {
        memcpy(frame.old, current->arch.fpu, sizeof(frame.old));
        frame.magic = MAGIC_OLD;
    }
    fpu_drop(current);
    current->arch.fpu_used = false; /* the handler begins with empty registers */
    *sp = ALIGN_DOWN(*sp - sizeof(frame), 64);
    *at = *sp;
    return copy_to_user(*at, &frame, sizeof(frame));
}

static int pop_fpu(u32 at) {
    struct fpu_frame frame;
    fpu_drop(current);
    current->arch.fpu_used = at != 0;
    if (!at)
        return 0;
    if (copy_from_user(&frame, at, sizeof(frame)))
        return -EFAULT;
    if (fpu_has_fxsr()) {
        memcpy(current->arch.fpu, frame.fxsave, sizeof(frame.fxsave));
        *(u32 *)&current->arch.fpu[FXSAVE_MXCSR] &= MXCSR_BITS;
    } else {
        memcpy(current->arch.fpu, frame.old, sizeof(frame.old));
    }
    return 0;
}

int signal_push_frame(struct trap_frame *f, int number, const struct sigaction *a, u64 mask,
                      const struct signal_info *info) {
    bool with_info = a->flags & SA_SIGINFO;
    u32 sp = stack_for(f, a), fpu;
    if (push_fpu(&sp, &fpu))
        return -EFAULT;
    struct context context = {*f, fpu, (u32)mask, info->address};
    u32 at = ALIGN_DOWN(sp - (with_info ? sizeof(struct info_frame) : sizeof(struct plain_frame)), 16) - 4;
    if (with_info) {
        struct info_frame frame = {
            .number = (u32)number, .info_at = at + offsetof(struct info_frame, info),
            .context_at = at + offsetof(struct info_frame, flags),
            .info = {(u32)number, 0, (u32)info->code, info->pid, info->user, info->value},
            .stack = current->altstack, .context = context, .mask = mask,
        };
        memcpy(frame.code, return_info, 8);
        frame.return_to = a->flags & SA_RESTORER ? a->restorer : at + offsetof(struct info_frame, code);
        if (copy_to_user(at, &frame, sizeof(frame)))
            return -EFAULT;
        f->edx = frame.info_at;
        f->ecx = frame.context_at;
    } else {
        struct plain_frame frame = {
            .number = (u32)number, .context = context, .mask_high = (u32)(mask >> 32),
        };
        memcpy(frame.code, return_plain, 8);
        frame.return_to = a->flags & SA_RESTORER ? a->restorer : at + offsetof(struct plain_frame, code);
        if (copy_to_user(at, &frame, sizeof(frame)))
            return -EFAULT;
        f->edx = f->ecx = 0;
    }
    f->eax = (u32)number;
    f->esp = at;
    f->eip = a->handler;
    f->cs = USER_CS;
    f->ds = f->es = f->ss = USER_DS;
    f->eflags &= ~(u32)(FLAG_DF | FLAG_TF);
    return 0;
}

static u32 clean_selector(u32 selector) {
    return arch_selector_valid(current, selector) ? selector & 0xffff : 0;
}

static void restore(struct trap_frame *f, const struct trap_frame *r) {
    u32 flags = (f->eflags & ~USER_FLAGS) | (r->eflags & USER_FLAGS);
    *f = *r;
    f->eflags = flags;
    f->gs = clean_selector(r->gs);
    f->fs = clean_selector(r->fs);
    f->es = clean_selector(r->es);
    f->ds = clean_selector(r->ds);
    f->cs = USER_CS;
    f->ss = USER_DS;
}

/* sigreturn: the registers come from the stack; what is to stand in EAX is the result. */
u32 signal_pop_frame(struct trap_frame *f, bool with_info) {
    struct context context;
    u64 mask;
    u32 error;
    if (with_info) {
        u32 at = f->esp - 4;
        error = (u32)copy_from_user(&context, at + offsetof(struct info_frame, context), sizeof(context)) |
                (u32)copy_from_user(&mask, at + offsetof(struct info_frame, mask), 8);
    } else {
        u32 at = f->esp - 8, high = 0;
        error = (u32)copy_from_user(&context, at + offsetof(struct plain_frame, context), sizeof(context)) |
                (u32)copy_from_user(&high, at + offsetof(struct plain_frame, mask_high), 4);
        mask = (u64)high << 32 | context.old_mask;
    }
    if (error || pop_fpu(context.fpu)) {
        complain("sigreturn without a signal frame, esp %08x\n", f->esp);
        process_exit(SIGSEGV);
    }
    restore(f, &context.registers);
    current->blocked = mask & ~UNBLOCKABLE;
    current->call = -1u;
    return f->eax;
}
