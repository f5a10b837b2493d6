import math

import pytest
import torch

from pyg_mmea.calibration import expected_threshold, precision_threshold


def benjamini_hochberg(confidence, case_confidence, case_right, precision):
    """The selected candidates, by loops: the procedure as a textbook has it."""
    cases = list(zip(case_confidence, case_right, strict=True))
    num = len(confidence)
    value = [
        (1 + sum(c >= s for c, right in cases if not right)) / (len(cases) + 1) for s in confidence
    ]
    ordered = sorted(range(num), key=lambda j: value[j])
    largest = 0
    for place, j in enumerate(ordered, start=1):
        if value[j] <= (1 - precision) * place / num + 1e-9:
            largest = place
    # All with the largest p-value that passes, whatever the order of equal ones.
    return {j for j in range(num) if largest and value[j] <= value[ordered[largest - 1]]}


@pytest.mark.parametrize("precision", [0.0, 0.3, 0.72, 0.93, 1.0])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("digits", [1, 6])
def test_against_benjamini_hochberg(seed, precision, digits):
    generator = torch.Generator().manual_seed(seed)

    def draw(num):
        right = torch.rand(num, generator=generator) < 0.7
        score = torch.rand(num, generator=generator, dtype=torch.double) + 0.8 * right
        return score.round(decimals=digits), right  # one digit makes many ties

    (confidence, _), cases = draw(37), draw(53)
    found = precision_threshold(confidence, *cases, precision)
    selected = set((confidence >= found).nonzero().view(-1).tolist())
    expected = benjamini_hochberg(
        confidence.tolist(), cases[0].tolist(), cases[1].tolist(), precision
    )
    assert selected == expected
    assert found in confidence if selected else found == float("inf")


@pytest.mark.parametrize(
    ("precision", "expected"), [(0.69, 0.05), (0.72, 0.35), (0.75, 0.45), (0.81, float("inf"))]
)
def test_by_hand(precision, expected):
    cases = torch.arange(9, 0, -1) / 10
    right = torch.ones(9, dtype=torch.bool)
    right[[5, 8]] = False  # at 0.4 and 0.1
    confidence = torch.tensor([0.05, 0.95, 0.45, 0.35], dtype=torch.double)
    # From the surest down: p-values 0.1, 0.1, 0.2, 0.3; times four over 1, 2, 3 and 4 selected:
    # 0.4, 0.2, 0.27, 0.3 wrong ones are to be expected.
    assert precision_threshold(confidence, cases, right, precision) == expected


def test_candidates_as_sure_come_together():
    cases, right = torch.linspace(0.5, 1, 9), torch.ones(9, dtype=torch.bool)
    right[4] = False  # at 0.75
    confidence = torch.tensor([0.9, 0.75, 0.75, 0.75])
    # As sure as a wrong case is not surer: p-values 0.1, 0.2, 0.2, 0.2.
    assert precision_threshold(confidence, cases, right, 0.8) == 0.75
    assert precision_threshold(confidence, cases, right, 0.85) == float("inf")
    equal = torch.full((5,), 0.9)
    assert precision_threshold(equal, cases, right, 0.89) == pytest.approx(0.9)


@pytest.mark.parametrize(("num_cases", "selects"), [(18, False), (19, True)])
def test_too_few_cases(num_cases, selects):
    right = torch.ones(num_cases, dtype=torch.bool)
    confidence = torch.rand(30, dtype=torch.double)
    found = precision_threshold(confidence, torch.rand(num_cases), right, 0.95)
    assert found == (float(confidence.min()) if selects else float("inf"))


@pytest.mark.parametrize("num", [1, 2, 7, 14])
def test_an_error_rate_that_is_met_exactly_is_enough(num):
    # p-values of 1/60: times 3 candidates over 1 selected is 0.05, whatever floats make of it.
    confidence = torch.tensor([0.9] * num + [0.1] * 2 * num)
    wrong = torch.zeros(59, dtype=torch.bool)
    found = precision_threshold(confidence, torch.full((59,), 0.5), wrong, 0.95)
    assert found == pytest.approx(0.9)


