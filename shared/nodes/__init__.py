"""Node types and what they are made of.

`types/` has one module for each type, which `registry` finds by its file name and imports on first use. A `node_type`
is its declaration: the model of its parameters, its handles and limits, and one of the five `node_kinds` with the
functions of that kind. `validation` says whether a graph can be published: `graph_shape` for the graph as a whole,
`at_most_once_rules`, `secret_rules` and `signal_rules` for each node.

Effects send through `outbound`: its `guarded_transport` connects to `public_addresses` that the `dns_resolver` found,
and `http_response` reads what comes back, with `content_decoding` and `charsets`. Those on AWS go through `aws_effect`,
with `aws_messages` for SNS and SQS.
"""
