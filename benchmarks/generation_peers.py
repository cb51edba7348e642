"""The engines that benchmarks/generation.py compares: what each has to do for the same prompts.

Each runs in a process of its own, so that none meets settings of another: codecascade tells OpenMP's threads how to
wait, which transformers and llama.cpp do not. ``python generation_peers.py NAME SETTINGS`` is such a process: it
reads a line of JSON for each call, and answers with a line when the work is done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TEMPERATURE, TOP_P = 0.8, 0.95
"""Of texts of which several samples are wanted."""

Prompts = Sequence[tuple[int, ...]]


class Unavailable(Exception):
    """The engine can't be measured here; the message says why."""


class Peer(Protocol):
    """An engine with the model in memory."""

    def complete(self, prompts: Prompts, new: int, samples: int = 1) -> None:
        """Write exactly ``new`` tokens to each prompt, all prompts at a time, and forget what was read.

        Args:
            samples: with more than one, so many texts are drawn for each prompt; else the likeliest tokens are taken.
        """
        ...

    def replay(self, prompts: Prompts, new: int) -> None:
        """The same one prompt after another, keeping what helps the next one."""
        ...


class Ours:
    """codecascade's engine: lists as evaluation has them, and single requests as the server has them.

    It may be that of an earlier commit.
    """

    def __init__(self, folder: str, precision: str) -> None:
        try:
            from codecascade.generation.engine.generator import load_generator
            from codecascade.generation.requests import SamplingParams
        except ImportError:
            # as they were named
            from codecascade.generation.local import load_generator  # type: ignore[import-not-found,no-redef]

            from codecascade.generation.requests import (  # type: ignore[attr-defined,no-redef]
                Sampling as SamplingParams,
            )
        from codecascade.generation.requests import Request

        self._generator: Any = load_generator(folder, precision=precision)  # type: ignore[arg-type]
        self._request, self._sampling = Request, SamplingParams
        self._engine: Any = None
        if hasattr(self._generator, "engine"):
            from codecascade.generation.engine.engine import Engine

            self._engine = Engine(self._generator.model, self._generator.tokenizer, speculate=True)

    def complete(self, prompts: Prompts, new: int, samples: int = 1) -> None:
        if self._engine is not None:
            self._generator.engine.forget_prefixes()
        sampling = self._sampling(new) if samples == 1 else self._sampling(new, TEMPERATURE, TOP_P)
        requests = [self._request(ids, sampling, samples=samples, stop_ids=frozenset()) for ids in prompts]
        found = list(self._generator.generate(requests))
        assert len(found) == samples * len(prompts) and all(len(one.ids) == new for one in found)

    def replay(self, prompts: Prompts, new: int) -> None:
        if self._engine is None:
            for ids in prompts:
                self.complete([ids], new)
            return
        self._engine.forget_prefixes()
        for ids in prompts:
            self._engine.add_request(self._request(ids, self._sampling(new), stop_ids=frozenset()))
            while self._engine.has_work:
                self._engine.step()


class Transformers:
    """``generate`` of transformers, on prompts that are padded on the left."""

    def __init__(self, folder: str, dtype: str) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self._torch: Any = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model = loaded.to(self._device).eval()

    def complete(self, prompts: Prompts, new: int, samples: int = 1) -> None:
        width = max(map(len, prompts))
        ids = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        real = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        how: dict[str, Any] = {"do_sample": False}
        if samples > 1:
            how = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0}
        torch = self._torch
        with torch.inference_mode():
            found = self._model.generate(
                torch.tensor(ids, device=self._device),
                attention_mask=torch.tensor(real, device=self._device),
                max_new_tokens=new,
                num_return_sequences=samples,
                eos_token_id=None,
                pad_token_id=0,
                **how,
            )
        assert found.shape == (samples * len(prompts), width + new)

    def replay(self, prompts: Prompts, new: int) -> None:
        for prompt in prompts:
            self.complete([prompt], new)


