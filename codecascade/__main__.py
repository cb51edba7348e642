"""``python -m codecascade``, which is what ``torchrun -m codecascade run RECIPE`` starts."""

from codecascade.cli import main

main()
