"""Which of the hosts with this database is it? A name that was made once, and stands in DATA_PATH."""

import contextlib
import os
import secrets
import socket
from pathlib import Path

FILE = "host.name"


def find_or_make(folder: Path) -> str:
    """The name that stands in this folder, made if there is none; whoever comes first makes it for all processes.

    Where the folder cannot be used it is the system's name, which containers change.
    """
    path = folder / FILE
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(secrets.token_hex(6), "ascii")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_text("ascii").strip() or socket.gethostname()
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()
