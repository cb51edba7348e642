"""A model behind HTTP, in the protocols that editors and other clients speak."""
