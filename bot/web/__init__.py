"""HTTP as such: reading bodies, rate limits, health, and the doors that are no API."""
