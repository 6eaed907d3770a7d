/*
 * The terminal: keyboard and serial line in, screen and serial line out. In canonical mode a line
 * is edited here and handed over whole; in raw mode (a shell that edits itself) every character is
 * handed over at once. Control characters become signals for the group in the foreground.
 *
 * Kept: `queue` holds what readers may have, `line` what is still being edited. In canonical mode a
 * read takes at most one line of the queue.
 */
#include "../include/files.h"

enum { QUEUE = 8192, LINE = 4096, END_OF_FILE = 0x100 };

static struct termios termios;
static u16 queue[QUEUE];    /* characters, or END_OF_FILE */
static u32 first, used;
static char line[LINE];
static u32 length;
static int foreground, session;
static u16 size[4] = {25, 80, 0, 0};

void tty_start(void) {
    static const u8 keys[] = {[VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4, [VMIN] = 1,
                              [VSTART] = 17, [VSTOP] = 19, [VSUSP] = 26, [VREPRINT] = 18, [VDISCARD] = 15,
                              [VWERASE] = 23, [VLNEXT] = 22};
    termios = (struct termios){
        .c_iflag = ICRNL | IXON, .c_oflag = OPOST | ONLCR, .c_cflag = 0x1cb2, /* 115200 baud, 8 bits */
        .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    };
    memcpy(termios.c_cc, keys, sizeof(keys));
}

/* --- out ------------------------------------------------------------------------------------ */

static void put(char c) {
    if (c == '\n' && (termios.c_oflag & (OPOST | ONLCR)) == (OPOST | ONLCR)) {
        uart_write('\r');
        vga_write('\r');
    }
    uart_write(c);
    vga_write(c);
}

static void echo(char c) {
    bool control = (u8)c < 32 && c != '\n' && c != '\t';
    if (!(termios.c_lflag & ECHO) && !(c == '\n' && termios.c_lflag & ECHONL))
        return;
    if (control && termios.c_lflag & ECHOCTL) {
        put('^');
        put((char)(c + 64));
    } else {
        put(c);
    }
}

static void rub_out(void) {
    bool two = (u8)line[--length] < 32 && line[length] != '\t';
    if (termios.c_lflag & ECHO)
        for (int i = 0; i <= two; i++) {
            put('\b');
            put(' ');
            put('\b');
        }
}

/* --- in ------------------------------------------------------------------------------------- */

static void enqueue(u16 c) {
    if (used < QUEUE)
        queue[(first + used++) % QUEUE] = c;
}

static void wake_readers(void) {
    wake_up(&queue);
    wake_up(&poll_channel);
}

static void forget_input(void) {
    length = first = used = 0;
}

static bool control_signal(char c) {
    int number = c == termios.c_cc[VINTR] ? SIGINT : c == termios.c_cc[VQUIT] ? SIGQUIT
                 : c == termios.c_cc[VSUSP] ? SIGTSTP : 0;
    if (!number || !(termios.c_lflag & ISIG) || !c)
        return false;
    if (!(termios.c_lflag & NOFLSH))
        forget_input();
    echo(c);
    signal_group(foreground, number);
    return true;
}

static void hand_over(bool end_of_file) {
    for (u32 i = 0; i < length; i++)
        enqueue((u8)line[i]);
    if (end_of_file)
        enqueue(END_OF_FILE);
    length = 0;
    wake_readers();
}

static void edit(char c) {
    if (c == termios.c_cc[VERASE] || c == '\b') {
        if (length)
            rub_out();
    } else if (c == termios.c_cc[VKILL]) {
        while (length)
            rub_out();
    } else if (c == termios.c_cc[VWERASE]) {
        while (length && line[length - 1] == ' ')
            rub_out();
        while (length && line[length - 1] != ' ')
            rub_out();
    } else if (c == termios.c_cc[VEOF]) {
        hand_over(true);
    } else if (length < LINE - 1 || (c == '\n' && length < LINE)) { /* a full line can still end */
        line[length++] = c;
        echo(c);
        if (c == '\n')
            hand_over(false);
    }
}

void tty_input(char c) {
    if (c == '\r' && termios.c_iflag & IGNCR)
        return;
    if (c == '\r' && termios.c_iflag & ICRNL)
        c = '\n';
    else if (c == '\n' && termios.c_iflag & INLCR)
        c = '\r';
    if (control_signal(c))
        return;
    if (termios.c_lflag & ICANON) {
        edit(c);
        return;
    }
    enqueue((u8)c);
    echo(c);
    wake_readers();
}

/* --- files ---------------------------------------------------------------------------------- */

/* A group in the background may not read: it is stopped until it is in front again. */
static int check_foreground(int number) {
    if (!current->has_tty || current->group == foreground || !foreground)
        return 0;
    if (current->actions[number].handler == SIG_IGN || current->blocked & signal_bit(number))
        return number == SIGTTIN ? -EIO : 0;
    signal_group(current->group, number);
    return -ERESTART;
}

static int wait_for_input(struct file *f) {
    bool canonical = termios.c_lflag & ICANON;
    u32 end = !canonical && termios.c_cc[VTIME] ? ticks + termios.c_cc[VTIME] * (HZ / 10u) : 0;
    while (!used) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (!canonical && !termios.c_cc[VMIN] && (!end || (i32)(end - ticks) <= 0))
            return 0;
        int error = sleep_on(&queue, !canonical && !termios.c_cc[VMIN] ? end : 0);
        if (error && error != -ETIMEDOUT)
            return error;
    }
    return 0;
}

