"""From bytes to micro-ops, block by block."""
