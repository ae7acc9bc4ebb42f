"""Every HTTP operation of the service, declared once: a module per function."""
