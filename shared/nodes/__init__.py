"""Node types: one file each, imported on first use."""
