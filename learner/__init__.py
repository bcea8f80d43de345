"""The online learner: a frozen transformer recommender, and the low-rank state the stream moves."""
