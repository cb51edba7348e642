"""The question step: interview-style questions by a prompt, about the user's own code, or from a file."""
