"""Where do processes of one host meet without a file? In memory that has no name and cannot be cut."""

import fcntl
import os


def sealed_memory(name: str, size: int) -> int:
    """A descriptor of `size` bytes of zeros; whoever inherits it may map them.

    The memory needs no directory, and is gone with the last process that holds it, however that ended. All of it is
    there from the start, and nobody can cut it: a write to missing memory would be a SIGBUS.

    Args:
        name: what /proc shows; any number may have the same.
        size: in bytes.

    Raises:
        OSError: there is not enough memory.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(descriptor, 0, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor
