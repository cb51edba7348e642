"""The benchmarks: one file each, one table."""
