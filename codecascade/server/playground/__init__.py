"""The page at ``/``: an editor that the model fills in, and a chat. ``source`` has what ``static`` was built from."""
