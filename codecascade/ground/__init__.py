"""What every package may use: errors, whole files, locks, checked input, typed settings, formats."""
