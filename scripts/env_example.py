"""Writes .env.example anew from the settings: run it when a setting was added or changed."""

from pathlib import Path

from gateway.cli.env_file import CHOSEN, render

if __name__ == "__main__":
    (Path(__file__).parents[1] / ".env.example").write_text(render(CHOSEN), encoding="utf-8")
