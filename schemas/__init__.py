"""Records, topics, errors, tables: what crosses a process boundary. Imports nothing of learner or stream."""
