"""The nouns: records, ids, settings, tables, shards, stores. Knows no verbs, Beam or torch."""
