"""Reads git repositories at a commit, object by object, and asks git what it ignores."""
