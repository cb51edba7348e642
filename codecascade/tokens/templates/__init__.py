"""A model folder's own chat template, rendered as transformers does, in bounds and with inert messages."""
