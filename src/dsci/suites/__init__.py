"""In-container tests: one module per kind of suite, each turning a suite's files into verdicts."""
