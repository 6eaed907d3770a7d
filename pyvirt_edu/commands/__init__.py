"""The subcommands of `pyvirt` that need more than a few lines, one a file."""
