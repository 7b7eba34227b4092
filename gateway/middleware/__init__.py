"""DOOR: the chain every request passes, one pure-ASGI class per concern; `chain.py` holds its order."""
