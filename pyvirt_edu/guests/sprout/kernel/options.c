/* The command line: words `name` or `name=value`, with spaces between them. */
#include "../include/kernel.h"

char command_line[256];

bool option(const char *name, char *value, u32 size) {
    u32 length = strlen(name);
    for (const char *p = command_line; *p;) {
        while (*p == ' ')
            p++;
        const char *end = p;
        while (*end && *end != ' ')
            end++;
        if ((u32)(end - p) >= length && !strncmp(p, name, length) &&
            (p + length == end || p[length] == '=')) {
            const char *v = p + length + (p[length] == '=');
            if (size)
                copy_string(value, v, MIN(size, (u32)(end - v) + 1));
            return true;
        }
        p = end;
    }
    return false;
}
