"""Steps of the phase `annotate`."""
