"""GGUF files by llama.cpp's kernels, behind the interface of our own engine."""
