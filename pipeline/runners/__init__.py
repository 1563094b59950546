"""Engines other than this machine's own workers: Flink, Dataflow, Prism, whatever Beam knows.

The graph of a phase is the same everywhere (`pipeline/weave.py`). What differs is kept here: the
options of an engine, how parts reach it, what is done when it loses a worker, and how worker
processes begin. The direct runner needs nothing of this room.
"""
