/* poweroff: sync, then switch the machine off. */
#include "lib/sprout.h"

int main(void) {
    power_off();
    return 1;
}
