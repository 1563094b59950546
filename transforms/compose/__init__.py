"""Steps of the phase `compose`."""
