"""Reading the text formats: what targets and files may say, and what is refused with its line."""

import math

import pytest

from cmg.timeseries.exposition import ExpositionError, Reader
from cmg.timeseries.labels import labels_of


def points(text: str, *, openmetrics: bool = True) -> list[tuple[dict[str, str], float, int | None]]:
    return [
        (dict(one.labels), one.value, one.time_ms) for one in Reader().read(text.splitlines(), openmetrics=openmetrics)
    ]


def test_openmetrics_with_everything_it_may_have():
    text = """# HELP requests How many.
# TYPE requests counter
# UNIT latency_seconds seconds
requests_total{job="api",path="/a b\\"c\\\\d\\n",le="+Inf"} 17 1700000000.217 # {trace_id="ab # 1"} 1.0 1.5
requests_created{job="api"} 1.5e9
{"höhe über null", "an ort"="x"} -1.25 5
free 3
# EOF
"""
    assert points(text) == [
        ({"__name__": "requests_total", "job": "api", "path": '/a b"c\\d\n', "le": "+Inf"}, 17.0, 1700000000217),
        ({"__name__": "requests_created", "job": "api"}, 1.5e9, None),
        ({"__name__": "höhe über null", "an ort": "x"}, -1.25, 5000),
        ({"__name__": "free"}, 3.0, None),
    ]


def test_text_format_counts_time_in_milliseconds_and_needs_no_end():
    assert points("# any comment\n\n a  1  1700000000217 \nb{} 2\n", openmetrics=False) == [
        ({"__name__": "a"}, 1.0, 1700000000217),
        ({"__name__": "b"}, 2.0, None),
    ]


def test_numbers_that_are_none_and_infinite():
    found = points('a NaN\nb{x="}"} +Inf\nc -Inf\n# EOF')
    assert math.isnan(found[0][1])
    assert [value for _, value, _ in found[1:]] == [math.inf, -math.inf]


def test_an_empty_label_is_no_label():
    assert points('a{x="",y="1"} 1\n# EOF')[0][0] == {"__name__": "a", "y": "1"}


def test_comments_tell_what_a_metric_is():
    reader = Reader()
    list(reader.read(["# TYPE a gauge", "# HELP a How\\nmuch.", '# TYPE "x.y" counter', "a 1"], openmetrics=False))
    assert (reader.metadata["a"].type, reader.metadata["a"].help) == ("gauge", "How\nmuch.")
    assert reader.metadata["x.y"].type == "counter"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a", "line 1: 'a' is no sample"),
        ("a x", "line 1: 'x' is no value"),
        ("a 1_0", "line 1: '1_0' is no value"),
        ('ok 1\na{x="1" 2', "line 2"),
        ('a{x="1",x="2"} 1', "line 1: a label of"),
        ("a{x=1} 1", "line 1"),
        ('{x="1"} 1', "names no metric"),
        ('a{x="1"y="2"} 1', "cannot be read"),
        ("a 1 z", "is no timestamp"),
        ("a 1 1e400", "is no timestamp"),
        ("a 1 1e15", "is no timestamp of our time"),
        ("a 1\n# EOF\nb 2", "line 3: there is more after # EOF"),
        ("a 1\n", "ends without # EOF"),
        ('a{x="\x00"} 1\n# EOF', "line 1"),
    ],
)
def test_what_is_no_exposition_is_refused_with_its_line(text: str, told: str):
    with pytest.raises(ExpositionError) as error:
        points(text)
    assert told in str(error.value)


def test_labels_are_kept_from_one_text_to_the_next_within_a_bound():
    reader = Reader(most=3)
    for round_ in range(3):
        found = list(reader.read([f'a{{n="{n}"}} {round_}' for n in range(10)], openmetrics=False))
        assert [one.labels for one in found] == [labels_of([("__name__", "a"), ("n", str(n))]) for n in range(10)]
    assert len(reader._known) <= 3
