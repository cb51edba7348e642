"""Which names a file uses of other files of its repository, by its imports."""
