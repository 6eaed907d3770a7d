/* Strings, memory and formatting: the kernel's own functions, compiled once more for programs. */
#include "../../lib/format.c"
#include "../../lib/string.c"
