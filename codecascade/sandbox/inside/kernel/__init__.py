"""What the kernel is asked for: namespaces, Landlock, seccomp, rights, accounts."""
