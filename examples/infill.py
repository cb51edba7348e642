"""Fill the place that a file marks, as an editor does at its cursor.

    python examples/infill.py MODEL FILE [MARK]

The text before and after MARK (by default <FILL>) is shown to the model; the file is printed with the gap filled.
"""

import sys
from pathlib import Path

from codecascade.generation.engine.generator import load_generator
from codecascade.generation.requests import SamplingParams, infilling_request

model, file, *mark = sys.argv[1:]
prefix, _, suffix = Path(file).read_text(encoding="utf-8").partition(*(mark or ["<FILL>"]))

generator = load_generator(model)
tokenizer = generator.tokenizer
if tokenizer.infilling is None:
    sys.exit(f"{model} has no infilling tokens; codecascade run quickstart shows how a model gets them")
# The first layout of the model's family: for most, prefix, suffix, middle.
layout = tokenizer.infilling.formats[0]
request = infilling_request(tokenizer, prefix, suffix, SamplingParams(max_new_tokens=64), format=layout)

print(prefix, end="")
for piece in generator.stream(request):
    print(piece, end="", flush=True)
print(suffix, end="")
