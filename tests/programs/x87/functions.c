/* The transcendental instructions over their ranges. Processors differ in the last bits: 13 digits. */
#include "runtime.h"

static void show(const char *name, wide x)
{
    put_text(name);
    put_number(x, 13);
}

void program(void)
{
    static const wide points[] = {1e-10L, 0.001L, 0.3L, 0.7853981L, 1, 1.5L, 2.718L, 7, 100.25L, 4321.5L, 65000.75L};
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        wide x = points[i];
        show("x", x);
        show(" sin", x87_sine(x));
        show(" cos", x87_cosine(-x));
        show(" tan", x87_tangent(x));
        show(" atan", x87_arctangent(x, 1));
        show(" atan2", x87_arctangent(-x, -2));
        show(" ln", x87_logarithm(x, 0.693147180559945309417L));
        show(" lg", x87_logarithm(x, 0.301029995663981195214L));
        show(" ln1p", x87_logarithm_plus_one(x / 250000, 0.693147180559945309417L));
        /* e to the x: 2 to the whole part and to the rest */
        wide y = x / 7 * 1.44269504088896340736L, whole = x87_round(y);
        show(" exp", x87_scale(x87_power_less_one(y - whole) + 1, whole));
        put_character('\n');
    }
    wide sum = 0;
    for (int i = 1; i <= 2000; i++)
        sum += x87_sine(i) * x87_cosine(i * 0.5L) / i;
    show("sum", sum);
    put_character('\n');
}
