"""The platform around the processor: the chips and cards of a PC, from the PIC to the disk."""
