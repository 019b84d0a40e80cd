"""A Swarm and a load in memory, in virtual time: for the demo, the tests and the benchmarks."""
