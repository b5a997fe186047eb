"""Three sites on one machine, for the quickstart, the end-to-end tests and the benchmark: real PostgreSQL, real Knot, a real application."""
