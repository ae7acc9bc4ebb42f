"""JSON as this service takes it: strict, bounded, and at a cost that grows with its size alone. Pure.

`values` parses JSON and replaces what a database cannot store; `body_parsing` reads a request's or response's body by
its content type. `schema` checks a JSON Schema itself, `schema_validator` validates a value against it within a
`check_budget`; `interning` gives equal values equal numbers, so that `enum` is one look-up.
"""
