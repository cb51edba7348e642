"""What stands around every request: who may ask, how it is logged and counted, and how it ends."""
