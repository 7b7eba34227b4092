"""`make kubernetes-rules`: the PrometheusRule, written anew from the rules."""

import sys

from monitoring.kubernetes import WRITTEN, render

if __name__ == "__main__":
    WRITTEN.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{WRITTEN} is written\n")
