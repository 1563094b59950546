"""Steps of the phase `hear`."""
