"""The matrix: every opcode in every operand size and mode, with every outcome it can have.

    forms.py      what a row of the opcode table is: sizes, accesses, privileges
    world.py      one memory image and five modes, the same for all cases
    cases.py      an encoding with registers and memory that completes, to start from
    faults.py     the faults the manual allows, and the change that brings each about
    models.py     completions that Unicorn cannot judge, from the manual's pseudo-code
    bench.py      runs a case here and, for completions, in Unicorn
    cells.py      the cells, the exclusions, the counting
    test_matrix.py

``python -m tests.machine.matrix`` runs it and prints the table.
"""
