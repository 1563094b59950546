"""Compute budgets: what a step costs, what a budget buys, and how to spend it best."""
