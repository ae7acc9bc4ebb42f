"""Executes runs: `drain` claims jobs, `run` runs the execution of each, `expressions` evaluates what tenants wrote, and
`verify` derives recorded runs once more."""
