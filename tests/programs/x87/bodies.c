/* Five bodies that attract one another: leapfrog steps in double. */
#include "runtime.h"

struct body {
    double at[3], speed[3], mass;
};

static struct body bodies[] = {
    {{0, 0, 0}, {0, 0, 0}, 40},
    {{5, 0.25, -0.125}, {0.1, 2.75, 0.05}, 0.04},
    {{-8.5, 3, 0.5}, {-0.7, -1.9, 0.02}, 0.011},
    {{12, -9, 1.5}, {0.95, 1.25, -0.1}, 0.0017},
    {{-3, -21, -2}, {1.35, -0.2, 0.03}, 0.002},
};
enum { COUNT = sizeof bodies / sizeof *bodies };

static double energy(void)
{
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        double square = 0;
        for (int k = 0; k < 3; k++)
            square += bodies[i].speed[k] * bodies[i].speed[k];
        sum += bodies[i].mass * square / 2;
        for (int j = i + 1; j < COUNT; j++) {
            double apart = 0;
            for (int k = 0; k < 3; k++) {
                double d = bodies[i].at[k] - bodies[j].at[k];
                apart += d * d;
            }
            sum -= bodies[i].mass * bodies[j].mass / x87_root(apart);
        }
    }
    return sum;
}

static void step(double dt)
{
    for (int i = 0; i < COUNT; i++)
        for (int j = i + 1; j < COUNT; j++) {
            double d[3], apart = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = bodies[i].at[k] - bodies[j].at[k];
                apart += d[k] * d[k];
            }
            double pull = dt / (apart * x87_root(apart));
            for (int k = 0; k < 3; k++) {
                bodies[i].speed[k] -= d[k] * bodies[j].mass * pull;
                bodies[j].speed[k] += d[k] * bodies[i].mass * pull;
            }
        }
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 3; k++)
            bodies[i].at[k] += dt * bodies[i].speed[k];
}

void program(void)
{
    put_line("energy before ", energy());
    for (int n = 0; n < 500; n++)
        step(0.005);
    put_line("energy after  ", energy());
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 3; k++)
            put_line("place ", bodies[i].at[k]);
}
