"""The drain loop, the run of one execution, the journal and the expression guard."""
