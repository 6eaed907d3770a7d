"""What runs on the machine: image formats and boot protocols."""
