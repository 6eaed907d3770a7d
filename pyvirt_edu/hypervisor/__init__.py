"""The ground that hypervisors stand on, and the two small ones of chapter 00.

Each module opens with the invariant that it keeps, where it keeps one, and has a `check` for it. They
stand on each other in this order:

    guest_fault          what a guest is owed when its instruction cannot be done
    frames               the machine's page frames: each has one owner
    memory_map           where a guest's memory is: nested tables, and traces
    virtual_machine      a processor's record and a PC's devices on such memory; its steps are the interpreter
    meter                what a hypervisor costs: primitives with prices, exits in a ledger
    trap_frame           the exit record
    descriptors          segments and gates; what of a segment a guest in an outer ring may have
    trap_gates           ring 0 for Python: GDT, IDT, TSS and stubs on the real processor
    address_space        the page tables of the real processor, filled from the guest's own
    silent_instructions  breakpoints in place of what does not trap
    instructions         the instruction that faulted
    direct_execution     from the record to the real processor and back
    takeover             a monitor under a system that is about to run
    pass_through         a guest's ports, done on the machine's own devices

    trap_and_emulate     chapter 00: an unmodified kernel
    hypercalls           chapter 00: a kernel that was changed to ask
    parts                what a hypervisor is made of, and the interface through which parts act
    loader               parts by others: a package in which ours are replaced
    domain_config        what a guest is to be
    domain               one of several guests on a processor, and guest time
    several_guests       create, run, pause, save and destroy them: trap and emulate

    own_work             what a guest does by itself of the things that have a price
    three_ways           the same kernel on bare metal and under both
"""
