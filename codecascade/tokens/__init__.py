"""Text to ids and back: tokenizers, infilling layouts, token healing, chat formats."""
