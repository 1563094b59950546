"""The part of gather that meets the network: polite, safe, and the only one that may."""
