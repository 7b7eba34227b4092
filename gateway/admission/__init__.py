"""WHEN: a bounded number of slots per organization, and a bounded queue in front of them."""
