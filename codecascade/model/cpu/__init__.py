"""Passes of training on CPUs with bf16 instructions, in as few operations as PyTorch allows without a compiler."""
