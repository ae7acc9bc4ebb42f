"""The drain: takes executions from the queue and runs them."""
