"""The node types: a type is one module of its name, found by its file and imported on first use."""
