"""Evaluation of a trained decoder: sets on disk, prompts, scores, intervals, results."""
