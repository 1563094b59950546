"""Controlled studies of data decisions: the matrix, its cells, statistics and the report."""
