"""The methods of parallel training and of saving memory, one a file. apply.py puts them in their order."""
