"""How results are shown: text, JSON, log lines."""
