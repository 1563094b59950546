"""The reader: streams shards, trains, evaluates, ablates. Imports torch, never apache_beam."""
