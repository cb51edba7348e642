"""The steps behind the questions: tests, solutions, execution, and the choice of what is kept."""
