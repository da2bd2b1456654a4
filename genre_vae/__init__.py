"""Find genre structure in a folder of music, and say honestly how well."""
