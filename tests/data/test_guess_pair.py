from pyg_mmea.data.guess import Guess, guess_column
from pyg_mmea.data.guess_pair import match_columns


def _columns(**columns: list[str]) -> list[Guess]:
    return [guess_column(name, cells, {}) for name, cells in columns.items()]


def _partners(source: list[Guess], target: list[Guess]) -> dict[str, str]:
    match_columns(source, target)
    known = {guess.spec.name: guess.label for guess in source}
    return {g.label: known[g.spec.name] for g in target if g.spec.name in known}


def test_by_name_values_and_dimension() -> None:
    source = _columns(
        price_eur=["1.5", "2.5", "9"],
        weight_g=["100", "200"],
        colour=["red", "blue"] * 5,
        made=["2020-01-01"],
        width_cm=["1", "2"],
        depth_cm=["1", "2"],
    )
    target = _columns(
        Gewicht=["0.1 kg", "0.2 kg"],
        recommendedPriceUSD=["1.6", "2.6"],
        Farbe=["blue", "red"] * 5,
        Datum=["01.02.2020"],
        Breite=["1 cm", "2 cm"],
    )
    assert _partners(source, target) == {
        "recommendedPriceUSD": "price_eur",
        "Gewicht": "weight_g",
        "Farbe": "colour",
        "Datum": "made",  # two columns of the source could be the width: neither is taken
    }


def test_dates_of_the_other_side_tell_day_from_month() -> None:
    unsure = ["10/1/2017", "2/2/2019", "8/12/2022"]
    american, german = ["2017-10-01", "2022-08-12"], ["10.01.2017", "08.12.2022"]
    for known, expected in ((american, "%m/%d/%Y"), (german, "%d/%m/%Y")):
        for swap in (False, True):
            source, target = _columns(since=unsure), _columns(since=known)
            match_columns(*((target, source) if swap else (source, target)))
            assert source[0].spec.format == expected
            assert "may be" not in source[0].why
    for other in (unsure, ["1999-01-01"]):
        source, target = _columns(since=unsure), _columns(since=other)
        match_columns(source, target)
        assert source[0].spec.format == "%d/%m/%Y"
        assert "may be 2017-10-01" in source[0].why


def test_scales() -> None:
    source = _columns(price_eur=["1", "2", "3"], size=["36", "38", "40"], mass_g=["5", "6"])
    target = _columns(price_usd=["1", "2", "3"], size=["4", "6", "8"], mass_lb=["5", "6"])
    match_columns(source, target)
    for side in (source, target):
        assert [guess.spec.scale for guess in side] == ["each", "each", "joint"]
    same = [_columns(size=[str(i) for i in range(36, end)]) for end in (45, 47)]
    match_columns(*same)
    assert [side[0].spec.scale for side in same] == ["joint", "joint"]


def test_same_names_of_other_things_do_not_meet() -> None:
    source, target = _columns(size=["1", "2"]), _columns(size=["S", "M"] * 4)
    match_columns(source, target)
    assert target[0].spec.name == "size (target)"


def test_each_column_has_one_partner() -> None:
    source = _columns(price=["1", "2"])
    target = _columns(price_a=["1", "2"], price=["1", "2"])
    assert _partners(source, target) == {"price": "price"}
