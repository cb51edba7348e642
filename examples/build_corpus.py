"""Make a corpus of folders, and look at what is in it and what was left out.

    python examples/build_corpus.py CORPUS SOURCE...

A source is a folder, a git repository, an archive, a table, `stdlib` or `installed`. CORPUS/corpus.html shows more.
"""

import sys
from collections import Counter
from pathlib import Path

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings

folder, *sources = sys.argv[1:]
# Near-duplicates, secrets and text that no person wrote are left out unless a setting says otherwise.
settings = CorpusSettings(languages=("python",), heldout_share=0.2, natural_language_share=0.0)
manifest = build_corpus(sources, Path(folder), settings)
print("left out:", manifest.left_out() or "nothing")

corpus = Corpus.open(folder)
for split in ("train", "heldout"):
    documents = corpus.documents(split, "python")
    by_repository = Counter(document.repository for document in documents)
    print(f"{split}: {len(documents)} documents, {documents.total_bytes:,} bytes")
    for repository, count in by_repository.most_common(5):
        print(f"  {repository}: {count}")
