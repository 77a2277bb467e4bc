"""Answers that stand in for calls: what may be kept, under which key, for how long, and in which levels."""
