"""The shared CQRS layer behind every function."""
