"""Public data sets as log directories: one file a data set, from its own form to event records."""
