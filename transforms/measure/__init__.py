"""Steps of the phase `measure`."""
