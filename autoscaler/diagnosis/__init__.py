"""Why data are missing: the chain of data, asked for with few queries, and when a lack of data is a problem."""
