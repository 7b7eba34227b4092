"""WIRED: the rooms of one worker made and joined, a file for each part; `app.py` joins the parts."""
