"""The tests. A regular package, because a sender's own library installs one of this name, which would hide it."""
