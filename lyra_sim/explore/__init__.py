"""The loop of plan, generate and remember, one committed segment at a time."""
