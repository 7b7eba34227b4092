"""How is the gateway run as a module? `python -m gateway` is the `gateway` command."""

from gateway.cli import main

if __name__ == "__main__":
    main()
