"""The invented products behind the generated catalogue, before anyone describes them."""

from dataclasses import dataclass, replace

import numpy as np

from pyg_mmea.datasets._catalogue_canvas import PATTERNS, Look
from pyg_mmea.datasets._catalogue_words import COLOURS, COUNTRIES, KINDS

# Share of the products that are another one in other colours.
VARIANTS = 0.25


@dataclass(frozen=True)
class Collection:
    """Products of one brand that go together: the same pattern, colours that match."""

    brand: int
    designer: int
    pattern: str
    colours: tuple[int, int, int]


@dataclass(frozen=True)
class Product:
    """What is true of a product, whoever sells it; colours are rows of :obj:`COLOURS`."""

    look: Look
    colour: int
    brand: int
    collection: int | None
    material: str
    height: float
    width: float
    weight: float
    price: float
    year: int
    extra: float
    partners: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """All products, and the numbers of those that each side has.

    Args:
        products (list[Product]): All of them.
        collections (list[Collection]): Collections; products refer to them by number.
        brand_country (list[str]): The country of each brand.
        both (range): Products that both sides have.
        only (tuple[range, range]): Products that only the source and only the target has.
    """

    products: list[Product]
    collections: list[Collection]
    brand_country: list[str]
    both: range
    only: tuple[range, range]


def make_world(num_products: int, dangling_ratio: float, seed: int) -> World:
    """Draws the products; noise and wording come later and do not change them."""
    rng = np.random.default_rng([seed, 0])
    num_dangling = round(num_products * dangling_ratio)
    num_both = num_products - num_dangling
    total = num_both + 2 * num_dangling

    num_brands = min(60, max(3, num_products // 16))
    country = [COUNTRIES[i] for i in rng.integers(len(COUNTRIES), size=num_brands)]
    collections = [_collection(i % num_brands, rng) for i in range(3 * num_brands)]
    products: list[Product] = []
    for _ in range(total):
        brand = int(rng.integers(num_brands))
        if products and rng.random() < VARIANTS:
            products.append(_variant(products[rng.integers(len(products))], rng))
        else:
            products.append(_product(brand, collections, rng))
    products = _pair_up(products, rng)
    # Variants follow what they vary, so the parts are drawn at random.
    order = rng.permutation(total)
    rank = np.empty(total, dtype=int)
    rank[order] = np.arange(total)
    products = [
        replace(products[i], partners=tuple(int(rank[j]) for j in products[i].partners))
        for i in order
    ]
    middle = num_both + num_dangling
    only = (range(num_both, middle), range(middle, total))
    return World(products, collections, country, range(num_both), only)


def _three_colours(rng: np.random.Generator) -> tuple[int, int, int]:
    first, second, third = rng.choice(len(COLOURS), 3, replace=False).tolist()
    return first, second, third


def _collection(brand: int, rng: np.random.Generator) -> Collection:
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    return Collection(brand, int(rng.integers(20)), pattern, _three_colours(rng))


def _product(brand: int, collections: list[Collection], rng: np.random.Generator) -> Product:
    kind = list(KINDS)[rng.integers(len(KINDS))]
    number: int | None = None
    main, second, third = _three_colours(rng)
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    if rng.random() < 0.6:
        own = [i for i, collection in enumerate(collections) if collection.brand == brand]
        number = own[rng.integers(len(own))]
        pattern = collections[number].pattern if rng.random() < 0.7 else pattern
        palette = [colour for colour in collections[number].colours if colour != main]
        second, third = palette[0], palette[1]
    colours = (COLOURS[main][0], COLOURS[second][0], COLOURS[third][0])
    form = tuple(rng.random(8).tolist())
    look = Look(kind, form, colours, pattern, float(rng.random()), brand % 12)
    about = KINDS[kind]
    height = float(about.height[0] + form[0] * (about.height[1] - about.height[0]))
    return Product(
        look=look,
        colour=main,
        brand=brand,
        collection=number,
        material=about.materials[rng.integers(len(about.materials))],
        height=round(height, 1),
        width=round(height * float(rng.uniform(0.6, 1.4)), 1),
        weight=round(about.weight * float(rng.lognormal(0, 0.3))),
        price=round(about.price * float(rng.lognormal(0, 0.4)), 2),
        year=int(rng.integers(2009, 2026)),
        extra=round(float(rng.uniform(10, 60)), 1),
        partners=(),
    )


def _variant(product: Product, rng: np.random.Generator) -> Product:
    """The same product in another main colour."""
    others = [i for i in range(len(COLOURS)) if i != product.colour]
    colour = others[rng.integers(len(others))]
    colours = (COLOURS[colour][0], *product.look.colours[1:])
    year = min(product.year + int(rng.integers(0, 3)), 2026)
    return replace(product, look=replace(product.look, colours=colours), colour=colour, year=year)


def _pair_up(products: list[Product], rng: np.random.Generator) -> list[Product]:
    """Says what goes with what: mostly products of the same collection or brand."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, product in enumerate(products):
        groups.setdefault(("brand", product.brand), []).append(i)
        if product.collection is not None:
            groups.setdefault(("collection", product.collection), []).append(i)
    out = []
    for i, product in enumerate(products):
        partners = set()
        for _ in range(int(rng.integers(1, 4))):
            group: list[int] | range = groups["brand", product.brand]
            if product.collection is not None and rng.random() < 0.5:
                group = groups["collection", product.collection]
            elif rng.random() < 0.3:
                group = range(len(products))
            partners.add(int(group[rng.integers(len(group))]))
        out.append(replace(product, partners=tuple(sorted(partners - {i}))))
    return out
