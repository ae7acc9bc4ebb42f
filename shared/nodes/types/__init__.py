"""The node types, one file each and nothing else: `NODE` in the file of its name is the type.

`shared.nodes.registry` finds a type by its file and imports it on first use; `shared.nodes.node_type` declares what a
type consists of, `shared.nodes.node_kinds` which functions its kind needs.
"""
