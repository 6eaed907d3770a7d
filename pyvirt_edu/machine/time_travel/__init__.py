"""Snapshots, history, the past, traces."""
