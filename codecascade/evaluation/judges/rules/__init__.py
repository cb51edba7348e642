"""Local rules: they judge without a model and without the network. Each is as good as its few lines can be."""
