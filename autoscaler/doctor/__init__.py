"""The doctor: checks of an installation as values, the facts that they judge, and the walk along one chain."""
