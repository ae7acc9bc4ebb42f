"""Commands about workflows: one file, one command, named after it.

Each loads the workflow (`loading`), decides, and appends (`changes`), again where another writer was faster. `draft` is
the body that creating and updating share; `graph_problems` validates a graph before it is published or run.
"""
