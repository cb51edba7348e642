"""Where documents come from: folders, git repositories, archives, tables, installed packages."""
