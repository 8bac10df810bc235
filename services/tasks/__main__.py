"""`python -m services.tasks`: its `commands`."""

from shared.loading import uncollected

with uncollected():
    from services.tasks.commands import main

if __name__ == "__main__":
    main()
