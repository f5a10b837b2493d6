"""What all pages of results are made of."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from typing import Any

DATA = {
    "zh_en": "DBP15K zh_en",
    "fr_en": "DBP15K fr_en",
    "en_fr": "RSN15K en_fr_15k_V1",
    "dbp_yg": "RSN15K dbp_yg_15k_V1",
    "emoji": "emoji noto_twemoji_en_zh",
}
Results = dict[str, dict[str, list[dict]]]


def load(folder: Path) -> Results:
    """Results by setting and data set; rows that cannot be are refused."""
    results: Results = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*/*/seed*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for measured in ("val", "val_all", "test", "test_all", "test_sinkhorn"):
            for direction in ("source_to_target", "target_to_source", "mean"):
                if result.get(measured) and not possible(result[measured][direction]):
                    raise SystemExit(f"{path}: {measured} of {direction} cannot be")
        results[path.parent.name][path.parent.parent.name].append(result)
    return results


def commits(runs: Iterable[dict]) -> str:
    """The commits that runs began and ended at, and whether files were changed."""
    found = {str(run.get(key, run["git"])) for run in runs for key in ("git", "git_begun")}
    short = {commit[:10] + "-dirty" * commit.endswith("-dirty") for commit in found}
    return ", ".join(sorted(short))


def possible(row: dict[str, float]) -> bool:
    """Tells whether MRR lies between what the hits allow, where ranks of ties are halves."""
    one, five, ten = (row[f"hits@{k}"] for k in (1, 5, 10))
    if not 0 <= one <= five <= ten <= 1:
        return False
    low = one + (five - one) / 5 + (ten - five) / 10
    high = one + (five - one) / 1.5 + (ten - five) / 5.5 + (1 - ten) / 10.5
    return low - 1e-6 <= row["mrr"] <= high + 1e-6


def spread(values: list[float], digits: int = 3) -> str:
    """Mean, and standard deviation where there is more than one."""
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text


@contextmanager
def panels(path: Path, rows: int, columns: int, **kwargs: Any) -> Iterator[Any]:
    """Gives the axes of a plot, and writes it; the same text gives the same file."""
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.hashsalt": "pyg_mmea", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(rows, columns, squeeze=False, **kwargs)
        yield axes
        figure.tight_layout()
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
