"""From an address to a byte: segments, page walk, TLB, physical memory, and what a write makes stale."""
