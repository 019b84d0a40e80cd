"""The decision: a pure function of policy, observation and history."""
