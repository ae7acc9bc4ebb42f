"""The way to Supabase: one repository per table group, tenant first in every method."""
