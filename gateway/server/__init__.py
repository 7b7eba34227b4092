"""DOORWAY: how do bytes of clients become requests, and who keeps the workers alive?"""
