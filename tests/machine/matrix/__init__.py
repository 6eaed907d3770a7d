"""The matrix: every opcode in every operand size and mode, with every outcome it can have.

    forms.py           what a row of the opcode table is: sizes, accesses, privileges
    world.py           one memory image and five modes, the same for all cases
    cases.py           an encoding with registers and memory that completes, to start from
    rules.py           what a rule is: where an outcome is possible, and what brings it about
    faults_*.py        the rules, by subject; traps.py has those that come after completion
    models.py          completions that Unicorn cannot judge, from the manual's pseudo-code
    unicorn_oracle.py  all the others
    bench.py           runs a case on our machine and compares
    cells.py           the cells, the exclusions, the counting
    table.py           the same as text

``python -m tests.machine.matrix`` runs it and prints the table, ``... ADD`` the cells of ADD.
"""
