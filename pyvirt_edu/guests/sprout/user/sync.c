/* sync: what was written so far is on the disks when this returns. */
#include "lib/sprout.h"

int main(void) {
    sync();
    return 0;
}
