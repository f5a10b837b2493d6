"""Units that numbers in tables carry, each as a factor of the base unit of its dimension."""

import unicodedata

_KILO = {"n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def _composed(unit: str) -> str:
    """The form that cells are read in, where a square or an inch is the same however written."""
    return unicodedata.normalize("NFKC", unit)


# Dimension to units and their size. Lower case; what case tells apart is in _CASED.
_TABLE: dict[str, dict[str, float]] = {
    "mass": {
        **{"mg": 1e-3, "g": 1.0, "gr": 1.0, "kg": 1e3, "kgs": 1e3, "t": 1e6, "ton": 1e6},
        **{"oz": 28.349523125, "ounce": 28.349523125, "lb": 453.59237, "lbs": 453.59237},
        **{"gram": 1.0, "gramm": 1.0, "gramme": 1.0, "pound": 453.59237, "kilo": 1e3},
        **{"kilogram": 1e3, "tonne": 1e6, "克": 1.0, "公斤": 1e3, "千克": 1e3, "斤": 500.0},
    },
    "length": {
        **{"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0},
        **{"km": 1e3, "in": 0.0254, "inch": 0.0254, "inche": 0.0254, '"': 0.0254, "″": 0.0254},
        **{"zoll": 0.0254, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "′": 0.3048},
        **{"yd": 0.9144, "yard": 0.9144, "mi": 1609.344, "mile": 1609.344},
        **{"meter": 1.0, "metre": 1.0, "centimeter": 1e-2, "centimetre": 1e-2},
        **{"millimeter": 1e-3, "millimetre": 1e-3, "kilometer": 1e3, "kilometre": 1e3},
        **{"毫米": 1e-3, "厘米": 1e-2, "米": 1.0, "英寸": 0.0254, "公里": 1e3},
    },
    "area": {
        **{"mm²": 1e-6, "cm²": 1e-4, "m²": 1.0, "km²": 1e6, "ha": 1e4, "hectare": 1e4},
        **{"sqm": 1.0, "qm": 1.0, "acre": 4046.8564224, "sqft": 0.09290304, "ft²": 0.09290304},
    },
    "volume": {
        **{"ml": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0, "ltr": 1.0, "liter": 1.0, "litre": 1.0},
        **{"cm³": 1e-3, "ccm": 1e-3, "m³": 1e3, "gal": 3.785411784},
        **{"gallon": 3.785411784, "floz": 0.0295735295625, "毫升": 1e-3, "升": 1.0},
        "milliliter": 1e-3,
    },
    "time": {
        **{"ms": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0},
        **{"h": 3600.0, "hr": 3600.0, "hour": 3600.0, "std": 3600.0, "d": 86400.0},
        **{
            "day": 86400.0,
            "week": 604800.0,
            "秒": 1.0,
            "分钟": 60.0,
            "小时": 3600.0,
            "天": 86400.0,
        },
    },
    "data": {
        **{"b": 1.0, "byte": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
        **{"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40},
    },
    "power": {"w": 1.0, "watt": 1.0, "kw": 1e3, "kilowatt": 1e3, "瓦": 1.0},
    "voltage": {"v": 1.0, "volt": 1.0},
    "frequency": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "energy": {"wh": 1.0, "kwh": 1e3},
    "charge": {"ah": 1.0, "mah": 1e-3},
    "ohm": {"ohm": 1.0},
    "share": {"%": 0.01, "percent": 0.01, "‰": 0.001, "ppm": 1e-6},
    "": {  # no unit, but a factor
        **{"thousand": 1e3, "million": 1e6, "mio": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9},
        **{"mrd": 1e9, "千": 1e3, "万": 1e4, "萬": 1e4, "百万": 1e6, "亿": 1e8, "億": 1e8},
    },
    "count": {"pc": 1.0, "pcs": 1.0, "piece": 1.0, "stk": 1.0, "stück": 1.0, "个": 1.0, "件": 1.0},
}
_CASED = {  # megawatt and milliwatt
    _composed(f"{prefix}{unit}"): (dimension, factor)
    for unit, dimension in (
        *(("W", "power"), ("V", "voltage"), ("A", "current"), ("Hz", "frequency")),
        *(("Wh", "energy"), ("Ah", "charge"), ("Pa", "pressure"), ("J", "heat"), ("Ω", "ohm")),
    )
    for prefix, factor in _KILO.items()
}
# Currencies tell sums apart; no rate is known here.
_CURRENCIES = {
    **{"€": "eur", "eur": "eur", "euro": "eur", "$": "usd", "usd": "usd", "us$": "usd"},
    **{"£": "gbp", "gbp": "gbp", "¥": "cny/jpy", "cny": "cny", "rmb": "cny", "元": "cny"},
    **{"jpy": "jpy", "円": "jpy", "chf": "chf", "₹": "inr", "inr": "inr", "₩": "krw"},
    **{"krw": "krw", "sek": "sek", "nok": "nok", "dkk": "dkk", "pln": "pln", "zł": "pln"},
}
_PLAIN = {
    _composed(unit): (dimension, factor)
    for dimension, units in _TABLE.items()
    for unit, factor in units.items()
}


def find_unit(text: str) -> tuple[str, float] | None:
    """Dimension of a unit and its size in the base unit: :obj:`"kg"` is 1000 of :obj:`"mass"`.

    Case counts where it tells units apart (:obj:`"MW"`, :obj:`"mW"`), otherwise not; a full stop
    and a plural "s" at the end are passed over. A currency is a dimension of its own. :obj:`None`
    if the unit is unknown.
    """
    text = _composed(text).strip().rstrip(".")
    if text in _CASED:
        return _CASED[text]
    low = text.lower().replace(" ", "")
    if low in _CURRENCIES:
        return f"currency {_CURRENCIES[low]}", 1.0
    return _PLAIN.get(low) or (_PLAIN.get(low[:-1]) if low.endswith("s") else None)
