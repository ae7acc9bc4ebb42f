"""Where providers deliver."""
