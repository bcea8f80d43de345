"""One file a version of the database's shape; what is released is not changed any more."""
