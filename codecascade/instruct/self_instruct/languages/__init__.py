"""The languages in which tests and solutions can be written: one file each, in one table."""
