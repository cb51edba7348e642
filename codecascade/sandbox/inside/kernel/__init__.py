"""Kernel interfaces: namespaces, Landlock, seccomp, capabilities, accounting."""
