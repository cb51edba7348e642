"""How a model's weights are held while it generates: as they are, laid out for the CPU, or quantised."""
