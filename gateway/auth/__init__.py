"""WHO: which key, which address, which organization?"""
