"""Text and speech of the same content pulled together, as a training objective."""
