"""`python -m services.auth`: its `commands`."""

from shared.loading import uncollected

with uncollected():
    from services.auth.commands import main

if __name__ == "__main__":
    main()
