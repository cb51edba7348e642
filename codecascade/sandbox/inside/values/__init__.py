"""Plain values between a program's process and the tests: the format, its writer and its reader."""
