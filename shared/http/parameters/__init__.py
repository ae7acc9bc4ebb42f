"""The models of query strings."""
