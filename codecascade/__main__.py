"""``python -m codecascade``, which is what ``torchrun -m codecascade run RECIPE`` starts."""

from codecascade.ground.signals import hold, is_torchrun


def start() -> None:
    """Run the command. A rank keeps signals until it can note them: torchrun starts again what they have killed."""
    if is_torchrun():
        hold()
    # Importing the commands takes a second or more.
    from codecascade.cli import main

    main()


start()
