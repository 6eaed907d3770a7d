"""What every hypervisor of the book shares: a way into ring 0 for Python, and a meter."""
