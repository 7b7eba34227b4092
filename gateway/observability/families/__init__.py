"""What is counted? Every metric family of the gateway, in tables by subject; `catalogue.py` has all of them."""
