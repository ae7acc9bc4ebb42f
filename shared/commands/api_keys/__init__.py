"""Commands about API keys: one file, one command, named after it."""
