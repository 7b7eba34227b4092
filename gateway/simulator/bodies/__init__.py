"""What may a request say, and how is it refused when it says something else?"""
