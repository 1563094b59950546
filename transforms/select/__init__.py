"""Steps of the phase `select`."""
