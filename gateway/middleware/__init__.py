"""DOOR: the chain every request passes, one pure-ASGI class per concern; `gateway/app.py` lists them in their order."""
