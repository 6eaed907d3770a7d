/* Lorenz's equations by Runge and Kutta: one wrong bit anywhere, and the end is elsewhere. */
#include "runtime.h"

static void slope(const double p[3], double out[3])
{
    out[0] = 10 * (p[1] - p[0]);
    out[1] = p[0] * (28 - p[2]) - p[1];
    out[2] = p[0] * p[1] - 8.0 / 3 * p[2];
}

void program(void)
{
    double p[3] = {1, 1, 1.05}, k[4][3], q[3];
    const double dt = 0.01;
    for (int n = 1; n <= 4000; n++) {
        slope(p, k[0]);
        for (int stage = 1; stage < 4; stage++) {
            for (int i = 0; i < 3; i++)
                q[i] = p[i] + k[stage - 1][i] * dt * (stage == 3 ? 1 : 0.5);
            slope(q, k[stage]);
        }
        for (int i = 0; i < 3; i++)
            p[i] += dt / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
        if (n % 400 == 0) {
            put_line("x ", p[0]);
            put_line("y ", p[1]);
            put_line("z ", p[2]);
        }
    }
}
