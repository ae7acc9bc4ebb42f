"""Commands about workflows: one file, one command, named after it.

Each reads the workflow (`loading`), decides, and appends (`changes`), again where somebody was faster. `draft` is the
body that creating and updating share; `graph_problems` says what keeps a graph from being run.
"""
