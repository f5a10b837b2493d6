import itertools
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from torch_geometric.data import HeteroData

from pyg_mmea import report
from pyg_mmea.inspect import Inspector, printable
from pyg_mmea.report import write_report
from pyg_mmea.typing import ANCHOR_EDGE, SIDES

VOID = {"meta", "link", "img", "br", "hr", "input"}
# Elements and attributes that load something, run something or lead somewhere.
ALLOWED_LINKS = {
    "href": re.compile(r"#[\w-]+|data:,"),
    "src": re.compile(r"data:image/jpeg;base64,"),
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></svg><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202etxt.exe\u2066 שלום",
    "👩‍🔬 \x00\x1b[31m \ud800 $\\frac$",
    "x" * 5000,
)


class Page(HTMLParser):
    """Reads a page, checks that each element is closed where it should be, and keeps what is in
    it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} is twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> is no element of HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.elements if attrs.get("id")]

    def headings(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.elements if re.fullmatch("h[1-6]", tag)]


def written(inspector: Inspector, folder: Path, out: Path, **kwargs: object) -> Page:
    path = write_report(inspector, folder, out, **kwargs)
    assert path == out
    return check(path.read_text(encoding="utf-8"))


def check(text: str) -> Page:
    """Checks what holds for every page."""
    page = Page(text)
    for tag, attrs in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "a:script"}
        for name, value in attrs.items():
            assert not name.startswith("on"), f"{tag} {name}"
            assert name not in {"srcset", "action", "formaction", "background", "ping", "srcdoc"}
            if name in ALLOWED_LINKS:
                assert ALLOWED_LINKS[name].match(value or ""), f"{tag} {name}={value[:50]}"
            if name == "style":
                assert "url(" not in (value or "").replace("url(#", "")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(
        attrs for _, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    ids = page.ids()
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(name, ids[0]) in ids
        if (attrs.get("href") or "").startswith("#"):
            assert attrs["href"][1:] in ids
    levels = page.headings()
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert sum(tag == "main" for tag, _ in page.elements) == 1
    return page


def without_test_links(data: HeteroData) -> HeteroData:
    anchors = data[ANCHOR_EDGE]
    kept = ~anchors.test_mask
    for name in ("train_mask", "val_mask", "test_mask"):
        anchors[name] = anchors[name][kept]
    anchors.edge_label_index = anchors.edge_label_index[:, kept]
    return data


def test_page(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    inspector = load(data)
    page = written(
        inspector, run, tmp_path / "a.html", target_precision=0.5, num_examples=2, num_errors=3
    )
    result = inspector.aligner.result
    for words in (
        "PCMEA on FakeMMKG",
        f"{100 * result['test']['mean']['hits@1']:.1f}%",
        f"{100 * result['test_all']['target_to_source']['hits@10']:.1f}%",
        "ranked among all entities",
        "Precision of pseudo-labels by round",
        "Reliability of the confidence",
        "By degree",
        "image: lacking",
        "The surest pairs",
        "started from Python",
    ):
        assert words in page.text, words
    drawings = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(drawings) == 11
    assert all(attrs["role"] == "img" for attrs in drawings)
    cards = [attrs for tag, attrs in page.elements if attrs.get("class") == "pair"]
    known, right = inspector.judged(inspector.pairs)
    num_wrong, num = int((known & ~right).sum()), inspector.pairs.size(1)
    kept = int(re.findall(r"keeps (\d+) pairs", page.text)[-1])
    shown = min(2, kept) + min(2, max(0, kept - 2)) + min(2, num - kept) + min(3, num_wrong)
    assert len(cards) == shown > 4
    assert f"{num_wrong} candidates are contradicted" in page.text


def test_bytes_are_those_of_the_run(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    pages = [
        write_report(load(data), run, tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    ]
    assert pages[0] == pages[1]
    assert len(pages[0]) < 5_000_000
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["a.html", "b.html"]


def hostile(count: int) -> list[str]:
    return [HOSTILE[i % len(HOSTILE)] for i in range(count)]


def test_names_and_uris_are_texts(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    inspector = load(data)
    before = written(inspector, run, tmp_path / "a.html")
    for side in SIDES:  # changed in place, since a run takes no pair with other URIs
        data[side].uri = hostile(data[side].num_nodes)
        data[side].name = hostile(data[side].num_nodes)
        relations = data[side, "relation", side]
        relations.relation_uri = hostile(len(relations.relation_uri))
    data.attribute_vocabulary = hostile(len(data.attribute_vocabulary))
    for entry, name in zip(inspector.entries, hostile(len(inspector.entries)), strict=True):
        entry["note"] = entry["reason"] = name
    result = inspector.aligner.result
    result["dataset"], result["model"], result["git"], *_ = HOSTILE
    result["doubtful_links"] = [list(HOSTILE[:2])] * 30
    result["view_weights"] = dict.fromkeys(HOSTILE, 1 / len(HOSTILE))
    inspector.votes.voters[:] = hostile(len(inspector.votes.voters))
    folder = tmp_path / "<b>run"
    folder.mkdir()
    for file in ("result.json", "metrics.csv"):
        (folder / file).write_bytes((run / file).read_bytes())
    (folder / "config.yaml").write_bytes("\n".join(HOSTILE).encode("utf-8", "replace"))
    after = written(inspector, folder, tmp_path / "b.html")
    tags = {tag for tag, _ in after.elements}
    assert tags <= {tag for tag, _ in before.elements} | {"pre"}
    assert "30 validation links look wrong" in after.text
    for name in HOSTILE:
        assert after.text.count(printable(name)[:40].strip()) > 5, name


def test_pictures(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 2000), "blue").save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_text("<svg onload=alert(1)>")
    for side, files in (("source", ["good.png", "missing.png"]), ("target", ["broken.png", None])):
        count = data[side].num_nodes
        paths = [str(tmp_path / files[i % 2]) if files[i % 2] else None for i in range(count)]
        data[side].image_path = paths
    page = written(load(data), run, tmp_path / "a.html")
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert images
    for attrs in images:
        assert attrs["alt"].startswith("Picture of thing ")
        assert max(int(attrs["width"]), int(attrs["height"])) <= 200
    for words in ("the file is missing", "no picture", "the file is no picture"):
        assert words in page.text
    assert str(tmp_path) not in page.text


def test_run_without_test_links(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    inspector = load(without_test_links(data))
    for name in ("test", "test_all"):
        inspector.aligner.result[name] = None
    page = written(inspector, run, tmp_path / "a.html")
    assert "This run has no test links" in page.text
    assert "A breakdown needs test links" in page.text
    assert "Which pairs are wrong is not known" in page.text
    assert "Hits@1 on validation links" in page.text
    assert "truth unknown" in page.text
    assert "no picture" not in page.text  # since no entity has any
    assert "Reliability" in page.text  # on validation links


def test_run_with_next_to_nothing(run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    inspector = load(without_test_links(data))
    inspector.entries = []
    inspector.aligner.calibrator.confidence.load_state_dict({})
    result = inspector.aligner.result
    result.update(test=None, test_all=None, val=None, view_weights={}, confidence_rule="agreement")
    (tmp_path / "result.json").write_text("{}")
    inspector.pairs = inspector.pairs[:, :0]
    inspector.confidence = inspector.confidence[:0]
    page = written(inspector, tmp_path, tmp_path / "a.html")
    for words in (
        "nothing was measured",
        "There is no record of the epochs",
        "No round of calibration took place",
        "No validation link was there",
        "and no probability",
    ):
        assert words in page.text, words


def test_a_model_that_ranks_by_its_own_embedding(
    run: Path, load, data: HeteroData, tmp_path: Path
) -> None:
    inspector = load(data)
    inspector.aligner.result.update(view_weights={}, rank_by="joint")
    page = written(inspector, run, tmp_path / "a.html")
    assert "ranks by its own joint embedding" in page.text
    assert "No validation link was there" not in page.text


def test_bad_arguments_and_missing_extra(
    run: Path, load, data: HeteroData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = load(data)
    for value in (0, 1.5):
        with pytest.raises(ValueError, match="'target_precision' needs to be in"):
            write_report(inspector, run, tmp_path / "a.html", target_precision=value)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[report\]"):
        write_report(inspector, run, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_told_apart() -> None:
    style = Path(report.__file__).with_name("templates").joinpath("style.css").read_text()
    schemes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    ]
    assert len(schemes) == 2
    for colours in schemes:
        for ground in ("page", "panel"):
            for name in ("text", "soft", "accent", "good", "bad"):
                assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for i in range(1, 7):
            assert _contrast(colours[f"series-{i}"], colours["page"]) >= 4.5
