/* pi, e and others from series and means, in 64-bit precision; a sum with and without Kahan's care. */
#include "runtime.h"

static wide by_means(void)
{
    wide a = 1, b = 1 / x87_root(2), t = 0.25L, p = 1;
    for (int i = 0; i < 6; i++) {
        wide next = (a + b) / 2;
        b = x87_root(a * b);
        t -= p * (a - next) * (a - next);
        p *= 2;
        a = next;
    }
    return (a + b) * (a + b) / (4 * t);
}

static wide by_series(void)
{
    wide sum = 1, term = 1;
    for (int i = 1; i < 30; i++) {
        term /= i;
        sum += term;
    }
    return sum;
}

static double integral(void)
{
    const int pieces = 4000;
    double sum = 0;
    for (int i = 0; i < pieces; i++) {
        double x = (i + 0.5) / pieces;
        sum += 4 / (1 + x * x);
    }
    return sum / pieces;
}

static wide cube_root(wide of)
{
    wide x = of;
    for (int i = 0; i < 40; i++)
        x -= (x * x * x - of) / (3 * x * x);
    return x;
}

static void sums(void)
{
    float plain = 0, careful = 0, lost = 0;
    double wider = 0;
    for (int i = 1; i <= 3000; i++) {
        volatile float term = 1.0f / i;
        volatile float y = term - lost, t = careful + y;
        lost = t - careful - y;
        careful = t;
        plain += term;
        wider += term;
    }
    put_line("plain   ", plain);
    put_line("careful ", careful);
    put_line("wider   ", wider);
}

void program(void)
{
    put_line("pi   ", by_means());
    put_line("e    ", by_series());
    put_line("pi   ", integral());
    put_line("root ", cube_root(2));
    sums();
    wide a = 1, b = 1;
    for (int i = 0; i < 100; i++) {
        wide c = a + b;
        a = b;
        b = c;
    }
    put_line("golden ", b / a);
    put_line("fibonacci ", b);
}
