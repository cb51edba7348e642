"""A tokenizer's files: ``tokenizer.json``, ``tokenizer.model``, GGUF metadata, and the configuration beside them."""
