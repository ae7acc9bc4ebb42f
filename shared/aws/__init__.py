"""The way to AWS: boto3 clients, imported where used."""
