"""The two graphs of the generated catalogue: the same products in the words of either side."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.tables import GraphTables
from pyg_mmea.datasets._catalogue_words import COLOURS, KINDS, MATERIALS, invented_name
from pyg_mmea.datasets._catalogue_world import Product, World

Key = tuple[str, int | str]  # what an entity is, and which one: ("brand", 3)
Row = tuple[Key, str, Key]
Cell = tuple[str, float | str]


@dataclass
class Side:
    """One graph by keys, and the tables made of it.

    Args:
        tables (GraphTables): The graph, without pictures.
        keys (list[Key]): What each entity is, in the order of the tables.
        codes (list[str]): The last part of each URI, which names the picture.
    """

    tables: GraphTables
    keys: list[Key]
    codes: list[str]
    index: dict[Key, int] = field(init=False)

    def __post_init__(self) -> None:
        self.index = {key: i for i, key in enumerate(self.keys)}


def _maker_rows(world: World, i: int) -> Iterator[Row]:
    product, own = world.products[i], ("product", i)
    kind = KINDS[product.look.kind]
    yield own, "madeBy", ("brand", product.brand)
    yield own, "inCategory", ("category", kind.category)
    yield own, "madeOf", ("material", product.material)
    for partner in product.partners:
        yield own, "compatibleWith", ("product", partner)
    yield ("category", kind.category), "subcategoryOf", ("group", kind.group)
    yield ("brand", product.brand), "basedIn", ("country", world.brand_country[product.brand])
    if product.collection is not None:
        collection = ("collection", product.collection)
        yield own, "fromCollection", collection
        yield collection, "designedBy", ("designer", world.collections[product.collection].designer)


def _shop_rows(world: World, i: int) -> Iterator[Row]:
    product, own = world.products[i], ("product", i)
    kind = KINDS[product.look.kind]
    yield own, "brand", ("brand", product.brand)
    yield own, "department", ("department", kind.department)
    yield own, "material_type", ("material", MATERIALS[product.material])
    yield own, "colour_family", ("colour", COLOURS[product.colour][2])
    yield own, "shipped_from", ("country", world.brand_country[product.brand])
    for partner in product.partners:
        yield ("product", partner), "goes_with", own
    if product.collection is not None:
        yield own, "series", ("collection", product.collection)
        yield ("collection", product.collection), "series_of", ("brand", product.brand)


def _maker_cells(product: Product) -> Iterator[Cell]:
    yield "heightCm", product.height
    yield "widthCm", product.width
    yield "weightGrams", product.weight
    yield "recommendedPriceEUR", product.price
    yield "launchYear", str(product.year)
    yield "colourway", COLOURS[product.colour][1]
    if product.look.pattern != "plain":
        yield "surfaceDesign", product.look.pattern
    extra = KINDS[product.look.kind].extra
    if extra is not None:
        yield extra[0], product.extra


def _shop_cells(product: Product) -> Iterator[Cell]:
    yield "height_in", product.height / 2.54
    yield "weight_lb", product.weight / 453.6
    yield "price_usd", product.price * 1.18
    yield "listed_since", f"{product.year}-{1 + int(product.height * 10) % 12:02d}"
    if product.material in ("cotton", "linen", "wool"):
        yield "care", "hand wash" if product.material == "wool" else "machine wash"
    if KINDS[product.look.kind].group == "Furniture":
        yield "assembly", "required"
    extra = KINDS[product.look.kind].extra
    if extra is not None:
        yield extra[1], product.extra * 0.9


def _maker_name(world: World, key: Key) -> str:
    what, which = key
    if what == "product":
        product = world.products[int(which)]
        series = "" if product.collection is None else f"{_series(product.collection)} "
        kind, colour = KINDS[product.look.kind].maker, COLOURS[product.colour][1]
        return f"{invented_name(product.brand)} {series}{kind}, {colour}, {product.height:g} cm"
    if what == "collection":
        return f"{_series(int(which))} collection"
    if what == "brand":
        return invented_name(int(which))
    return f"{invented_name(100 + int(which))} Studio" if what == "designer" else str(which)


def _shop_name(world: World, key: Key) -> str:
    what, which = key
    if what == "product":
        product = world.products[int(which)]
        words = [COLOURS[product.colour][2], product.look.pattern, KINDS[product.look.kind].shop]
        return f"{' '.join(words)} by {invented_name(product.brand)}".replace("plain ", "")
    if what == "collection":
        return f"The {_series(int(which))} series"
    return f"{invented_name(int(which))} Ltd." if what == "brand" else str(which)


def _series(collection: int) -> str:
    return invented_name(60 + 7 * collection % 60)


@dataclass(frozen=True)
class _Voice:
    host: str
    rows: Callable[[World, int], Iterator[Row]]
    cells: Callable[[Product], Iterator[Cell]]
    name: Callable[[World, Key], str]


_VOICES = (
    _Voice("https://maker.example", _maker_rows, _maker_cells, _maker_name),
    _Voice("https://shop.example", _shop_rows, _shop_cells, _shop_name),
)


def describe(
    world: World, side: int, relation_noise: float, attribute_noise: float, seed: int
) -> Side:
    """What the manufacturer (0) or the shop (1) says of its products.

    Args:
        world (World): The products.
        side (int): 0 for the source graph, 1 for the target graph.
        relation_noise (float): Share of the triples that are missing (two thirds of it) or have
            another tail of the same sort (one third).
        attribute_noise (float): Share of the attribute values that are missing; numbers that are
            there deviate by a tenth of it.
        seed (int): What decides this, URIs and the order of everything.
    """
    voice = _VOICES[side]
    rng = np.random.default_rng([seed, 1 + side])
    here = [*world.both, *world.only[side]]
    known = set(here)
    rows = dict.fromkeys(
        row
        for i in here
        for row in voice.rows(world, i)
        if all(what != "product" or which in known for what, which in (row[0], row[2]))
    )
    kept = _with_noise(list(rows), relation_noise, rng)
    keys = list(dict.fromkeys([*(("product", i) for i in here), *_ends(kept)]))
    keys = [keys[i] for i in rng.permutation(len(keys))]
    codes = _codes(len(keys), rng)
    uri = [f"{voice.host}/{what}/{code}" for (what, _), code in zip(keys, codes, strict=True)]
    out = Side(GraphTables(uri, name=[voice.name(world, key) for key in keys]), keys, codes)

    relations = sorted({relation for _, relation, _ in kept})
    out.tables.relation_uri = [f"{voice.host}/property/{relation}" for relation in relations]
    number = {relation: i for i, relation in enumerate(relations)}
    triples = [(out.index[head], number[name], out.index[tail]) for head, name, tail in kept]
    out.tables.triples = torch.tensor(triples)[torch.from_numpy(rng.permutation(len(triples)))]
    _add_attributes(out, world, voice, attribute_noise, rng)
    return out


def _ends(rows: Iterable[Row]) -> Iterator[Key]:
    for head, _, tail in rows:
        yield head
        yield tail


def _with_noise(rows: list[Row], noise: float, rng: np.random.Generator) -> list[Row]:
    """Drops and rewires; an entity that heads triples keeps its first one."""
    tails: dict[str, list[Key]] = {}
    for _, relation, tail in rows:
        tails.setdefault(relation, []).append(tail)
    kept: dict[Row, None] = {}
    seen: set[Key] = set()
    for row, chance in zip(rows, rng.random(len(rows)), strict=True):
        head, relation, tail = row
        first = head not in seen
        seen.add(head)
        if not first and chance < noise * 2 / 3:
            continue
        if not first and chance < noise:
            tail = tails[relation][rng.integers(len(tails[relation]))]
        if tail != head:
            kept[head, relation, tail] = None
    return list(kept)


def _codes(count: int, rng: np.random.Generator) -> list[str]:
    """Different random words of eight letters, so that URIs tell nothing."""
    letters = np.array(list("abcdefghijkmnpqrstuvwxyz23456789"))
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes["".join(rng.choice(letters, 8))] = None
    return list(codes)


def _add_attributes(
    out: Side, world: World, voice: _Voice, noise: float, rng: np.random.Generator
) -> None:
    found: list[tuple[int, str, str]] = []
    for entity, (what, which) in enumerate(out.keys):
        if what != "product":
            continue
        for name, value in voice.cells(world.products[int(which)]):
            chance, jitter = rng.random(), rng.normal(0, 0.1)
            if chance < noise:
                continue
            text = value if isinstance(value, str) else f"{value * (1 + noise * jitter):.2f}"
            found.append((entity, name, text))
    names = sorted({name for _, name, _ in found})
    number = {name: i for i, name in enumerate(names)}
    pairs = torch.tensor([(entity, number[name]) for entity, name, _ in found]).view(-1, 2)
    out.tables.attribute_uri = [f"{voice.host}/property/{name}" for name in names]
    out.tables.attributes = out.tables.attribute_triples = pairs
    out.tables.attribute_value = [text for _, _, text in found]


def find_links(source: Side, target: Side, seed: int) -> Tensor:
    """Links between the products, brands and collections that both sides have, in random order."""
    linked = ("product", "brand", "collection")
    both = [key for key in source.keys if key[0] in linked and key in target.index]
    links = torch.tensor([(source.index[key], target.index[key]) for key in both]).t()
    order = np.random.default_rng([seed, 3]).permutation(len(both))
    return links[:, torch.from_numpy(order)].contiguous()
