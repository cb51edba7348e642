"""What every package may use: errors, atomic files, locks, checked input, typed settings and formats."""
