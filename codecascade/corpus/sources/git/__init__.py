"""Git repositories at a commit, read object by object."""
