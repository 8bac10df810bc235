"""`python -m services.gateway`: its `commands`."""

from shared.loading import uncollected

with uncollected():
    from services.gateway.commands import main

if __name__ == "__main__":
    main()
