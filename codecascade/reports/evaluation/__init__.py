"""The report of one evaluation, and the pages of its problems."""
