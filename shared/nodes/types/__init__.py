"""The node types, one file each and nothing else: `NODE` in the file of its name is the type.

`shared.nodes.registry` finds a type by its file and imports it on first use; `shared.nodes.node_type` says what a type
is.
"""