def test_no_cases_and_no_candidates():
    none, nothing = torch.empty(0), torch.empty(0, dtype=torch.bool)
    some, right = torch.rand(50), torch.ones(50, dtype=torch.bool)
    assert precision_threshold(some, none, nothing, 0.95) == float("inf")
    assert precision_threshold(some, none, nothing, 0.0) == some.min()
    assert precision_threshold(none, some, right, 0.5) == float("inf")
    assert precision_threshold(some, some, ~right, 0.5) == float("inf")


@pytest.mark.parametrize("seed", range(5))
def test_floor(seed):
    torch.manual_seed(seed)
    confidence, cases = torch.rand(60).double(), torch.rand(200).double()
    right = torch.rand(200).double() < cases.sqrt()
    free = precision_threshold(confidence, cases, right, 0.7)
    assert precision_threshold(confidence, cases, right, 0.7, free) == free
    assert precision_threshold(confidence, cases, right, 0.7, 1.0) == float("inf")
    found = precision_threshold(confidence, cases, right, 0.7, 0.8)
    holds = []  # where the inequality of the docstring holds, one candidate after another
    for score in confidence[confidence >= 0.8].tolist():
        p_value = (1 + int((cases[~right] >= score).sum())) / 201
        if p_value * 60 <= 0.3 * int((confidence >= score).sum()) + 1e-9:
            holds.append(score)
    assert found == min(holds)
    assert found >= 0.8 > free


def test_order_does_not_matter():
    confidence, cases, right = torch.rand(40), torch.rand(60) + 0.2, torch.rand(60) < 0.8
    found = precision_threshold(confidence, cases, right, 0.75)
    assert found < float("inf")
    order = torch.randperm(60)
    assert precision_threshold(confidence.flip(0), cases[order], right[order], 0.75) == found


@pytest.mark.parametrize("floored", [False, True])
@pytest.mark.parametrize("precision", [0.7, 0.9])
@pytest.mark.parametrize("skill", [0.6, 3.0])
def test_expected_precision_is_at_least_the_one_asked_for(precision, skill, floored):
    """Cases and candidates from one distribution; confidence says little or much, and is no
    probability."""
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(400):
        right = torch.rand(120, generator=generator) < 0.6
        score = torch.randn(120, generator=generator) + skill * right
        known, asked = slice(60), slice(60, None)
        # Of a confidence that is far too low for those that are sure, and too high for others.
        floor = expected_threshold(score[asked].sigmoid(), precision) if floored else 0.0
        floor = math.log(floor / (1 - floor)) if 0 < floor < 1 else -math.inf
        found = precision_threshold(score[asked], score[known], right[known], precision, floor)
        selected = right[asked][score[asked] >= found]
        shares.append(float(selected.double().mean()) if selected.numel() else 1.0)
    mean = sum(shares) / len(shares)
    assert mean >= precision
    if skill > 1:
        assert mean < precision + 0.15  # and it is not by selecting nothing
        assert sum(share < 1 for share in shares) > 200


@pytest.mark.parametrize("precision", [-0.1, 1.1])
def test_bad_arguments(precision):
    with pytest.raises(ValueError, match=r"'precision' needs to be in \[0, 1\] \(got"):
        precision_threshold(torch.rand(3), torch.rand(3), torch.ones(3).bool(), precision)


@pytest.mark.parametrize(
    ("confidence", "precision", "expected"),
    [
        ([0.5, 1.0, 0.9], 0.79, 0.5),
        ([0.5, 1.0, 0.9], 0.85, 0.9),
        ([0.5, 1.0, 0.9], 0.99, 1.0),
        ([0.5, 0.9], 0.95, float("inf")),
        ([0.9] * 40, 0.9, 0.9),  # whose mean is a little less
        ([], 0.5, float("inf")),
        # Two of three equal ones would do, but they come together.
        ([1.0, 0.7, 0.7, 0.7], 0.8, 1.0),
        ([1.0, 0.7, 0.7, 0.7], 0.77, 0.7),
    ],
)
def test_expected_threshold(confidence, precision, expected):
    confidence = torch.tensor(confidence)
    found = expected_threshold(confidence, precision)
    assert found == pytest.approx(expected)
    chosen = confidence[confidence >= found]
    assert chosen.numel() == 0 or chosen.mean() >= precision
