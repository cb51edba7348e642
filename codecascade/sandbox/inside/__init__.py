"""What runs inside a zone: the server, the programs' own processes, the judge. Standard library only, and small."""
