from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, Modality


def test_modality_reads_as_its_value() -> None:
    assert f"x_{Modality.RELATION_TEXT}" == "x_relation_text"
    assert Modality("image") == "image"
    assert [str(modality) for modality in Modality] == [
        "structure",
        "relation",
        "attribute",
        "image",
        "name",
        "relation_text",
        "attribute_text",
    ]


def test_edge_types_lie_between_the_sides() -> None:
    assert ANCHOR_EDGE[0::2] == SIDES
    assert all(RELATION_EDGE[side] == (side, "relation", side) for side in SIDES)
