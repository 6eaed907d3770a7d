"""Run the matrix and print it."""

from __future__ import annotations

from .cells import Runner
from .table import every_cell, summary, table


def main() -> None:
    result = Runner().run(every_cell())
    print(table(result))
    print()
    print(summary(result))
    for line in result.failures():
        print(line)


main()
