"""Performance by task: what is counted of predictions whose label has come, and the metrics that the counts give."""
