"""The Llama architecture and the files that hold it."""
