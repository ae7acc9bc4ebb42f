"""Commands about secrets: one file, one command, named after it; `changes` has what they share."""
