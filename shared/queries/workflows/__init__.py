"""Queries about workflows, their versions and schedules: one file, one question, named after it."""
