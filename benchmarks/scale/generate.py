"""Generates two noisy copies of one random world as a folder that AlignmentFolder reads.

    python benchmarks/scale/generate.py OUT --num-entities 1000000 --num-triples 5000000 --seed 0

Entities live in communities and have power-law degrees; relations and attributes have Zipf
frequencies and depend on the kind of the community. Each graph keeps a share of the triples and
gets random ones, has entities that the other lacks, and names some relations its own way. Every
name is made up. Time and memory are linear in the size; a seed gives the same files again.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROWS = 1 << 20  # rows turned into text at once
_COMMUNITY = 100  # entities of a community
_KINDS = 25  # kinds of communities, which prefer relations and attributes
_SKEW = 0.6  # weights fall as rank ** -_SKEW, so degrees have the exponent 1 + 1 / _SKEW
_NEAR = 0.8  # share of triples that stay inside a community


@dataclass
class Settings:
    """What to generate; the numbers are for each graph."""

    num_entities: int = 1_000_000
    num_triples: int = 5_000_000
    seed: int = 0
    num_relations: int = 300
    num_attributes: int = 1200
    image_channels: int = 32
    dangling: float = 0.1
    kept_triples: float = 0.8
    random_triples: float = 0.1
    renamed_relations: float = 0.3
    missing_attributes: float = 0.3
    missing_images: float = 0.5
    image_noise: float = 1.0
    seed_ratio: float = 0.3


class World:
    """The random world that both graphs are copies of.

    Args:
        settings (Settings): The sizes.
        rng (Generator): Where randomness comes from.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng
        self.num_linked = settings.num_entities - int(settings.num_entities * settings.dangling)
        own = settings.num_entities - self.num_linked
        self.size = self.num_linked + 2 * own
        # Members of a community are neighbours here; who is in which graph is random.
        order = rng.permutation(self.size)
        self.members = (
            order[: settings.num_entities],
            np.concatenate([order[: self.num_linked], order[settings.num_entities :]]),
        )
        self.prominence = rng.permutation(self.size)
        self.relation_of_kind = self.zipf(settings.num_relations, (_KINDS, 8))
        self.attribute_of_kind = self.zipf(settings.num_attributes, (_KINDS, 40))

    def zipf(self, num: int, size: int | tuple[int, ...]) -> np.ndarray:
        """Draws from 0 to num - 1 with probabilities that fall as 1 / rank."""
        total = np.cumsum(1 / np.arange(1, num + 1))
        drawn = np.searchsorted(total, self.rng.random(size) * total[-1])
        return np.minimum(drawn, num - 1)

    def kind(self, entities: np.ndarray) -> np.ndarray:
        """The kind of the community of each entity."""
        return entities // _COMMUNITY % _KINDS

    def _prominent(self, num: int, size: int) -> np.ndarray:
        """Draws ranks, low ones more often."""
        rank = (num * self.rng.random(size) ** (1 / (1 - _SKEW))).astype(np.int64)
        return np.minimum(rank, num - 1)

    def triples(self, num: int) -> np.ndarray:
        """Draws about num different triples of the world (T, 3)."""
        start = self.rng.integers(0, self.size, num) // _COMMUNITY * _COMMUNITY
        head = np.minimum(start + self._prominent(_COMMUNITY, num), self.size - 1)
        tail = np.minimum(start + self._prominent(_COMMUNITY, num), self.size - 1)
        far = self.rng.random(num) >= _NEAR
        tail[far] = self.prominence[self._prominent(self.size, int(far.sum()))]
        relation = self.zipf(self.settings.num_relations, num)
        typical = self.rng.random(num) < 0.5
        column = self.zipf(self.relation_of_kind.shape[1], int(typical.sum()))
        relation[typical] = self.relation_of_kind[self.kind(head[typical]), column]
        real = head != tail
        key = (head[real] * self.settings.num_relations + relation[real]) * self.size + tail[real]
        key = np.unique(key)
        rest, tail = np.divmod(key, self.size)
        head, relation = np.divmod(rest, self.settings.num_relations)
        return np.stack([head, relation, tail], axis=1)

    def attributes(self) -> np.ndarray:
        """Draws a few attributes of every entity (P, 2)."""
        count = np.minimum(1 + self.rng.geometric(0.25, self.size), 12)
        owner = np.repeat(np.arange(self.size), count)
        column = self.zipf(self.attribute_of_kind.shape[1], len(owner))
        return np.stack([owner, self.attribute_of_kind[self.kind(owner), column]], axis=1)


