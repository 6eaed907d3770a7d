"""Segments loaded, gates, interrupts, far transfers, tasks."""
