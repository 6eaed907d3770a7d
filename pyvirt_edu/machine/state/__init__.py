"""The words and arrays of a machine, and how functions become machine code."""
