"""Gets weights, tokenizers and data ahead, for machines without a network.

python -m clapbench.fetch model=laion,mga,m2d bench=synth_order
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from rich.markup import escape

from clapbench import config
from clapbench.console import complain, console, tell
from clapbench.files import sha256_of
from clapbench.sources import downloads, hosts, source, tokenizers
from clapbench.sources.licences import CARDS, Card

USAGE = """usage: clapbench fetch model=NAME[,NAME...] bench=NAME[,NAME...] [checkpoint_dir=DIR]

Downloads what these models and benchmarks need and is not on this machine yet: weights, tokenizers, archives of clips.
Prints each file's size, SHA-256, licence and citation. Files of the Hugging Face hub go to its own cache (HF_HOME),
others to $CLAPBENCH_CACHE. What lies in checkpoint_dir already is not fetched."""


@dataclass(frozen=True)
class Download:
    """One thing to have: a source, or the name of a tokenizer on the hub."""

    owner: str  # as errors name it: model 'laion'
    source: str
    is_tokenizer: bool = False

    @property
    def name(self) -> str:
        """The download as the command names it."""
        return f"tokenizer {self.source}" if self.is_tokenizer else source.Source.parse(self.source).file

    @property
    def repository(self) -> str:
        """OWNER/NAME on the hub, or what else the source is of."""
        return (
            self.source if self.is_tokenizer else "/".join(self.source.removeprefix("hf://").split("/")[:2])
        )

    def here(self) -> Path | None:
        """Where it lies on this machine; None where it does not."""
        return (
            tokenizers.find_local_tokenizer(self.source)
            if self.is_tokenizer
            else downloads.find_local(self.source)
        )

    def get(self) -> Path:
        """Downloads what is missing, and says where it lies."""
        if self.is_tokenizer:
            return tokenizers.fetch_tokenizer(self.source, who=self.owner)
        return downloads.fetch(self.source, who=self.owner)


def items(group: str, node: DictConfig) -> Iterator[Download]:
    """What one model or benchmark needs from elsewhere, that its configuration does not name by a path."""
    owner = f"{group} {node.name!r}"
    for what in ("checkpoint", "text_checkpoint"):
        source = node.get(what.replace("checkpoint", "source"))
        if source is not None and node.get(what) is None:
            yield Download(owner, source)
    tokenizer = node.get("tokenizer")
    if tokenizer is not None and not Path(tokenizer).expanduser().is_dir():
        yield Download(owner, tokenizer, is_tokenizer=True)
    if group == "bench":
        yield from (Download(owner, source) for source in config.build(node).downloads())


def wanted(arguments: Sequence[str]) -> tuple[dict[tuple[str, str], DictConfig], str | None]:
    """The composed node of each (group, yaml) that was typed, and the folder of ``checkpoint_dir``."""
    nodes: dict[tuple[str, str], DictConfig] = {}
    folder = None
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config.CONF), version_base="1.3"):
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if key == "checkpoint_dir" and equals:
                folder = value
                continue
            if key not in ("model", "bench") or not value:
                raise config.ConfigError(
                    f"fetch: needed model=NAME or bench=NAME, got {argument!r}. See --help."
                )
            for name in value.split(","):
                if name not in config.choices(key):
                    raise config.unknown(key, name, config.choices(key))
                nodes[key, name] = compose("evaluate", [f"{key}={name}"])[key]
    return nodes, folder


def fetch(nodes: dict[tuple[str, str], DictConfig]) -> list[str]:
    """Gets what every node needs, and prints what it is, where it lies and whose work it is; returns the errors."""
    errors = []
    for (group, yaml), node in nodes.items():
        say(f"[bold]{group}={yaml}[/]")
        try:
            if group == "bench":
                config.check_node(node, group=group)
            listed = list(items(group, node))
        except ValueError as error:  # a key that only the user can fill
            errors.append(f"{group} {yaml!r}: {error}")
            say("  [red]failed[/]")
            continue
        if not listed:
            say("  nothing to fetch")
        for item in listed:
            try:
                if item.here() is None and not item.is_tokenizer:
                    say(f"  fetching {item.name}, {megabytes(hosts.size(item.source))}")
                path = item.get()
            except (OSError, ValueError) as error:
                errors.append(str(error))
                say(f"  {item.name}  [red]failed[/]")
                continue
            size, sha256 = facts(path)
            say(f"  {escape(item.name)}  {size}  {escape(str(path))}\n  [dim]SHA-256 {sha256}[/]")
            if card := CARDS.get(item.repository):  # a text encoder or tokenizer of somebody else
                say_card(card)
        if listed and (card := CARDS.get(yaml)):
            say_card(card)
    return errors


def say_card(card: Card) -> None:
    """Prints a model's licence, citation and page."""
    say(f"  licence: {card.licence}\n  cite: {card.cite}\n  {card.url}")


def say(text: str) -> None:
    """Prints a line as it is."""
    console.print(text, highlight=False, soft_wrap=True)


def facts(path: Path) -> tuple[str, str]:
    """Size and SHA-256 of a file, or of a folder's tokenizer files together."""
    if path.is_dir():
        held = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
        return megabytes(held), tokenizers.find_tokenizer(str(path), model="")[1]
    return megabytes(path.stat().st_size), sha256_of(path)


def megabytes(count: int | None) -> str:
    """A number of bytes in MB; ``?`` where it is unknown."""
    return "? MB" if count is None else f"{count / 1e6:.1f} MB"


def main(arguments: Sequence[str]) -> int:
    """The command: ``model=a,b`` and options in, files in the cache out; the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        tell(USAGE)
        return 0 if arguments else 2
    try:
        nodes, folder = wanted(arguments)
        with source.settings(allowed=True, folder=folder):
            errors = fetch(nodes)
    except ValueError as mistake:
        errors = [str(mistake)]
    for line in errors:
        complain(f"error: {line}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
