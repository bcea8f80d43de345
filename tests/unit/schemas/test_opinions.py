import pytest

from schemas.opinions import NEGATIVE, POSITIVE, PRECEDENCE, is_liked, opinion, speaks_against
from schemas.opinions import value as opinions_value
from tests.makers import feedback


@pytest.mark.parametrize(
    ("kind", "value", "expected", "liked"),
    [
        ("like", None, 1.0, True),
        ("purchase", 30.0, 1.0, True),
        ("hide", None, 0.0, False),
        ("rating", 3.5, 0.7, True),
        ("rating", 3.0, 0.6, False),
        ("rating", 99.0, 1.0, True),
        ("rating", -1.0, 0.0, False),
        ("rating", 0.0, 0.0, False),
        ("purchase", 0.0, 1.0, True),
        ("purchase", -30.0, None, False),
        ("like", 0.0, None, False),
        ("like", -1.0, None, False),
        ("hide", 0.0, None, False),
    ],
)
def test_opinions(kind, value, expected, liked):
    event = feedback(kind, 0, value=value)
    assert opinion(event.kind, opinions_value(event)) == pytest.approx(expected)
    assert is_liked(event) == liked


def test_every_kind_of_feedback_has_its_place_in_the_order():
    assert sorted(PRECEDENCE) == sorted(POSITIVE | NEGATIVE | {"rating"})


def test_a_complaint_stands_until_it_is_taken_back():
    said = (("hide", 1.0), ("hide", 0.0), ("rating", 1.0), ("like", 1.0))
    assert [speaks_against(kind, value) for kind, value in said] == [True, False, False, False]
