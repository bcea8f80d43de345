"""Test, then train: a log replayed through the live path's own folds, offline, with any number of arms.

`observer` turns events into labels and sessions, `exams` asks what each moment is to be judged by, `harness`
keeps the order of time, and `report` computes what came of it.
"""
