"""The words of the generated catalogue: what the manufacturer says, and what the shop says."""

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Kind:
    """A kind of product.

    Args:
        maker (str): What the manufacturer calls it.
        shop (str): What the shop calls it.
        category (str): Category of the manufacturer, which has an own one for each kind.
        group (str): What that belongs to.
        department (str): Department of the shop, which joins several kinds.
        materials (tuple[str, ...]): Keys of :obj:`MATERIALS`.
        height (tuple[float, float]): Least and greatest height in centimetres.
        weight (float): Typical weight in grams.
        price (float): Typical price in EUR.
        extra (tuple[str, str], optional): A measure that only such products have, in the words of
            either side.
    """

    maker: str
    shop: str
    category: str
    group: str
    department: str
    materials: tuple[str, ...]
    height: tuple[float, float]
    weight: float
    price: float
    extra: tuple[str, str] | None = None


_VOLUME = ("capacityMl", "volume_fl_oz")
_POWER = ("powerWatt", "energy_use_w")

KINDS: dict[str, Kind] = {
    "mug": Kind(
        "mug", "coffee cup", "Mugs", "Tableware", "Kitchen & dining",
        ("stoneware", "porcelain", "steel"), (7, 13), 350, 14, _VOLUME,
    ),
    "bottle": Kind(
        "drinking bottle", "flask", "Drinking bottles", "Tableware", "Outdoor & travel",
        ("steel", "glass", "polypropylene"), (18, 32), 300, 24, _VOLUME,
    ),
    "vase": Kind(
        "vase", "flower vase", "Vases", "Decoration", "Home accents",
        ("stoneware", "glass", "porcelain"), (14, 40), 900, 39, _VOLUME,
    ),
    "kettle": Kind(
        "kettle", "water boiler", "Kettles", "Small appliances", "Kitchen & dining",
        ("steel", "enamel"), (18, 28), 1200, 59, _POWER,
    ),
    "lamp": Kind(
        "table lamp", "desk light", "Table lamps", "Lighting", "Lights & sound",
        ("steel", "oak", "linen"), (30, 65), 1900, 89, _POWER,
    ),
    "chair": Kind(
        "chair", "dining seat", "Chairs", "Furniture", "Living & office",
        ("oak", "beech", "polypropylene", "steel"), (74, 95), 5200, 179,
    ),
    "table": Kind(
        "side table", "occasional table", "Side tables", "Furniture", "Living & office",
        ("oak", "beech", "steel", "glass"), (40, 75), 11000, 229,
    ),
    "bag": Kind(
        "handbag", "tote", "Bags", "Accessories", "Fashion", ("leather", "cotton", "wool"),
        (22, 40), 700, 119, ("volumeLitre", "holds_gal"),
    ),
    "shoe": Kind(
        "shoe", "sneaker", "Shoes", "Accessories", "Fashion", ("leather", "cotton", "rubber"),
        (9, 22), 800, 109, ("sizeEU", "size_us"),
    ),
    "clock": Kind(
        "wall clock", "timepiece", "Wall clocks", "Decoration", "Home accents",
        ("oak", "steel", "polypropylene"), (22, 45), 950, 49,
    ),
    "cushion": Kind(
        "cushion", "throw pillow", "Cushions", "Textiles", "Home accents",
        ("cotton", "linen", "wool"), (30, 60), 600, 34,
    ),
    "headphones": Kind(
        "headphones", "headset", "Headphones", "Consumer electronics", "Lights & sound",
        ("polypropylene", "leather", "steel"), (16, 22), 260, 149, ("impedanceOhm", "imp_ohms"),
    ),
}  # fmt: skip

# What the manufacturer names exactly, the shop names by its family.
MATERIALS = {
    "stoneware": "ceramic", "porcelain": "ceramic", "enamel": "metal", "steel": "metal",
    "glass": "glass", "oak": "wood", "beech": "wood", "polypropylene": "plastic",
    "rubber": "plastic", "leather": "leather", "cotton": "fabric", "linen": "fabric",
    "wool": "fabric",
}  # fmt: skip

# Colour, its name at the manufacturer and its family in the shop.
COLOURS: tuple[tuple[Colour, str, str], ...] = (
    ((178, 44, 48), "carmine", "red"), ((214, 92, 74), "coral", "red"),
    ((120, 34, 48), "burgundy", "red"), ((226, 132, 48), "tangerine", "orange"),
    ((186, 96, 56), "terracotta", "orange"), ((236, 190, 62), "saffron", "yellow"),
    ((222, 208, 142), "straw", "yellow"), ((62, 128, 76), "fern", "green"),
    ((38, 84, 66), "bottle green", "green"), ((150, 172, 112), "sage", "green"),
    ((58, 160, 150), "lagoon", "turquoise"), ((142, 202, 196), "mint", "turquoise"),
    ((40, 78, 156), "cobalt", "blue"), ((30, 44, 84), "midnight", "blue"),
    ((112, 164, 214), "sky", "blue"), ((94, 66, 140), "aubergine", "purple"),
    ((172, 150, 206), "lilac", "purple"), ((222, 134, 160), "rose", "pink"),
    ((238, 204, 204), "blush", "pink"), ((122, 86, 58), "walnut", "brown"),
    ((190, 158, 118), "sand", "brown"), ((52, 52, 56), "anthracite", "black"),
    ((128, 132, 136), "slate", "grey"), ((238, 234, 224), "ivory", "white"),
)  # fmt: skip

COUNTRIES = ("Denmark", "Italy", "Japan", "Portugal", "Germany", "Finland", "Mexico", "Korea")

_FIRST = ("Nor", "Al", "Ta", "Vel", "Kor", "Lu", "Bre", "Mi", "Sol", "Ha", "Fjo", "Que")
_LAST = ("dal", "mora", "vik", "lund", "tessa", "rini", "kawa", "berg", "nova", "stad")


def invented_name(number: int) -> str:
    """An invented word, a different one for each number below 120."""
    return _FIRST[number % len(_FIRST)] + _LAST[(number // len(_FIRST) + number) % len(_LAST)]
