"""Who does a build's work, part by part: this machine's processes, or a Ray cluster."""
