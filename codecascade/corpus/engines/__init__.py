"""Engines that run the parts of a build: processes of this machine, or a Ray cluster."""
