"""The x86 computer, in rooms. From the top, each standing on those below it:

bare_machine   the machine as Python has it; its parts are in python_side/ and time_travel/
time_travel/   snapshots, history, the past, traces
python_side/   running it, reading and writing it, claiming its devices, stopping it
registers      registers by the manual's names
assembler/     from text to bytes, and back
x87/           the floating-point unit
execute/       the loop, and what micro-ops and system instructions do
protection/    segments loaded, gates, interrupts, far transfers, tasks
decode/        from bytes to micro-ops, and, in Python, to objects and back
memory/        from an address to a byte: segments, page walk, TLB, physical memory
state/         the words and arrays of a machine, and how functions become machine code
opcodes        the table: one row is one instruction
costs          what things cost, and the ledger
errors, exits  what can go wrong, and why a run ended
"""
