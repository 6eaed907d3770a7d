"""Run the matrix and print it: all of it, or the cells of some instructions one by one.

python -m tests.machine.matrix
python -m tests.machine.matrix ADD DIV
"""

from __future__ import annotations

import sys

from .cells import Runner, all_cells
from .table import details, every_cell, summary, table


def main(operations: list[str]) -> int:
    unknown = [name for name in operations if name not in all_cells()]
    if unknown:
        print(f"no row is called {', '.join(unknown)}; there are {', '.join(all_cells())}")
        return 2
    cells = [cell for name in operations for cell in all_cells()[name]] or every_cell()
    result = Runner().run(cells)
    print(details(result, cells) if operations else table(result, cells))
    print()
    print(summary(result))
    failures = result.failures()
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
