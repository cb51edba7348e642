"""The report of a cascade: what each stage changed."""
