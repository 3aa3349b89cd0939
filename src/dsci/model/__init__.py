"""Decisions, and nothing else: same input, same output, no input or output of its own."""
