"""Records, topics, errors and tables: what crosses a process boundary. Imports nothing of learner or stream."""
