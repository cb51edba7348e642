"""The host side of the sandbox: starts confined processes, sends them jobs, ends them."""
