"""WHAT THE DATABASE SAID: keys, organizations and models, as the control process published them for the workers."""
