"""Rows of JSON lines and Parquet files."""
