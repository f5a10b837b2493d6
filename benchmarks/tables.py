"""What all pages of results are made of."""

import json
from collections import defaultdict
from collections.abc import Iterator
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
        row = result["test"]["mean"]
        # MRR is at least what hits at one and ten alone give, and at most what is left allows.
        low = row["hits@1"] + (row["hits@10"] - row["hits@1"]) / 10
        high = row["hits@1"] + (row["hits@10"] - row["hits@1"]) / 2 + (1 - row["hits@10"]) / 11
        if not low - 1e-6 <= row["mrr"] <= high + 1e-6:
            raise SystemExit(f"{path}: MRR {row['mrr']} does not go with Hits@1 and Hits@10")
        results[path.parent.name][path.parent.parent.name].append(result)
    return results


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
