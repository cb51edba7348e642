"""Our side of the sandbox: starts confined processes, asks them, ends them."""