class LlamaCpp:
    """llama.cpp through ``llama-cpp-python``: a batch of sequences in each pass, its own samplers.

    A replay goes on from the longest beginning that a prompt shares with the one before it, as llama.cpp's server
    does.

    Raises:
        Unavailable: the package is not installed.
    """

    def __init__(self, file: str, threads: int, tokens: int) -> None:
        try:
            import llama_cpp
        except ImportError as error:
            raise Unavailable(f"llama-cpp-python is not installed ({error})") from None
        if not Path(file).exists():
            raise Unavailable("the model can't be written as GGUF")
        self._library: Any = llama_cpp
        self._quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._quiet, None)
        loading = llama_cpp.llama_model_default_params()
        # its kernels for AMX end the process
        loading.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(file), loading)
        if not self._model:
            raise Unavailable(f"llama.cpp can't load {file}")
        self._vocabulary = int(llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model)))
        params = llama_cpp.llama_context_default_params()
        self._sequences = int(llama_cpp.llama_max_parallel_sequences())
        self._most = 2048
        params.n_ctx, params.n_batch, params.n_seq_max = tokens, self._most, self._sequences
        params.kv_unified, params.n_threads, params.n_threads_batch = True, threads, threads
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise Unavailable("llama.cpp has no memory for its cache")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(self._most, 0, 1)

    def complete(self, prompts: Prompts, new: int, samples: int = 1) -> None:
        # as many prompts at a time as it has sequences for
        wave = max(1, self._sequences // samples)
        for start in range(0, len(prompts), wave):
            self._complete(prompts[start : start + wave], new, samples)

    def _complete(self, prompts: Prompts, new: int, samples: int) -> None:
        library = self._library
        library.llama_memory_clear(self._memory, True)
        samplers = [self._sampler(index, samples) for index in range(samples * len(prompts))]
        lengths: list[int] = []
        tokens: list[int] = []
        for index, prompt in enumerate(prompts):
            first = index * samples
            row = self._decode([(first, place, token) for place, token in enumerate(prompt)])
            # the samples share what was read
            for sequence in range(first, first + samples):
                if sequence > first:
                    library.llama_memory_seq_cp(self._memory, first, sequence, 0, len(prompt))
                tokens.append(self._choose(samplers[sequence], row))
                lengths.append(len(prompt))
        for step in range(new - 1):
            entries = [(sequence, lengths[sequence] + step, token) for sequence, token in enumerate(tokens)]
            self._decode(entries, every=True)
            tokens = [self._choose(sampler, row) for row, sampler in enumerate(samplers)]
        for sampler in samplers:
            if sampler is not None:
                library.llama_sampler_free(sampler)

    def replay(self, prompts: Prompts, new: int) -> None:
        self._library.llama_memory_clear(self._memory, True)
        held: list[int] = []
        for prompt in prompts:
            same = 0
            while same < min(len(held), len(prompt) - 1) and held[same] == prompt[same]:
                same += 1
            self._library.llama_memory_seq_rm(self._memory, 0, same, -1)
            row = self._decode([(0, place, prompt[place]) for place in range(same, len(prompt))])
            held = list(prompt)
            for step in range(new):
                token = self._choose(None, row)
                if step < new - 1:
                    row = self._decode([(0, len(held), token)])
                    held.append(token)

    def _decode(self, entries: Sequence[tuple[int, int, int]], *, every: bool = False) -> int:
        """Compute tokens, each with its sequence and position; the row of the last one's logits."""
        batch = self._batch
        for start in range(0, len(entries), self._most):
            chunk = entries[start : start + self._most]
            for row, (sequence, position, token) in enumerate(chunk):
                batch.token[row], batch.pos[row] = token, position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = every or start + row == len(entries) - 1
            batch.n_tokens = len(chunk)
            answer = self._library.llama_decode(self._context, batch)
            if answer:
                raise RuntimeError(f"llama.cpp failed ({answer})")
        return len(chunk) - 1

    def _sampler(self, seed: int, samples: int) -> Any:
        if samples == 1:
            return None
        library = self._library
        chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        for part in (
            library.llama_sampler_init_top_p(TOP_P, 1),
            library.llama_sampler_init_temp(TEMPERATURE),
            library.llama_sampler_init_dist(seed),
        ):
            library.llama_sampler_chain_add(chain, part)
        return chain

    def _choose(self, sampler: Any, row: int) -> int:
        if sampler is not None:
            return int(self._library.llama_sampler_sample(sampler, self._context, row))
        logits = self._library.llama_get_logits_ith(self._context, row)
        # faster than its own greedy sampler, which makes a list of all tokens first
        return int(np.ctypeslib.as_array(logits, (self._vocabulary,)).argmax())


class Elsewhere:
    """An engine in a process of its own.

    Args:
        kind: a name of :data:`KINDS`, and what it is made with.
        checkout: where codecascade is imported from; None: where it is imported from here.

    Raises:
        Unavailable: it can't be measured here.
    """

    def __init__(self, kind: str, *settings: str | int, checkout: Path | None = None) -> None:
        environment = dict(os.environ)
        if checkout is not None:
            if not (checkout / "codecascade").is_dir():
                raise Unavailable(f"{checkout} is no working tree of codecascade")
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(checkout), *filter(None, [environment.get("PYTHONPATH")])]
            )
        # set by codecascade in this process; each engine's own process decides anew
        for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, __file__, kind, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._wait()

    def complete(self, prompts: Prompts, new: int, samples: int = 1) -> None:
        self._call("complete", prompts, new, samples)

    def replay(self, prompts: Prompts, new: int) -> None:
        self._call("replay", prompts, new)

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _call(self, *words: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        self._wait()

    def _wait(self) -> None:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if answer != "done":
            raise Unavailable(answer or "its process ended; what it said stands above")


KINDS = {"codecascade": Ours, "transformers": Transformers, "llama.cpp": LlamaCpp}


def serve(kind: str, settings: list[Any]) -> None:
    """The process of an engine."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        peer: Peer = KINDS[kind](*settings)
    except Unavailable as reason:
        print(reason, flush=True)
        return
    print("done", flush=True)
    for line in sys.stdin:
        name, *words = json.loads(line)
        words[0] = [tuple(prompt) for prompt in words[0]]
        getattr(peer, name)(*words)
        print("done", flush=True)


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, also in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
