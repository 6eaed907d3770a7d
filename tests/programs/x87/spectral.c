/* The largest singular value of the matrix 1 / ((i + j)(i + j + 1) / 2 + i + 1), by iteration. */
#include "runtime.h"
#define SIZE 32

static double entry(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

static void multiply(const double *from, double *to, int transposed)
{
    for (int i = 0; i < SIZE; i++) {
        double sum = 0;
        for (int j = 0; j < SIZE; j++)
            sum += from[j] * (transposed ? entry(j, i) : entry(i, j));
        to[i] = sum;
    }
}

void program(void)
{
    double u[SIZE], v[SIZE], between[SIZE];
    for (int i = 0; i < SIZE; i++)
        u[i] = 1;
    for (int n = 0; n < 8; n++) {
        multiply(u, between, 0);
        multiply(between, v, 1);
        multiply(v, between, 0);
        multiply(between, u, 1);
    }
    double uv = 0, vv = 0;
    for (int i = 0; i < SIZE; i++)
        uv += u[i] * v[i], vv += v[i] * v[i];
    put_line("norm ", x87_root(uv / vv));
    put_line("uv ", uv);
    put_line("vv ", vv);
}
