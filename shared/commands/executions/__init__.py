"""Commands about runs: one file, one command, named after it.

Starting, forking and replaying make a `new_run` of the `workflow_version` that was chosen; cancelling, redriving and
signalling read the run (`loading`), and what they need of its version from `workflow_version` as well.
"""
