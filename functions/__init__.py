"""Lambda entry points: parse, call one command or query, answer."""
