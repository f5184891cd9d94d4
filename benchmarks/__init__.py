"""Speed, beside what one would use instead."""
