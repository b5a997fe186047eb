"""Three sites on one machine, for the quickstart, the end-to-end tests and the benchmark, on real PostgreSQL and real Knot."""
