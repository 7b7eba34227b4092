"""WHERE: which group of backends serves this model, and whose turn is it?"""
