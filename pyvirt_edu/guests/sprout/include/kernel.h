/* What every file of the kernel may use: messages, strings, time, interrupts, the memory pools. */
#pragma once
#include "arch.h"
#include "linux.h"
#include "text.h"
#include "types.h"

/* kernel/print.c */
void console_write(const char *text, u32 size);     /* to wherever people look */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));  /* of the current process */
void panic(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* kernel/frames.c: RAM in pieces of one page */
struct frame {
    u32 owners;         /* 0: free */
    u32 heap_class;     /* of pages that the heap cuts up */
    u32 next;           /* in the list of free ones */
};
extern u32 frames_total, frames_free, ram_end;
void frames_start(u32 multiboot_info);
u32 frame_allocate(void);               /* physical address, 0 if there is none */
u32 frame_allocate_user(void);          /* the same, but leaves a reserve for the kernel */
void frame_share(u32 physical);
void frame_release(u32 physical);
struct frame *frame_of(u32 physical);

static inline void *to_virtual(u32 physical) {
    return (void *)(physical + KERNEL_BASE);
}

static inline u32 to_physical(const void *virtual) {
    return (u32)virtual - KERNEL_BASE;
}

/* kernel/heap.c: smaller pieces, up to a page; NULL if there is no memory */
void *allocate(u32 size);
void *allocate_zeroed(u32 size);
void release(void *piece);              /* NULL: nothing happens, as in all that give back */
static inline void owned_memory(void *variable) {
    release(*(void **)variable);
}

/* kernel/options.c: the boot loader's command line */
extern char command_line[256];
bool option(const char *name, char *value, u32 size);

/* kernel/trap.c */
void irq_install(u32 irq, void (*handler)(void));
/* drivers/pic.c */
void pic_start(void);
void pic_enable(u32 irq);
bool pic_begin(u32 irq);                /* false: there was none in truth */
void pic_end(u32 irq);

/* kernel/time.c */
#define HZ 100
extern volatile u32 ticks;              /* since the start */
extern u32 boot_time;                   /* seconds since 1970 */
void clock_tick(void);
void clock_now(u32 *seconds, u32 *nanoseconds);     /* since 1970 */
void clock_uptime(u32 *seconds, u32 *nanoseconds);
u32 ticks_of(u64 seconds, u32 nanoseconds);         /* rounded up */
/* The same time in two layouts: with 32-bit seconds, and with 64 */
enum time_layout { TIME32 = sizeof(struct timespec32), TIME64 = sizeof(struct timespec64) };
u32 end_after(u64 seconds, u32 nanoseconds);    /* the tick; never 0 */
int time_limit(u32 at, enum time_layout layout, bool *wait, u32 *end);  /* at 0: for ever */
int time_limit_at(u32 at, enum time_layout layout, u32 clock, bool *wait, u32 *end);
int time_from_user(u32 at, enum time_layout layout, struct timespec64 *t);
int time_to_user(u32 to, enum time_layout layout, u32 seconds, u32 nanoseconds);
bool time_good(const struct timespec64 *t);
u32 random32(void);

/* drivers */
void pit_start(void);
u32 pit_elapsed(void);                  /* nanoseconds of the tick under way */
u32 rtc_read(void);
void uart_start(void);
void uart_listen(void);
void uart_write(char c);
void vga_start(void);
void vga_write(char c);
void keyboard_start(void);
void disk_start(void);
void network_start(void);
