"""HOW MUCH: token buckets per organization, and one per address for failed authentications."""
