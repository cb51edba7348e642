"""The files for clusters parse, and every command, option and setting in them exists. No cluster is asked."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from torch.distributed.run import get_args_parser

from codecascade.cli import app
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.recipe import read_recipe
from codecascade.recipe.reading import apply_override, validated

EXAMPLES = Path(__file__).parent.parent / "examples"
JOBS = sorted((EXAMPLES / "slurm").glob("*.sbatch"))
DIRECTIVES = {
    *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "mem", "exclusive", "time"),
    *("signal", "requeue", "open-mode", "output"),
}
"""Of sbatch's own manual page."""
TASK = {"name", "num_nodes", "resources", "volumes", "workdir", "envs", "setup", "run"}
"""Fields of a SkyPilot task that are used here, by its reference."""


def script_of(text: str) -> str:
    """A shell script without comments and with its lines joined."""
    lines = (line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#"))
    return "\n".join(lines)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Each command with codecascade in it, by the file that it is in."""
    for path in [*JOBS, EXAMPLES / "skypilot.yaml"]:
        text = path.read_text()
        if path.suffix == ".yaml":
            text = yaml.safe_load(text)["run"]
        for line in script_of(text).splitlines():
            if re.search(r"\bcodecascade (run|eval|corpus)\b", line) and "pkill" not in line:
                words = shlex.split(line.rstrip("& "))
                yield path.name, words
    for document in yaml.safe_load_all((EXAMPLES / "kubernetes" / "train.yaml").read_text()):
        if document["kind"] == "Job":
            yield "train.yaml", document["spec"]["template"]["spec"]["containers"][0]["command"]


COMMANDS = list(command_lines())


def test_there_is_one_of_each_kind() -> None:
    assert [name for name, _ in COMMANDS] == [
        *("corpus.sbatch", "measure.sbatch", "train.sbatch", "skypilot.yaml", "train.yaml")
    ]


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_commands_and_their_options_exist(name: str, words: list[str]) -> None:
    if "torchrun" in words:
        start = words.index("torchrun") + 1
        plain = [word if "$" not in word else re.sub(r"\$\w+", "1", word) for word in words[start:]]
        given = get_args_parser().parse_args(plain)
        assert given.rdzv_backend == "c10d" and given.max_restarts > 0
        assert given.rdzv_endpoint.endswith(":29500") and given.rdzv_id
        assert (given.module, given.training_script) == (True, "codecascade")
        arguments = given.training_script_args
    else:
        arguments = words[words.index("codecascade") + 1 :]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    assert options and set(options) <= known


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_settings_exist(name: str, words: list[str]) -> None:
    pairs = [
        words[index + 1] if word == "--set" else word.removeprefix("--set=")
        for index, word in enumerate(words)
        if word == "--set" or word.startswith("--set=")
    ]
    pairs = [pair.replace("$SLURM_GPUS_PER_NODE", "8").replace("$HOME", "/home/me") for pair in pairs]
    if "eval" in words:
        values: dict[str, Any] = {}
        for pair in pairs:
            apply_override(values, pair)
        assert validated(EvaluateSettings, values).server.tensor_parallel == 8
    elif pairs:
        made = read_recipe("code-llama-7b", pairs)
        assert made.evaluate.engine == "vllm" and len(made.evaluate.server.command) == 1
        assert all(stage.evaluate.engine == "vllm" for stage in made.stage)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_slurm_scripts(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    given = re.findall(r"^#SBATCH --([a-z-]+)(?:=\S+)?$", text, re.MULTILINE)
    assert len(given) == text.count("#SBATCH") and set(given) <= DIRECTIVES
    # Slurm reads them up to the first command.
    assert text.rindex("#SBATCH") < text.index("\nset -euo pipefail")


@pytest.fixture
def stubs(tmp_path: Path) -> dict[str, str]:
    """Programs that stand in for Slurm's and for torchrun, and an environment in which they are found."""
    programs = {
        "scontrol": 'if [ "$1" = show ]; then echo node1; echo node2; else echo "$@" >"$OUT/scontrol"; fi',
        # Without its own options.
        "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
        "torchrun": 'echo "$@" >"$OUT/torchrun"; until [ -s "$OUT/stop" ]; do sleep 1; done; exit $(cat "$OUT/stop")',
        # What ends a real run after it has saved.
        "pkill": 'echo "$@" >"$OUT/pkill"; echo 1 >"$OUT/stop"',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "7",
        "SLURM_GPUS_PER_NODE": "8",
    }
    out = {"OUT": str(tmp_path), "USER": "me", "PATH": f"{folder}:{os.environ['PATH']}"}
    return {**os.environ, **slurm, **out}


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert path.exists()


def start(stubs: dict[str, str]) -> subprocess.Popen[bytes]:
    script = EXAMPLES / "slurm" / "train.sbatch"
    made = subprocess.Popen(
        ["bash", script, "code-llama-7b", "runs/a run", "--set", "seed=1"],
        env=stubs,
        stdout=subprocess.DEVNULL,
    )
    wait_for(Path(stubs["OUT"], "torchrun"))
    return made


def test_a_job_near_its_time_limit_saves_and_is_queued_again(stubs: dict[str, str]) -> None:
    with start(stubs) as job:
        job.send_signal(signal.SIGUSR1)
        assert job.wait(60) == 0
    out = Path(stubs["OUT"])
    given = (out / "torchrun").read_text()
    assert "--nnodes=2 --nproc-per-node=8" in given and "--rdzv-endpoint=node1:29500" in given
    assert "run code-llama-7b --output runs/a run --set seed=1" in given
    assert (out / "scontrol").read_text() == "requeue 7\n"
    # The ranks of torchrun, not torchrun itself and not the command that looks for them.
    pattern = (out / "pkill").read_text().strip().partition(" -f ")[2]
    ours = "/venv/bin/python3.12 -u -m codecascade run code-llama-7b"
    assert re.search(pattern, ours)
    assert not re.search(pattern, f"/venv/bin/python /venv/bin/torchrun {given}")
    assert not re.search(pattern, f"srun pkill -f {pattern}")


@pytest.mark.parametrize("status", [0, 3])
def test_a_job_that_ends_by_itself_is_not_queued_again(stubs: dict[str, str], status: int) -> None:
    out = Path(stubs["OUT"])
    with start(stubs) as job:
        (out / "stop").write_text(f"{status}\n")
        assert job.wait(60) == status
    assert not (out / "scontrol").exists()


def test_the_notice_before_a_pod_ends_finds_the_ranks() -> None:
    train, service, claim = (
        next(
            document
            for path in (EXAMPLES / "kubernetes").glob("*.yaml")
            for document in yaml.safe_load_all(path.read_text())
            if document["kind"] == kind
        )
        for kind in ("Job", "Service", "PersistentVolumeClaim")
    )
    pod = train["spec"]["template"]
    container = pod["spec"]["containers"][0]
    stop = container["lifecycle"]["preStop"]["exec"]["command"]
    subprocess.run(["bash", "-n", "-c", stop[2]], check=True)
    (pattern, again) = re.findall(r"-f '([^']+)'", stop[2])
    assert pattern == again and re.search(pattern, "/usr/bin/python -u -m codecascade run x")
    # The pods find pod 0 by the name that the job and the service give it, and see one file system.
    name = f"{train['metadata']['name']}-0.{service['metadata']['name']}:"
    assert any(word.startswith(f"--rdzv-endpoint={name}") for word in container["command"])
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    counts = train["spec"]["completions"], train["spec"]["parallelism"]
    assert counts == (8, 8) and "--nnodes=8" in container["command"]
    # A lost pod ends all torchruns, and the one in its place with them. As many may fail again while they meet.
    assert train["spec"]["backoffLimit"] >= 50 * (counts[0] + 1 + counts[0])
    # Pods wait at the rendezvous for one that finds no node yet.
    conf = next(word for word in container["command"] if word.startswith("--rdzv-conf="))
    assert int(conf.partition("join_timeout=")[2]) >= 3600


def test_the_skypilot_task() -> None:
    task = yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text())
    assert set(task) <= TASK
    for script in (task["setup"], task["run"]):
        subprocess.run(["bash", "-n", "-c", script], check=True)
    ours = {*task["envs"], "HOME", "head"}
    given = set(re.findall(r"\$\{?([A-Za-z_]+)", task["run"]))
    assert {name for name in given - ours if not name.startswith("SKYPILOT_")} == set()
