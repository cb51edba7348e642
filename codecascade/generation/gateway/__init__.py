"""A model on another server: its tokens, our rules of where a text begins and ends."""
