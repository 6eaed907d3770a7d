/* Gauss's elimination with pivots on an ill-conditioned system, in all three formats. */
#include "runtime.h"
#define SIZE 11

#define SOLVE(name, real)                                                     \
    static real name(real x[SIZE])                                            \
    {                                                                         \
        static real a[SIZE][SIZE + 1];                                        \
        real worst = 0;                                                       \
        for (int i = 0; i < SIZE; i++) {                                      \
            a[i][SIZE] = 0;                                                   \
            for (int j = 0; j < SIZE; j++) {                                  \
                a[i][j] = (real)1 / (i + j + 1);                              \
                a[i][SIZE] += a[i][j];                                        \
            }                                                                 \
        }                                                                     \
        for (int p = 0; p < SIZE; p++) {                                      \
            int best = p;                                                     \
            for (int i = p; i < SIZE; i++)                                    \
                if ((a[i][p] < 0 ? -a[i][p] : a[i][p])                        \
                    > (a[best][p] < 0 ? -a[best][p] : a[best][p]))            \
                    best = i;                                                 \
            for (int j = 0; j <= SIZE; j++) {                                 \
                real t = a[p][j];                                             \
                a[p][j] = a[best][j];                                         \
                a[best][j] = t;                                               \
            }                                                                 \
            for (int i = p + 1; i < SIZE; i++) {                              \
                real factor = a[i][p] / a[p][p];                              \
                for (int j = p; j <= SIZE; j++)                               \
                    a[i][j] -= factor * a[p][j];                              \
            }                                                                 \
        }                                                                     \
        for (int i = SIZE - 1; i >= 0; i--) {                                 \
            x[i] = a[i][SIZE];                                                \
            for (int j = i + 1; j < SIZE; j++)                                \
                x[i] -= a[i][j] * x[j];                                       \
            x[i] /= a[i][i];                                                  \
            real off = x[i] - 1 < 0 ? 1 - x[i] : x[i] - 1;                    \
            worst = off > worst ? off : worst;                                \
        }                                                                     \
        return worst;                                                         \
    }

SOLVE(solve_float, float)
SOLVE(solve_double, double)
SOLVE(solve_wide, wide)

void program(void)
{
    float f[SIZE];
    double d[SIZE];
    wide w[SIZE];
    put_line("worst float  ", solve_float(f));
    put_line("worst double ", solve_double(d));
    put_line("worst wide   ", solve_wide(w));
    for (int i = 0; i < SIZE; i++) {
        put_line("float  ", f[i]);
        put_line("double ", d[i]);
        put_line("wide   ", w[i]);
    }
}
