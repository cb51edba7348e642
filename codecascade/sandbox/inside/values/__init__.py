"""Plain values between a program's process and the tests: the form, its writing and its reading."""
