"""What tests, their commands and the benchmarks share."""
