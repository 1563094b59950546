"""Many questions of one run: insertions, dependence, mixtures, weights that follow the losses."""
