/*
 * PCI, as far as one network card needs it: find a function on bus 0, its ports and its interrupt.
 * Where no firmware has set these up, that is done here.
 */
#include "../include/network.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, DEVICES = 32, FUNCTIONS = 8 };
enum { COMMAND = 4, BASE_ADDRESS = 0x10, INTERRUPT = 0x3c, IO_ON = 1 };
enum { PIIX3 = 0x70008086, PIRQ_ROUTE = 0x60, ROUTE_OFF = 0x80, LEVEL_CONTROL = 0x4d0 };
enum { FREE_PORTS = 0xc000, FREE_IRQ = 11 };

static void set_address(struct pci_function f, u32 at) {
    port_out32(ADDRESS, 0x80000000u | f.device << 11 | f.function << 8 | at);
}

u32 pci_read(struct pci_function f, u32 at) {
    set_address(f, at);
    return port_in32(DATA);
}

void pci_write(struct pci_function f, u32 at, u32 value) {
    set_address(f, at);
    port_out32(DATA, value);
}

bool pci_find(u32 vendor_and_device, struct pci_function *found) {
    for (u32 device = 0; device < DEVICES; device++)
        for (u32 function = 0; function < FUNCTIONS; function++) {
            *found = (struct pci_function){device, function};
            u32 id = pci_read(*found, 0);
            if (id == vendor_and_device)
                return true;
            if (id == 0xffffffff && function == 0)
                break;
        }
    return false;
}

u32 pci_ports(struct pci_function f) {
    u32 base = pci_read(f, BASE_ADDRESS) & ~3u;
    if (!base)
        pci_write(f, BASE_ADDRESS, base = FREE_PORTS);
    pci_write(f, COMMAND, (pci_read(f, COMMAND) & 0xffff) | IO_ON);
    return base;
}

/* The bridge to ISA leads each of four inputs to a line of the PIC; the input comes from the slot. */
static u32 route(struct pci_function f) {
    struct pci_function bridge;
    u32 pin = pci_read(f, INTERRUPT) >> 8 & 0xff;
    if (!pin || !pci_find(PIIX3, &bridge))
        return 0;
    u32 shift = (f.device - 1 + pin - 1) % 4 * 8, routes = pci_read(bridge, PIRQ_ROUTE);
    u32 line = routes >> shift & 0xff;
    if (line & ROUTE_OFF) {
        line = FREE_IRQ;
        pci_write(bridge, PIRQ_ROUTE, (routes & ~(0xffu << shift)) | line << shift);
        port_out8(LEVEL_CONTROL + 1, port_in8(LEVEL_CONTROL + 1) | 1 << (line - 8));
    }
    return line;
}

u32 pci_interrupt(struct pci_function f) {
    u32 line = pci_read(f, INTERRUPT) & 0xff;
    return line && line < 16 ? line : route(f);
}
