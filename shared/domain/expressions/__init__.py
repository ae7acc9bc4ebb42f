"""JSONata expressions in a node's parameters. Pure; they are evaluated in processes of their own (`shared.engine`).

`expressions` finds them between `{%` and `%}`, compiles and evaluates them under limits; `quoting` finds the quoted
parts of their text. `templates` are whole parameters with expressions, and what these read of a run's data.
`secret_references` and `signal_urls` put placeholders where a secret or a signal's URL belongs; the values replace them
when the effect is performed, and are redacted in its response.
"""
