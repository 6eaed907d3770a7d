/*
 * A small shell: commands with arguments, quotes, $NAME and $?, redirection (< > >> 2>), pipes,
 * `;`, `&&`, `||` and `&`. Each pipeline is a process group and has the terminal while it runs.
 *
 * Kept: what the shell opens for itself is closed by exec; a program finds 0, 1 and 2 open.
 */
#include "lib/sprout.h"

enum { LINE = 1024, WORDS = 64, STAGES = 8 };

struct stage {
    char *words[WORDS + 1];
    int count;
    char *in, *out, *errors;
    bool append;
};

static struct stage stages[STAGES];
static char text[LINE * 4]; /* the words, ended by zeros */
static char *text_end;
static int last_status, shell_group;
static bool interactive;

/* --- words ---------------------------------------------------------------------------------- */

static void put(char c) {
    if (text_end < text + sizeof(text) - 1)
        *text_end++ = c;
}

static bool name_char(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What stands for $NAME or $? */
static const char *expand(const char *p) {
    char name[32];
    u32 n = 0;
    if (*p == '?') {
        format_text(name, sizeof(name), "%d", last_status);
        for (const char *v = name; *v; v++)
            put(*v);
        return p + 1;
    }
    while (name_char(*p) && n < sizeof(name) - 1)
        name[n++] = *p++;
    name[n] = 0;
    for (const char *v = n ? getenv(name) : "$"; v && *v; v++)
        put(*v);
    return p;
}

static bool ends_word(char c) {
    return !c || strchr(" \t\n;|&<>", c);
}

/* One word into `text`; *p moves behind it. NULL: a quote is not closed. */
static char *word(const char **p) {
    char *start = text_end, quote = 0;
    const char *s = *p;
    while (*s && (quote || !ends_word(*s))) {
        if (quote ? *s == quote : *s == '\'' || *s == '"') {
            quote = quote ? 0 : *s;
            s++;
        } else if (*s == '\\' && s[1] && quote != '\'') {
            put(s[1]);
            s += 2;
        } else if (*s == '$' && quote != '\'') {
            s = expand(s + 1);
        } else {
            put(*s++);
        }
    }
    put(0);
    *p = s;
    return quote ? NULL : start;
}

static const char *skip(const char *p) {
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* --- the shell's own commands --------------------------------------------------------------- */

static bool builtin(struct stage *s) {
    const char *name = s->words[0];
    if (!strcmp(name, "cd")) {
        int error = chdir(s->count > 1 ? s->words[1] : "/");
        if (error)
            print("cd: %s\n", error_text(error));
        last_status = error != 0;
    } else if (!strcmp(name, "exit")) {
        exit(s->count > 1 ? number(s->words[1]) : last_status);
    } else if (!strcmp(name, "true") || !strcmp(name, "false")) {
        last_status = *name == 'f';
    } else if (!strcmp(name, "help")) {
        print("cd DIR, exit N, true, false, help; programs are in /bin. "
              "a | b, < > >> 2>, ; && || &, $NAME, $?\n");
    } else {
        return false;
    }
    return true;
}

/* --- running -------------------------------------------------------------------------------- */

static void redirect(const char *path, int flags, int fd) {
    if (!path)
        return;
    int opened = open(path, flags);
    if (opened < 0) {
        print("sh: %s: %s\n", path, error_text(opened));
        exit(1);
    }
    dup2(opened, fd);
    close(opened);
}

/* The signals that the terminal sends are for the commands, not for the shell itself. */
static void terminal_signals(int what) {
    static const int numbers[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
    for (u32 i = 0; i < ARRAY_SIZE(numbers); i++)
        signal(numbers[i], (void (*)(int))what);
}

/* In the child: its place among the groups, its input and output; then the program. */
static void run_stage(struct stage *s, int in, int out, int group, bool front) {
    if (interactive) {
        setpgid(0, group);
        if (front) {
            int own = getpid();
            ioctl(0, TIOCSPGRP, group ? &group : &own);
        }
        terminal_signals(SIG_DFL);
    }
    if (in != 0)
        dup2(in, 0);
    if (out != 1)
        dup2(out, 1);
    redirect(s->in, O_RDONLY, 0);
    redirect(s->out, O_WRONLY | O_CREAT | (s->append ? O_APPEND : O_TRUNC), 1);
    redirect(s->errors, O_WRONLY | O_CREAT | O_TRUNC, 2);
    if (builtin(s))
        exit(last_status);
    int error = execute(s->words);
    dup2(2, 1);
    print("sh: %s: %s\n", s->words[0], error == -ENOENT ? "not found" : error_text(error));
    exit(error == -ENOENT ? 127 : 126);
}

static void wait_for(int group, int last, int count) {
    while (count) {
        int status, pid = waitpid(interactive ? -group : -1, &status, WUNTRACED);
        if (pid < 0)
            break;
        if ((status & 0xff) == 0x7f) {
            print("[%d] stopped\n", pid);
            last_status = 128 + (status >> 8);
            break;
        }
        count--;
        if ((status & 0x7f) == SIGINT && interactive)
            print("\n");
        if (pid == last)
            last_status = status & 0x7f ? 128 + (status & 0x7f) : status >> 8;
    }
    if (interactive)
        ioctl(0, TIOCSPGRP, &shell_group);
}

static void run_pipeline(int count, bool background) {
    int in = 0, group = 0, last = 0, started = 0;
    bool simple = !stages[0].in && !stages[0].out && !stages[0].errors;
    if (count == 1 && !background && simple && builtin(&stages[0]))
        return;
    for (int i = 0; i < count; i++) {
        int ends[2] = {0, 1};
        if (i + 1 < count && pipe(ends, O_CLOEXEC) < 0)
            break;
        int pid = fork();
        if (!pid)
            run_stage(&stages[i], in, ends[1], group, !background);
        if (in)
            close(in);
        if (ends[1] != 1)
            close(ends[1]);
        in = ends[0];
        if (pid < 0) {
            print("sh: fork: %s\n", error_text(pid));
            last_status = 1;
            break;
        }
        group = group ? group : pid;
        if (interactive)
            setpgid(pid, group); /* as in the child: whoever comes first */
        last = pid;
        started++;
    }
    if (background)
        print("[%d]\n", last);
    else if (started)
        wait_for(group, last, started);
}

/* --- lines ---------------------------------------------------------------------------------- */

static bool redirection(const char **p, struct stage *s) {
    char **to = **p == '<' ? &s->in : **p == '2' ? &s->errors : &s->out;
    *p += **p == '2' ? 2 : 1;
    if (to == &s->out)
        s->append = **p == '>';
    if (to == &s->out && s->append)
        ++*p;
    *p = skip(*p);
    *to = word(p);
    return *to && **to;
}

/* A pipeline, up to what ends it; false: it makes no sense. */
static bool parse(const char **p, int *count) {
    *count = 0;
    text_end = text;
    for (;;) {
        struct stage *s = &stages[*count];
        memset(s, 0, sizeof(*s));
        for (*p = skip(*p); **p && !strchr(";|&\n", **p); *p = skip(*p)) {
            if (**p == '<' || **p == '>' || ((*p)[0] == '2' && (*p)[1] == '>')) {
                if (!redirection(p, s))
                    return false;
            } else {
                char *w = word(p);
                if (!w || s->count == WORDS)
                    return false;
                s->words[s->count++] = w;
            }
        }
        if (s->count)
            ++*count;
        else if (*count || **p == '|')
            return false;
        if (**p != '|' || (*p)[1] == '|')
            return true;
        if (*count == STAGES)
            return false;
        ++*p;
    }
}

static void run_line(const char *p) {
    bool run = true;
    while (*(p = skip(p)) && *p != '\n' && *p != '#') {
        int count;
        if (!parse(&p, &count)) {
            print("sh: syntax\n");
            last_status = 2;
            return;
        }
        bool background = p[0] == '&' && p[1] != '&';
        if (run && count)
            run_pipeline(count, background);
        if (p[0] == '&' && p[1] == '&') {
            run = run && last_status == 0;
            p += 2;
        } else if (p[0] == '|') {
            run = last_status != 0;
            p += 2;
        } else {
            run = true;
            p += *p == ';' || *p == '&';
        }
    }
}

/* A line of input, zero at its end; false: there is no more. */
static bool read_line(int fd, char *line) {
    int n = 0;
    for (; n < LINE - 1; n++) {
        int got = read(fd, line + n, 1);
        if (got <= 0 && n == 0)
            return false;
        if (got <= 0 || line[n] == '\n')
            break;
    }
    line[n] = 0;
    return true;
}

int main(int argc, char **argv) {
    char line[LINE];
    struct termios t;
    int fd = 0;
    if (argc > 2 && !strcmp(argv[1], "-c")) {
        run_line(argv[2]);
        return last_status;
    }
    if (argc > 1 && (fd = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0) {
        print("sh: %s: %s\n", argv[1], error_text(fd));
        return 127;
    }
    interactive = argc == 1 && !ioctl(0, TCGETS, &t);
    shell_group = getpgrp();
    if (interactive)
        terminal_signals(SIG_IGN);
    for (;;) {
        while (waitpid(-1, &(int){0}, WNOHANG) > 0)
            ;
        if (interactive)
            print("$ ");
        if (!read_line(fd, line))
            return last_status;
        if (strlen(line) == LINE - 1)
            print("sh: a line is too long, its end counts as another\n");
        run_line(line);
    }
}
