"""What Python does with a machine: runs and stops it, reads and writes it, answers for devices."""
