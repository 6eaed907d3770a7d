"""What micro-ops and system instructions do."""
