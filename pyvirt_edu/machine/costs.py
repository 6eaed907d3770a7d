"""What things cost: the prices in cycles, and the ledger of what was done.

Time in the machine is simulated. Each class of operation has one price, a fact about a
processor of the P6 family (Pentium Pro to Pentium III) as far as its makers or those who
measured it say. Change a price and the clock changes, the instruction count does not.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field, fields

import numpy as np

# Classes of cost: indices into the COSTS array, priced by costs.CostModel
(
    COST_SIMPLE,
    COST_LOAD,
    COST_STORE,
    COST_BRANCH,
    COST_MULTIPLY,
    COST_DIVIDE,
    COST_STRING,
    COST_SHIFT_DOUBLE,
    COST_CALL,
    COST_FAR,
    COST_SEGMENT,
    COST_GATE,
    COST_IRET,
    COST_TASK,
    COST_SYSTEM,
    COST_CONTROL,
    COST_FLUSH,
    COST_WALK,
    COST_TLB_MISS,
    COST_PORT,
    COST_CPUID,
    COST_MSR,
    COST_SYSENTER,
    COST_STACK_MANY,
    COST_BIT_SCAN,
    COST_BCD,
    COST_EXCEPTION,
    COST_FLOAT_MOVE,
    COST_FLOAT_ADD,
    COST_FLOAT_MULTIPLY,
    COST_FLOAT_DIVIDE,
    COST_FLOAT_ROOT,
    COST_FLOAT_SERIES,
    COST_FLOAT_STATE,
) = range(34)
COST_CLASSES = """
SIMPLE LOAD STORE BRANCH MULTIPLY DIVIDE STRING SHIFT_DOUBLE CALL
FAR SEGMENT GATE IRET TASK SYSTEM CONTROL FLUSH WALK TLB_MISS
PORT CPUID MSR SYSENTER STACK_MANY BIT_SCAN BCD EXCEPTION FLOAT_MOVE FLOAT_ADD FLOAT_MULTIPLY FLOAT_DIVIDE
FLOAT_ROOT FLOAT_SERIES FLOAT_STATE
""".split()


def _price(cycles: int, source: str) -> int:
    return field(default=cycles, metadata={"source": source})  # type: ignore[no-any-return]


# Sources, by the short names used below:
#   FOG     A. Fog, "Instruction tables", section on Pentium II and Pentium III
#   OPT     Intel Architecture Optimization Reference Manual (order number 245127), appendix C
#   SDM     Intel 64 and IA-32 Architectures Software Developer's Manual
#   AA06    K. Adams and O. Agesen, ASPLOS 2006, native column of the nanobenchmarks
#   choice  no published figure is known; the value is ours, chosen near its neighbours
@dataclass(frozen=True)
class CostModel:
    """Prices in cycles, one for each class of operation."""

    simple: int = _price(1, "FOG: ALU on registers, latency 1")
    load: int = _price(2, "FOG: one load micro-op more; latency 3, partly hidden")
    store: int = _price(2, "FOG: store address and store data micro-ops")
    branch: int = _price(2, "FOG: jump predicted, throughput 2")
    multiply: int = _price(4, "FOG: MUL and IMUL r32, latency 4")
    divide: int = _price(39, "FOG: DIV r32, latency 39")
    string: int = _price(2, "FOG: REP MOVS and STOS, about 1 to 2 cycles a repetition")
    shift_double: int = _price(4, "FOG: SHLD and SHRD, latency 4")
    call: int = _price(4, "FOG: near CALL and RET, 4 micro-ops")
    far: int = _price(28, "FOG: far JMP, CALL, RET in protected mode, 21 to 33")
    segment: int = _price(8, "FOG: MOV to a segment register, 8 micro-ops")
    gate: int = _price(60, "FOG: INT n, from about 60 micro-ops up, privilege change included")
    iret: int = _price(50, "choice: the way back, near INT")
    task: int = _price(250, "OPT: hundreds of cycles for a task switch; choice within it")
    system: int = _price(10, "FOG: SGDT, SMSW, LAR and family, order of ten micro-ops")
    control: int = _price(40, "FOG: MOV to CR and DR serialise, 36 to 42")
    flush: int = _price(30, "SDM 3A 8.3: MOV to CR3 and INVLPG serialise; choice on top of it")
    walk: int = _price(10, "choice: one table entry from the L2 cache (latency near 10 on P6)")
    tlb_miss: int = _price(4, "choice: what a miss takes besides its references")
    port: int = _price(300, "FOG: IN and OUT exceed 300 cycles; AA06 has 3209 on a later system")
    cpuid: int = _price(48, "FOG: 23 to 48 micro-ops")
    msr: int = _price(50, "choice: RDMSR, WRMSR and RDTSC by microcode, WRMSR serialises")
    sysenter: int = _price(20, "choice: SYSENTER exists to be a fraction of INT")
    stack_many: int = _price(18, "FOG: PUSHA and POPA, 18 and 10 micro-ops")
    bit_scan: int = _price(2, "FOG: BSF and BSR, 2 micro-ops")
    bcd: int = _price(4, "FOG: DAA, AAA and family, 1 to 4 micro-ops")
    exception: int = _price(80, "choice: a gate, and the pipeline that is thrown away")
    float_move: int = _price(1, "choice: one micro-op, as FXCH and FCHS; memory has its own price")
    float_add: int = _price(3, "FOG: FADD and FSUB, latency 3")
    float_multiply: int = _price(5, "FOG: FMUL, latency 5")
    float_divide: int = _price(38, "FOG: FDIV to 64 bits, latency 38; the rest of the class is a choice")
    float_root: int = _price(69, "FOG: FSQRT, latency 69")
    float_series: int = _price(100, "choice: FSIN to FYL2XP1 take tens of cycles to 130 in FOG")
    float_state: int = _price(100, "choice: near the count of micro-ops of FNSAVE and FRSTOR")

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 60_000:
                raise ValueError(
                    f"CostModel: {item.name}={value!r} is not a price; use a whole number of cycles, 0..60000"
                )

    def array(self) -> np.ndarray:
        """The prices as the core reads them: 64 words, by COST_ class."""
        words = np.zeros(64, np.uint64)
        for number, name in enumerate(COST_CLASSES):
            words[number] = getattr(self, name.lower())
        return words

    def source(self, name: str) -> str:
        """Where a price comes from."""
        for item in fields(self):
            if item.name == name:
                return str(item.metadata["source"])
        raise AttributeError(f"CostModel has no price called {name!r}")

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{item.name}</td><td>{getattr(self, item.name)}</td>"
            f"<td style='text-align:left'>{html.escape(item.metadata['source'])}</td></tr>"
            for item in fields(self)
        )
        head = "<tr><th>operation</th><th>cycles</th><th>source</th></tr>"
        return f"<table><caption>Cost model</caption>{head}{rows}</table>"


@dataclass(frozen=True)
class Ledger:
    """What a machine has done since reset, by kind. Taken as a copy: two can be compared."""

    instructions: int = 0
    cycles: int = 0
    data_accesses: int = 0
    data_misses: int = 0
    fetch_accesses: int = 0
    fetch_misses: int = 0
    walk_references: int = 0
    exits: dict[str, int] = field(default_factory=dict)

    @property
    def data_hits(self) -> int:
        """Accesses that found their page in the data TLB."""
        return self.data_accesses - self.data_misses

    @property
    def fetch_hits(self) -> int:
        return self.fetch_accesses - self.fetch_misses

    def rows(self) -> list[tuple[str, int]]:
        rows = [
            ("instructions", self.instructions),
            ("cycles", self.cycles),
            ("data TLB hits", self.data_hits),
            ("data TLB misses", self.data_misses),
            ("fetch TLB hits", self.fetch_hits),
            ("fetch TLB misses", self.fetch_misses),
            ("page-walk references", self.walk_references),
        ]
        return rows + [(f"exits: {reason}", count) for reason, count in sorted(self.exits.items())]

    def __sub__(self, earlier: Ledger) -> Ledger:
        """What happened in between."""
        exits = {r: n - earlier.exits.get(r, 0) for r, n in self.exits.items()}
        return Ledger(
            **{
                f.name: getattr(self, f.name) - getattr(earlier, f.name)
                for f in fields(self)
                if f.name != "exits"
            },
            exits={r: n for r, n in exits.items() if n},
        )

    def __repr__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(["Ledger"] + [f"  {name:{width}}  {count:>17,}" for name, count in rows])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(name)}</td><td>{count:,}</td></tr>"
            for name, count in self.rows()
        )
        return f"<table><caption>Ledger</caption><tr><th>what</th><th>count</th></tr>{rows}</table>"
