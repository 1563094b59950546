"""Engine families: a Protocol, its adapters, one table of names each; heavy imports inside."""
