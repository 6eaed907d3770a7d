/*
 * Page faults: a program touched a page that its page table does not allow. Mostly it may, and the
 * page is fetched, or copied because it is shared; if it may not, that is the program's error. If
 * there is no memory, somebody has to end.
 *
 * Kept: the program tries again and finds the page, or it never does.
 */
#include "../include/files.h"

/* --- what the page gets --------------------------------------------------------------------- */

static int zero_frame(u32 *frame) {
    *frame = frame_allocate_user();
    if (!*frame)
        return -ENOMEM;
    memset(to_virtual(*frame), 0, PAGE);
    return 0;
}

/*
 * A page of the file, to share if the file system has it in RAM, else a copy. A shared mapping has
 * the file's own page or none.
 */
static int file_frame(struct area *a, u32 offset, u32 *frame) {
    *frame = a->inode->ops->page ? a->inode->ops->page(a->inode, offset / PAGE, a->shared) : 0;
    if (*frame)
        return 0;
    if (a->shared)
        return offset < a->inode->size ? -ENOMEM : -EIO;
    int error = zero_frame(frame);
    if (error || offset >= a->inode->size)
        return error;
    error = inode_read(a->inode, to_virtual(*frame), PAGE, offset);
    if (error < 0)
        frame_release(*frame);
    return MIN(error, 0);
}

/* The frame for somebody who writes: the only owner keeps it, others get a copy. */
static int own(struct area *a, u32 *frame) {
    if (a->shared || frame_of(*frame)->owners == 1)
        return 0;
    u32 copy = frame_allocate_user();
    if (!copy)
        return -ENOMEM;
    memcpy(to_virtual(copy), to_virtual(*frame), PAGE);
    frame_release(*frame);
    *frame = copy;
    return 0;
}

/* A program touched a page that its entry does not allow: 0 if it may try again. */
int space_fault(struct space *s, u32 address, u32 why) {
    struct area *a = space_area(s, address);
    if (!a || !a->prot || (why & FAULT_WRITE && !(a->prot & PROT_WRITE)))
        return -EFAULT;
    pte *e = page_entry(s->root, address, true);
    if (!e)
        return -ENOMEM;
    u32 frame = *e & PTE_FRAME;
    int error = 0;
    if (!frame) {
        u32 offset = a->offset + (PAGE_DOWN(address) - a->start);
        error = a->inode ? file_frame(a, offset, &frame) : zero_frame(&frame); /* may sleep */
        if (error)
            return error;
        if (*e) { /* somebody else who shares the space was faster */
            frame_release(frame);
            return 0;
        }
        s->resident++;
    }
    if (why & FAULT_WRITE)
        error = own(a, &frame);
    space_set(s, a, e, PAGE_DOWN(address), frame, why & FAULT_WRITE && !error);
    return error;
}

/* --- out of memory -------------------------------------------------------------------------- */

/* Of two processes: which one is to go? The larger one; of about the same size, the younger one. */
static bool rather(struct process *a, struct process *b) {
    u32 x = a->space->resident / 64, y = b->space->resident / 64;
    return x > y || (x == y && a->started > b->started);
}

/* Somebody has to go, though never init. Until it has gone, whoever asked waits. */
static void out_of_memory(struct trap_frame *f, u32 address) {
    struct process *victim = NULL;
    bool going = false;
    if (current->pending & signal_bit(SIGKILL))
        return; /* it is the one, and ends on its way out */
    for (EACH_PROCESS(p)) {
        if (!p->space || p == init_process)
            continue;
        if (p->pending & signal_bit(SIGKILL))
            going |= p->state == RUNNABLE; /* one that waits for another may wait for memory */
        else if (!victim || rather(p, victim))
            victim = p;
    }
    if (!going && (!victim || victim == current)) {
        signal_crash(f, SIGKILL, 0, address, "out of memory");
        return;
    }
    if (!going) {
        print("out of memory: %s[%d] is ended, it has %u pages\n", victim->name, victim->pid,
              victim->space->resident);
        signal_send(victim, SIGKILL);
    }
    schedule(); /* current tries again when its turn comes */
}

/* --- the fault itself ----------------------------------------------------------------------- */

void page_fault(struct trap_frame *f) {
    u32 address = mmu_fault_address();
    int error = space_fault(current->space, address, f->error);
    if (error == -ENOMEM)
        out_of_memory(f, address);
    else if (error)
        signal_crash(f, error == -EIO ? SIGBUS : SIGSEGV,
                     space_area(current->space, address) ? SEGV_ACCERR : SEGV_MAPERR, address,
                     f->error & FAULT_WRITE ? "bad write" : f->eip == address ? "bad jump" : "bad read");
}