class Side:
    """One graph: which entities of the world it has, and their ids in its files."""

    def __init__(self, world: World, side: int, ids: np.ndarray) -> None:
        self.world, self.side, self.ids = world, side, ids
        self.members = world.members[side]
        self.id_of = np.full(world.size, -1)
        self.id_of[self.members] = ids

    def triples(self, shared: np.ndarray) -> np.ndarray:
        """A share of the triples of the world, and random ones; ids, in random order."""
        settings, rng = self.world.settings, self.world.rng
        num_kept = int(settings.num_triples * (1 - settings.random_triples))
        inside = (self.id_of[shared[:, 0]] >= 0) & (self.id_of[shared[:, 2]] >= 0)
        inside &= rng.random(len(shared)) < settings.kept_triples
        kept = shared[inside][:num_kept]
        kept = np.stack([self.id_of[kept[:, 0]], kept[:, 1], self.id_of[kept[:, 2]]], axis=1)
        num_random = settings.num_triples - len(kept)
        ends = self.ids[rng.integers(0, len(self.ids), (2, num_random))]
        relation = self.world.zipf(settings.num_relations, num_random)
        both = np.concatenate([kept, np.stack([ends[0], relation, ends[1]], axis=1)])
        return both[rng.permutation(len(both))]

    def attributes(self, shared: np.ndarray) -> np.ndarray:
        """What is left of the attributes of the world, and some wrong ones, sorted by id."""
        settings, rng = self.world.settings, self.world.rng
        has = np.zeros(self.world.size, dtype=bool)
        has[self.members] = rng.random(len(self.members)) >= settings.missing_attributes
        kept = shared[has[shared[:, 0]] & (rng.random(len(shared)) < 0.8)]
        wrong = rng.random(len(kept)) < 0.1
        attribute = kept[:, 1].copy()
        attribute[wrong] = self.world.zipf(settings.num_attributes, int(wrong.sum()))
        pairs = self.id_of[kept[:, 0]] * settings.num_attributes + attribute
        return np.stack(np.divmod(np.unique(pairs), settings.num_attributes), axis=1)

    def images(self, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the entities that have an image, and its noisy features."""
        settings, rng = self.world.settings, self.world.rng
        has = rng.random(len(self.members)) >= settings.missing_images
        x = shared[self.members[has]]
        return self.ids[has], x + settings.image_noise * rng.standard_normal(x.shape, np.float32)


def digits(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decimal digits of numbers as text (N, W), and which of them are no leading zeros."""
    width = len(str(int(numbers.max(initial=0))))
    text = numbers[:, None] // 10 ** np.arange(width)[::-1] % 10
    shown = np.cumsum(text, axis=1) > 0
    shown[:, -1] = True
    return (text + ord("0")).astype(np.uint8), shown


Column = str | np.ndarray | tuple[str | np.ndarray, np.ndarray]


def write(path: Path, *columns: Column) -> None:
    """Writes rows of texts and numbers; a column in a pair is left out where its mask is false."""
    num_rows = next(len(column) for column in columns if isinstance(column, np.ndarray))
    with path.open("wb") as file:
        for start in range(0, num_rows, _ROWS):
            rows = slice(start, min(start + _ROWS, num_rows))
            file.write(_text(columns, rows).tobytes())


def _text(columns: tuple[Column, ...], rows: slice) -> np.ndarray:
    num_rows = rows.stop - rows.start
    texts, masks = [], []
    for column in columns:
        content, mask = column if isinstance(column, tuple) else (column, None)
        if isinstance(content, str):
            text = np.tile(np.frombuffer(content.encode(), np.uint8), (num_rows, 1))
            shown = np.ones(text.shape, dtype=bool)
        else:
            text, shown = digits(content[rows])
        texts.append(text)
        masks.append(shown if mask is None else shown & mask[rows, None])
    return np.concatenate(texts, axis=1)[np.concatenate(masks, axis=1)]


def write_attributes(path: Path, base: str, pairs: np.ndarray) -> None:
    """Writes a line an entity: its URI and its attributes."""
    first = np.ones(len(pairs), dtype=bool)
    first[1:] = pairs[1:, 0] != pairs[:-1, 0]
    last = np.append(first[1:], True)
    name = "\thttp://schema.example/a"
    write(path, (f"{base}/e", first), (pairs[:, 0], first), name, pairs[:, 1], ("\n", last))


def generate(out: Path, settings: Settings) -> None:
    """Writes the folder.

    Args:
        out (Path): The folder, which is made.
        settings (Settings): The sizes.
    """
    rng = np.random.default_rng(settings.seed)
    world = World(settings, rng)
    out.mkdir(parents=True, exist_ok=True)
    ids = rng.permutation(2 * settings.num_entities)
    graphs = [Side(world, side, part) for side, part in enumerate(np.split(ids, 2))]
    visible = settings.num_entities / world.size
    share = settings.kept_triples * visible**2 / (1 - settings.random_triples)
    # Some more than needed, since repeated ones fall out.
    triples = world.triples(int(1.1 * settings.num_triples / share))
    triples = triples[rng.permutation(len(triples))]
    attributes = world.attributes()
    images = rng.standard_normal((world.size, settings.image_channels), np.float32)
    own_name = rng.random(settings.num_relations) < settings.renamed_relations
    for graph in graphs:
        number = graph.side + 1
        base = f"http://graph{number}.example"
        names = np.arange(settings.num_relations)
        renamed = own_name if number == 2 else np.zeros_like(own_name)
        write(
            out / f"rel_ids_{number}",
            names,
            "\t",
            ("http://schema.example/r", ~renamed),
            (f"{base}/r", renamed),
            names,
            "\n",
        )
        entities = np.sort(graph.ids)
        write(out / f"ent_ids_{number}", entities, f"\t{base}/e", entities, "\n")
        head, relation, tail = graph.triples(triples).T
        write(out / f"triples_{number}", head, "\t", relation, "\t", tail, "\n")
        write_attributes(out / f"training_attrs_{number}", base, graph.attributes(attributes))
    if settings.image_channels > 0:
        with_image = [graph.images(images) for graph in graphs]
        both = [np.concatenate(part) for part in zip(*with_image, strict=True)]
        np.savez(out / "image_features.npz", ids=both[0], x=both[1])
    links = np.stack([graph.ids[: world.num_linked] for graph in graphs], axis=1)
    links = links[rng.permutation(len(links))]
    num_seeds = int(len(links) * settings.seed_ratio)
    for name, part in (
        ("ill", links),
        ("sup", links[:num_seeds]),
        ("ref", links[num_seeds:]),
    ):
        write(out / f"{name}_ent_ids", part[:, 0], "\t", part[:, 1], "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = vars(parser.parse_args())
    generate(args.pop("out"), Settings(**args))


if __name__ == "__main__":
    main()
