"""What people see of a run: the HTML report, the data card, the Croissant file, the final funnel.

Pure functions from one frozen `content.RunSummary` to text; no Beam, no clock, no storage. The same
summary gives the same bytes.
"""
