"""``python -m codecascade``, which is what ``torchrun -m codecascade run RECIPE`` starts."""

import os

from codecascade.ground.signals import hold


def start() -> None:
    """Run the command. A rank keeps signals until it can note them: torchrun starts again what they have killed."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        hold()
    # Importing the commands takes a second or more.
    from codecascade.cli import main

    main()


start()
