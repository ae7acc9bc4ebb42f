"""What the engine costs, measured beside a bare server in the same run: `make bench`."""
