"""The nouns: records, ids, settings, tables, shards, stores. Knows nothing of verbs, Beam or torch."""
