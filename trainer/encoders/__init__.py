"""Small speech encoders that learn from speech alone, on a budget of operations."""
