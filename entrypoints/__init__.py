"""One thin click script per MLproject entry point: parse, call, record."""
