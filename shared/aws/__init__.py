"""Calls of AWS services, encryption of secrets, and signed signal tokens. boto3 is imported where it is used."""
