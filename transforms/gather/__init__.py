"""Steps of the phase `gather`."""
