"""The pages of a self-instruct folder."""
