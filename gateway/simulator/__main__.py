"""`python -m gateway.simulator MODEL [FLAGS...]`: one simulated vLLM server."""

import sys

from gateway.simulator import main

sys.exit(main(sys.argv[1:]))
