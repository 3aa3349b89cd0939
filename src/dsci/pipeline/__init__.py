"""The order of effects, told through ports: no argument parsing, no environment, no third-party client."""
