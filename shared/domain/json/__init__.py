"""JSON as this service takes it: strict, bounded, and never more work than its size allows. Pure.

`values` parses it and says what a database can store; `body_parsing` says what a request's or response's body means.
`schema` reads a JSON Schema, `schema_validator` holds a value against it, within a `check_budget`, looking values up by
the numbers that `interning` gives to equal ones.
"""
