"""The floating-point unit."""
