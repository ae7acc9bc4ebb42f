"""The shapes of answers, which only the description needs."""
