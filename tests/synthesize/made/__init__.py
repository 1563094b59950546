"""Steps of extract and synthesize that need no library: what the phases around them promise."""
