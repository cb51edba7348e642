"""Repository completion: lines that use what other files of the same repository define."""
