"""The benchmarks of `overread bench`. Each is a function that returns rows; every peer runs in the same process."""