static int tty_read(struct file *f, struct transfer *t) {
    int error = check_foreground(SIGTTIN);
    if (!error)
        error = wait_for_input(f);
    bool canonical = termios.c_lflag & ICANON;
    while (!error && t->left && used) {
        u16 c = queue[first];
        if (c == END_OF_FILE && t->done)
            break; /* the next read finds the end */
        first = (first + 1) % QUEUE;
        used--;
        if (c == END_OF_FILE)
            break;
        u8 byte = (u8)c;
        error = give(t, &byte, 1);
        if (canonical && c == '\n')
            break;
    }
    return error;
}

static int tty_write(struct file *f, struct transfer *t) {
    char text[256];
    int error = termios.c_lflag & TOSTOP ? check_foreground(SIGTTOU) : 0;
    while (!error && t->left) {
        u32 n = MIN(t->left, sizeof(text));
        error = take(t, text, n);
        for (u32 i = 0; i < n && !error; i++)
            put(text[i]);
    }
    return error;
}

static int tty_poll(struct file *f) {
    return POLLOUT | (used ? POLLIN : 0);
}

static int set_foreground(u32 argument) {
    int group;
    if (copy_from_user(&group, argument, 4))
        return -EFAULT;
    if (!current->has_tty)
        return -ENOTTY;
    if (current->group != foreground && foreground) {
        int error = check_foreground(SIGTTOU);
        if (error)
            return error;
    }
    foreground = group;
    return 0;
}

static int take_terminal(void) {
    if (current->session != current->pid)
        return -EPERM;
    session = current->session;
    foreground = current->group;
    current->has_tty = true;
    return 0;
}

/* The leader of the terminal's session ends: so do those in the foreground, unless they care. */
void tty_leave(struct process *leader) {
    if (session != leader->session)
        return;
    if (foreground && foreground != leader->group)
        signal_group(foreground, SIGHUP);
    session = foreground = 0;
    for (EACH_PROCESS(p))
        if (p->session == leader->session)
            p->has_tty = false;
}

static int tty_ioctl(struct file *f, u32 command, u32 argument) {
    u32 count = used;
    switch (command) {
    case TCGETS:
        return copy_to_user(argument, &termios, sizeof(termios));
    case TCSETSF:
        forget_input();
        /* fall through */
    case TCSETS:
    case TCSETSW:
        return copy_from_user(&termios, argument, sizeof(termios));
    case TCFLSH:
        if (argument != 1)
            forget_input();
        return 0;
    case TCSBRK:
    case TCXONC:
        return 0;
    case TIOCGWINSZ:
        return copy_to_user(argument, size, sizeof(size));
    case TIOCSWINSZ:
        return copy_from_user(size, argument, sizeof(size));
    case TIOCGPGRP:
        return current->has_tty ? copy_to_user(argument, &foreground, 4) : -ENOTTY;
    case TIOCSPGRP:
        return set_foreground(argument);
    case TIOCGSID:
        return current->has_tty ? copy_to_user(argument, &session, 4) : -ENOTTY;
    case TIOCSCTTY:
        return take_terminal();
    case TIOCNOTTY:
        current->has_tty = false;
        return 0;
    case FIONREAD:
        return copy_to_user(argument, &count, 4);
    }
    return -ENOTTY;
}

const struct file_ops tty_ops = {.read = tty_read, .write = tty_write, .poll = tty_poll, .ioctl = tty_ioctl};
