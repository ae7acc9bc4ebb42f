"""Request parsing, authentication context and the one table of errors and statuses."""
