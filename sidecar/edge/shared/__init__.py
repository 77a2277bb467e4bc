"""What several sidecars share, in Redis: answers, limits, budgets. It may be slow, full, wrong or away at any time."""
