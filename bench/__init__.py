"""Measurements: a load generator, the cost of server processes, and comparisons with a peer."""
