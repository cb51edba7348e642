"""What runs confined: the server, the programs' processes, the judge. Standard library only, and small."""
