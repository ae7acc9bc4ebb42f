"""JSONata expressions in a node's parameters. Pure; they are evaluated in processes of their own (`shared.engine`).

`expressions` finds them between `{%` and `%}`, compiles and evaluates them under limits; `quoting` knows what of their
text is quoted. `templates` are whole parameters with expressions in them, and what these read of a run's data.
`secret_references` and `signal_urls` put placeholders where a secret or a signal's URL goes, which are filled in when
the effect is performed and hidden again in what comes back.
"""
