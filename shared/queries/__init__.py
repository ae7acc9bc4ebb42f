"""Queries: everything that is read, one file per use case, in a folder per aggregate. Queries never write.

`page` is a page of a list with the place of the next one; `response_size` leaves out what would exceed a function's
response; `event_view` shows events.
"""
