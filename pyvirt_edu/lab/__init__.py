"""What notebooks import: the trace player, predictions, checkpoints.

Names are looked up when they are first used, so that importing this package loads no widgets.
No module here has the name of a function that it exports: an import would hide the function.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .charts import Chart as Chart
    from .charts import bars as bars
    from .charts import lines as lines
    from .charts import show as show
    from .charts import stacked_bars as stacked_bars
    from .checkpoints import Checkpoint as Checkpoint
    from .checkpoints import checkpoint as checkpoint
    from .comparisons import Comparison as Comparison
    from .comparisons import comparison as comparison
    from .comparisons import comparison_page as comparison_page
    from .comparisons import comparison_text as comparison_text
    from .console_widget import ConsoleWidget as ConsoleWidget
    from .exit_timelines import ExitTimeline as ExitTimeline
    from .exit_timelines import exit_timeline as exit_timeline
    from .instruction_tables import InstructionTable as InstructionTable
    from .instruction_tables import instruction_table as instruction_table
    from .listings import Listing as Listing
    from .listings import listing as listing
    from .live import TracePlayer as TracePlayer
    from .opcode_maps import OpcodeMap as OpcodeMap
    from .opcode_maps import opcode_map as opcode_map
    from .prompts import Prediction as Prediction
    from .prompts import predict as predict
    from .prompts import predictions as predictions
    from .screen_widget import ScreenWidget as ScreenWidget
    from .stack_figures import StackFigure as StackFigure
    from .stack_figures import stack_figure as stack_figure
    from .trace_player import Player as Player
    from .trace_player import player as player

#: Public name: the module that has it.
_EXPORTS = {
    "Chart": "charts",
    "Checkpoint": "checkpoints",
    "Comparison": "comparisons",
    "ConsoleWidget": "console_widget",
    "ExitTimeline": "exit_timelines",
    "InstructionTable": "instruction_tables",
    "Listing": "listings",
    "OpcodeMap": "opcode_maps",
    "Player": "trace_player",
    "Prediction": "prompts",
    "ScreenWidget": "screen_widget",
    "StackFigure": "stack_figures",
    "TracePlayer": "live",
    "BenchmarkTable": "benchmark_tables",
    "RingTimeline": "ring_timelines",
    "bars": "charts",
    "benchmark_table": "benchmark_tables",
    "checkpoint": "checkpoints",
    "comparison": "comparisons",
    "comparison_page": "comparisons",
    "comparison_text": "comparisons",
    "exit_timeline": "exit_timelines",
    "instruction_table": "instruction_tables",
    "lines": "charts",
    "listing": "listings",
    "opcode_map": "opcode_maps",
    "player": "trace_player",
    "predict": "prompts",
    "predictions": "prompts",
    "ring_timeline": "ring_timelines",
    "show": "charts",
    "stack_figure": "stack_figures",
    "stacked_bars": "charts",
}

__all__ = [
    "BenchmarkTable",
    "Chart",
    "Checkpoint",
    "Comparison",
    "ConsoleWidget",
    "ExitTimeline",
    "InstructionTable",
    "Listing",
    "OpcodeMap",
    "Player",
    "Prediction",
    "RingTimeline",
    "ScreenWidget",
    "StackFigure",
    "TracePlayer",
    "bars",
    "benchmark_table",
    "checkpoint",
    "comparison",
    "comparison_page",
    "comparison_text",
    "exit_timeline",
    "instruction_table",
    "lines",
    "listing",
    "opcode_map",
    "player",
    "predict",
    "predictions",
    "ring_timeline",
    "show",
    "stack_figure",
    "stacked_bars",
]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
