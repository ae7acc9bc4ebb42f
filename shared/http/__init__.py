"""The HTTP API: an `operation` is declared once, and served, authorised, parsed and documented from its declaration.

`api` routes an event of a function to its handler. A `request` is authorised (`auth`), its `query` and `body` are
parsed into models (`validation`); `responses` are JSON or problems, lists go through `paging` with a `cursor`.
`operations`, `parameters` and `views` declare the API's operations, query strings and response shapes, of which
`openapi` makes the document. `user_tokens` authenticates Supabase users.
"""
