"""The data stream: documents and dialogues into packed rows, as a function of the seed."""
