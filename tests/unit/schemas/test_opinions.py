import pytest

from schemas.opinions import NEGATIVE, POSITIVE, PRECEDENCE, is_liked, opinion
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
    ],
)
def test_opinions(kind, value, expected, liked):
    event = feedback(kind, 0, value=value)
    assert opinion(event.kind, opinions_value(event)) == pytest.approx(expected)
    assert is_liked(event) == liked


def test_every_kind_of_feedback_has_its_place_in_the_order():
    assert sorted(PRECEDENCE) == sorted(POSITIVE | NEGATIVE | {"rating"})
