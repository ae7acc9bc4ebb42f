"""One file, one question; queries never write."""
