"""What pytest leaves alone here: programs that run in an environment of their own."""

collect_ignore = ["in_bytewax.py", "in_quix.py", "rival_fold.py"]
