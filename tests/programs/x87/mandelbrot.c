/* The Mandelbrot set in characters, each row in another format. */
#include "runtime.h"

#define ESCAPES(name, real)                                   \
    static int name(real a, real b)                           \
    {                                                         \
        real x = 0, y = 0;                                    \
        int n = 0;                                            \
        while (n < 60 && x * x + y * y <= 4) {                \
            real t = x * x - y * y + a;                       \
            y = 2 * x * y + b;                                \
            x = t;                                            \
            n++;                                              \
        }                                                     \
        return n;                                             \
    }

ESCAPES(escapes_float, float)
ESCAPES(escapes_double, double)
ESCAPES(escapes_wide, wide)

void program(void)
{
    for (int row = 0; row < 24; row++) {
        for (int column = 0; column < 72; column++) {
            wide a = -2.2L + column * (3.2L / 72), b = -1.2L + row * (2.4L / 24);
            int n = row % 3 == 0 ? escapes_float(a, b) : row % 3 == 1 ? escapes_double(a, b) : escapes_wide(a, b);
            put_character(" .,:;-=+*oxOX%$&#@"[n * 17 / 60]);
        }
        put_character('\n');
    }
}
