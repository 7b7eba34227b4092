"""What may the command line ask of the generated tests? The profile of `make fuzz`."""

from hypothesis import settings

from tests.fuzz.effort import LONG

settings.register_profile(LONG, print_blob=True)
