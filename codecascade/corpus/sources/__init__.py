"""Where documents come from: folders, git repositories, archives, tables, packages."""
