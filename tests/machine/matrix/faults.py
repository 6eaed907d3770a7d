"""All the rules; importing the files registers them, in this order."""

from __future__ import annotations

from . import faults_anywhere, faults_far, faults_gates, faults_memory, faults_segments, faults_system, traps
from .rules import RULES, Rule

__all__ = ["RULES", "Rule", "faults_anywhere", "faults_far", "faults_gates", "faults_memory",
           "faults_segments", "faults_system", "traps"]  # fmt: skip
