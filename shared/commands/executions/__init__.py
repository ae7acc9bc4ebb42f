"""Commands about runs: one file, one command, named after it.

Starting, forking and replaying make a `new_run` of the `chosen_version`; cancelling, redriving and signalling read the
run (`loading`), and what they need of its version from `pinned_version`.
"""
