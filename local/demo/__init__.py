"""`make demo`: `command` starts the stack and cleans up, `story` is what happens in between."""
