"""What can be run: data sets, conditions that change them, and files of settings."""

import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from pyg_mmea.utils.io import fingerprint

HERE = Path(__file__).parent
DATA = {
    "zh_en": ["--data", "DBP15K", "--data.pair", "zh_en"],
    "fr_en": ["--data", "DBP15K", "--data.pair", "fr_en"],
    "en_fr": ["--data", "RSN15K", "--data.pair", "en_fr_15k_V1"],
    "dbp_yg": ["--data", "RSN15K", "--data.pair", "dbp_yg_15k_V1"],
    "emoji": ["--data", "AlignmentFolder", "--data.root", "{data}/emoji/noto_twemoji_en_zh"],
}
# Ready for whoever has the files, which are too large to come with the others.
_IMAGES = "{data}/DBP15K/pkls/%s_GA_id_img_feature_dict.pkl"
OWN_FILES = {
    **{
        f"{pair}_images": [
            *("--data", "DBP15K", "--data.pair", pair),
            *("--data.features", "[relation, attribute, image]"),
            *("--data.image_features", _IMAGES % pair),
        ]
        for pair in ("zh_en", "ja_en", "fr_en")
    },
    **{
        f"fb15k_{other}_{percent}": [
            *("--data", "MMKB", "--data.pair", f"FB15K-{other.upper()}"),
            *("--data.seed_ratio", str(percent / 100)),
        ]
        for other in ("db15k", "yago15k")
        for percent in (20, 50, 80)
    },
}
_TRANSFORM = "--data.transform"
_PIVOTS = (_TRANSFORM, "PivotAnchors", f"{_TRANSFORM}.modality")
_LOOK_ALIKE = (*_PIVOTS, "image")
# A track of its own: translated names give the answer away.
_NAMES = ("--data.features", "[relation, name]", "--data.text_encoder", "tfidf")
CONDITIONS = {
    **{
        f"seeds_{percent}{name}": [
            *("--data.split", "random"),
            *("--data.seed_ratio", str(percent / 100)),
            *options,
        ]
        for percent in (1, 5)
        for name, options in (
            ("", ()),
            # Few links are worth most where they validate.
            ("_validate", ("--data.val_ratio", "0.5")),
            (
                "_and_pivots",
                ("--data.val_ratio", "0.5", *_LOOK_ALIKE, f"{_TRANSFORM}.keep_known", "true"),
            ),
        )
    },
    **{
        f"wrong_seeds_{percent}": [
            *(_TRANSFORM, "CorruptSeeds"),
            *(f"{_TRANSFORM}.ratio", str(percent / 100)),
        ]
        for percent in (5, 10, 20)
    },
    **{
        f"{name}_images_{percent}": [
            *(_TRANSFORM, transform),
            *(f"{_TRANSFORM}.modality", "image"),
            *(f"{_TRANSFORM}.ratio", str(percent / 100)),
        ]
        for name, transform, percents in (
            ("swapped", "SwapFeatures", (10, 30, 50)),
            ("missing", "HideFeatures", (10, 50, 95)),
        )
        for percent in percents
    },
    "no_seeds": [*_LOOK_ALIKE],
    "no_seeds_names": [*_NAMES, *_PIVOTS, "name"],
    "names": [*_NAMES],
}


def data_root() -> str:
    """The folder of the data."""
    return os.environ.get("PYG_MMEA_DATA", "../shared/data")


def config_files(folder: Path = HERE) -> dict[str, Path]:
    """The files of settings by name, of a study or else of all benchmarks."""
    folders = [HERE / "configs", folder / "configs"]
    return {path.stem: path for each in folders for path in sorted(each.glob("*.yaml"))}


def settings_hash(config: Path) -> str:
    """Tells settings apart, whatever their comments and their order."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    return fingerprint(yaml.safe_dump(settings, sort_keys=True))


def expand(spec: str, folder: Path = HERE) -> list[tuple[str, str]]:
    """The data, with its condition, and the setting of each run that a SPEC stands for."""
    data, slash, setting = spec.partition("/")
    if not slash:
        sys.exit(f"'{spec}' needs to be DATA[+CONDITION]/SETTING, such as emoji/calibrated")
    name, plus, condition = data.partition("+")
    names = [each for each in DATA if fnmatchcase(each, name)]
    names = names or [each for each in OWN_FILES if fnmatchcase(each, name)]
    if not names or (plus and condition not in CONDITIONS):
        sys.exit(
            f"there is no data '{data}' (there are {', '.join([*DATA, *OWN_FILES])}; behind a plus "
            f"{', '.join(CONDITIONS)})"
        )
    known = config_files(folder)
    settings = [each for each in known if fnmatchcase(each, setting)]
    if not settings:
        sys.exit(f"there is no setting '{setting}' (there are {', '.join(sorted(known))})")
    return [(f"{each}{plus}{condition}", setting) for setting in settings for each in names]


def data_arguments(data: str) -> list[str]:
    """The options of `pyg-mmea train` for data with or without a condition."""
    name, plus, condition = data.partition("+")
    arguments = [argument.format(data=data_root()) for argument in {**DATA, **OWN_FILES}[name]]
    return arguments + (CONDITIONS[condition] if plus else [])
