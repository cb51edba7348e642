"""Reads git repositories at a commit, object by object."""
