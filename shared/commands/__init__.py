"""One file, one intent and its handler; this folder is the contents page of what can be changed."""
