"""Check paging, sorting, field selection and the `query` filter (rocketchat.md 1.4, decision 53)."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lists import chosen, in_order
from handlers.rocketchat.filters import values_at
from handlers.rocketchat.query import MAX_OFFSET, Item, ListParams, QueryFault, parse_list_params

VISIBLE = frozenset(
    {"_id", "name", "type", "enabled", "channel", "retryCount", "alias", "_createdBy.username", "_createdBy"}
)
EVER_NEW = itertools.count()
ITEMS: list[dict[str, object]] = [
    {
        "_id": "a1",
        "name": "Deploys",
        "type": "webhook-incoming",
        "enabled": True,
        "channel": ["#ops", "#build"],
        "retryCount": 3,
        "token": "hidden-a",
        "_createdBy": {"_id": "u1", "username": "ann"},
    },
    {
        "_id": "b2",
        "name": "alerts",
        "type": "webhook-outgoing",
        "enabled": False,
        "channel": ["#ops"],
        "retryCount": 1,
        "alias": None,
        "token": "hidden-b",
        "_createdBy": {"_id": "u2", "username": "bob"},
    },
    {
        "_id": "c3",
        "name": "Tickets\nline two",
        "type": "webhook-incoming",
        "enabled": True,
        "channel": [],
        "alias": "Desk",
        "token": "hidden-c",
        "_createdBy": {"_id": "u1", "username": "ann"},
    },
]


def parsed(**params: object) -> ListParams:
    """Return the list parameters, which must be good."""
    result = parse_list_params(params, visible=VISIBLE)
    assert isinstance(result, ListParams), result
    return result


def page(items: Sequence[Item], params: ListParams) -> tuple[list[Item], int]:
    """Return the asked-for page and how many items match in all."""

    async def paged() -> tuple[list[Item], int]:
        return await chosen(in_order((item, item) for item in items), params)

    found, total = asyncio.run(paged())
    return [params.select(item) for item in found], total


def ids(**params: object) -> str:
    """Return the first letters of the ids on the asked-for page."""
    items, _ = page(ITEMS, parsed(**params))
    return "".join(str(item["_id"])[0] for item in items)


@pytest.mark.parametrize(
    ("params", "offset", "count"),
    [
        ({}, 0, 50),
        ({"offset": "", "count": ""}, 0, 50),
        ({"offset": "7", "count": "20"}, 7, 20),
        ({"count": "100"}, 0, 100),
        ({"count": "101"}, 0, 100),
        ({"count": "1e9"}, 0, 100),
        ({"count": "0"}, 0, 50),
        ({"count": "2.9", "offset": "1.9"}, 1, 2),
        ({"count": "ten", "offset": "two"}, 0, 50),
        ({"count": "-1", "offset": "-1"}, 0, 50),
        ({"count": ["5"], "offset": ["5"]}, 0, 50),
        ({"offset": "1e300"}, MAX_OFFSET, 50),
    ],
)
def test_paging_numbers(params: dict[str, object], offset: int, count: int) -> None:
    """Offset and count are clamped as the contract says, and what is no number counts as absent."""
    result = parsed(**params)
    assert (result.offset, result.count) == (offset, count)


def test_default_count_can_differ() -> None:
    """A call with another default (decision 49) uses it only when nothing valid was asked."""
    for params, count in (
        ({}, 20),
        ({"count": "x"}, 20),
        ({"count": "30"}, 30),
        ({"count": "0"}, 50),
    ):
        result = parse_list_params(params, visible=VISIBLE, default_count=20)
        assert isinstance(result, ListParams)
        assert result.count == count


def test_page_and_total() -> None:
    """The total counts every match, the page is cut after filtering and sorting."""
    query = '{"type":"webhook-incoming"}'
    items, total = page(ITEMS, parsed(query=query, sort='{"name":-1}', offset="1", count="1"))
    assert ([item["_id"] for item in items], total) == (["a1"], 2)
    assert page(ITEMS, parsed(offset="9")) == ([], 3)
    assert page(ITEMS, parsed()) == (ITEMS, 3)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", "abc"),
        ("{}", "abc"),
        ('{"name":1}', "acb"),
        ('{"name":-1}', "bca"),
        ('{"name":-1.0}', "bca"),
        ('{"enabled":1,"_id":-1}', "bca"),
        ('{"_createdBy.username":1,"name":-1}', "cab"),
        ('{"retryCount":1}', "cba"),
        ('{"retryCount":-1}', "abc"),
        ('{"channel":1}', "cab"),
        ('{"channel":-1}', "abc"),
        ('{"alias":1}', "abc"),
        ('{"alias":-1}', "cab"),
        ('{"nowhere":-1}', "abc"),
        ('{"token":-1}', "abc"),
    ],
)
def test_sort(sort: str, order: str) -> None:
    """Sorting follows the named paths, keeps ties in place, and never reveals a hidden field."""
    assert ids(sort=sort) == order


def test_sort_across_types() -> None:
    """Values of different types have one order, the one of the original's database."""
    values: list[object] = [True, [], {"a": 1}, "text", 2, 1.5, None]
    items = [{"v": value} for value in values] + [{}]
    params = parse_list_params({"sort": '{"v":1}', "count": "100"}, visible=("v",))
    assert isinstance(params, ListParams)
    order = [item.get("v", "missing") for item in page(items, params)[0]]
    assert order == [[], None, "missing", 1.5, 2, "text", {"a": 1}, True]


@pytest.mark.parametrize(
    ("query", "matching"),
    [
        ("", "abc"),
        ("{}", "abc"),
        ('{"name":"alerts"}', "b"),
        ('{"name":"ALERTS"}', ""),
        ('{"enabled":true}', "ac"),
        ('{"enabled":1}', ""),
        ('{"retryCount":3.0}', "a"),
        ('{"retryCount":true}', ""),
        ('{"channel":"#build"}', "a"),
        ('{"channel":["#ops"]}', "b"),
        ('{"channel":["#build","#ops"]}', ""),
        ('{"channel":[]}', "c"),
        ('{"alias":null}', "ab"),
        ('{"retryCount":null}', "c"),
        ('{"_createdBy.username":"ann"}', "ac"),
        ('{"_createdBy":{"_id":"u2","username":"bob"}}', "b"),
        ('{"_createdBy":{"_id":"u2"}}', ""),
        ('{"_createdBy":"u2"}', ""),
        ('{"name":"alerts","enabled":true}', ""),
        ('{"name":"Deploys","name":"alerts"}', "b"),
        ('{"$or":[{"name":"alerts"},{"retryCount":3}]}', "ab"),
        ('{"$and":[{"enabled":true},{"alias":"Desk"}]}', "c"),
        ('{"enabled":true,"$or":[{"name":"alerts"},{"alias":"Desk"}]}', "c"),
        ('{"$or":[{}]}', "abc"),
        ('{"name":{"$regex":"^al"}}', "b"),
        ('{"name":{"$regex":"L"}}', ""),
        ('{"name":{"$regex":"L","$options":"i"}}', "abc"),
        ('{"name":{"$regex":"E","$options":""}}', ""),
        ('{"name":{"$regex":"^line"}}', ""),
        ('{"channel":{"$regex":"bu.ld$"}}', "a"),
        ('{"retryCount":{"$regex":"3"}}', ""),
        ('{"alias":{"$regex":""}}', "c"),
        ('{"$and":[{"$or":[{"$and":[{"name":"alerts"}]}]}]}', "b"),
    ],
)
def test_query_matches(query: str, matching: str) -> None:
    """A filter finds what the original's database would find."""
    assert ids(query=query) == matching


def nested(levels: int) -> str:
    """Return a filter of so many documents, one within the other."""
    return '{"$and":[' * (levels - 1) + '{"name":"alerts"}' + "]}" * (levels - 1)


def many(conditions: int) -> str:
    """Return a filter of so many alternatives."""
    return json.dumps({"$or": [{"name": f"n{number}"} for number in range(conditions)]})


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        (nested(4), True),
        (nested(5), False),
        (many(20), True),
        (many(21), False),
        (json.dumps({"$or": [{}] * 21}), False),
        (json.dumps({"$or": [{"$and": [{"name": "x", "type": "y"}] * 6}] * 2}), False),
        (json.dumps({"_createdBy": {"a": {"b": {"c": 1}}}}), True),
        (json.dumps({"_createdBy": {"a": {"b": {"c": {"d": 1}}}}}), False),
        (json.dumps({"channel": [[[1]]]}), True),
        (json.dumps({"channel": [[[[1]]]]}), False),
        (json.dumps({"name": {"$regex": "x" * 256}}), True),
        (json.dumps({"name": {"$regex": "ж" * 256, "$options": "i"}}), True),
        (json.dumps({"name": {"$regex": "x" * 257}}), False),
        (json.dumps({"$or": [{"name": {"$regex": "x" * 128}}, {"type": {"$regex": "y" * 128}}]}), True),
        (json.dumps({"$or": [{"name": {"$regex": "x" * 128}}, {"type": {"$regex": "y" * 129}}]}), False),
        (json.dumps({"name": {"$regex": r"\pN{2} \p{Greek}"}}), True),
        (json.dumps({"name": {"$regex": r"\p{Greek}" * 9}}), False),
        (json.dumps({"name": {"$regex": "(x{100}){100}"}}), False),
        (json.dumps({"name": {"$regex": "(?:.?){900}y"}}), False),
    ],
)
def test_query_limits(query: str, allowed: bool) -> None:
    """Four levels, twenty conditions and 256 characters of small patterns are allowed, more is not."""
    assert isinstance(parse_list_params({"query": query}, visible=VISIBLE), ListParams) is allowed


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
@pytest.mark.parametrize("pattern", [r"\pN{1000}", r"\pL{300}", r"((\pL{10}){10}){10}", r"\pL" * 84, r"[^\pL]" * 42])
def test_a_costly_pattern_is_refused_before_it_is_built(pattern: str) -> None:
    """A short pattern for a large program costs a few milliseconds of the loop at most, whatever it repeats."""
    costs = []
    for number in itertools.islice(EVER_NEW, 5):  # the engine keeps what it has compiled
        query = json.dumps({"name": {"$regex": f"{pattern}{number}", "$options": "i"}})
        began = time.thread_time()
        refused = parse_list_params({"query": query}, visible=VISIBLE)
        costs.append(time.thread_time() - began)
        assert isinstance(refused, QueryFault)
    assert min(costs) < 0.02


@pytest.mark.parametrize(
    "query",
    [
        "x",
        "null",
        "[]",
        "1",
        '"name"',
        '{"name":',
        '{"name":NaN}',
        '{"name":-Infinity}',
        pytest.param('{"retryCount":' + "9" * 5000 + "}", id="integer too long"),
        '{"token":"hidden-a"}',
        '{"script":null}',
        '{"_createdBy._id":"u1"}',
        '{"$or":[{"token":"hidden-a"}]}',
        '{"$or":[]}',
        '{"$or":{}}',
        '{"$or":["name"]}',
        '{"$and":null}',
        '{"$nor":[{"name":"x"}]}',
        '{"$where":"sleep(1000)"}',
        '{"$expr":{}}',
        '{"name":{"$ne":"x"}}',
        '{"name":{"$in":["x"]}}',
        '{"name":{"$not":{"$regex":"x"}}}',
        '{"name":{"first":{"$gt":""}}}',
        '{"channel":[{"$gt":""}]}',
        '{"name":{"$regex":"x","first":1}}',
        '{"name":{"$regex":"x","$options":"s"}}',
        '{"name":{"$regex":"x","$options":["i"]}}',
        '{"name":{"$options":"i"}}',
        '{"name":{"$regex":5}}',
        '{"name":{"$regex":"("}}',
        '{"name":{"$regex":"(?=x)"}}',
        '{"name":{"$regex":"\\ud800"}}',
        pytest.param("[" * 100_000, id="arrays too deep"),
        pytest.param('{"$and":[' * 50_000, id="operators too deep"),
        pytest.param('{"name":' * 50_000 + "1" + "}" * 50_000, id="objects too deep"),
    ],
)
def test_query_refused(query: str) -> None:
    """Whatever is not the small language on visible fields is refused in the contract's words."""
    assert parse_list_params({"query": query}, visible=VISIBLE) == QueryFault(
        f'Invalid query parameter provided: "{query}" [error-invalid-query]',
        "error-invalid-query",
        {"helperMethod": "parseJsonQuery"},
    )


@pytest.mark.parametrize(
    ("parameter", "raw"),
    [
        ("sort", "name"),
        ("sort", "[1]"),
        ("sort", '{"name":2}'),
        ("sort", '{"name":"1"}'),
        ("sort", '{"name":true}'),
        ("sort", '{"name":null}'),
        pytest.param("sort", "{" * 100_000, id="sort too deep"),
        ("fields", "name"),
        ("fields", '{"name":2}'),
        ("fields", '{"name":true}'),
        ("fields", '{"name":1,"type":0}'),
        ("fields", '{"a.b.c.d.e":1}'),
        pytest.param("fields", "[" * 100_000, id="fields too deep"),
    ],
)
def test_sort_and_fields_refused(parameter: str, raw: str) -> None:
    """A sort or fields parameter that is not one is named with its text."""
    assert parse_list_params({parameter: raw}, visible=VISIBLE) == QueryFault(
        f'Invalid {parameter} parameter provided: "{raw}" [error-invalid-{parameter}]',
        f"error-invalid-{parameter}",
        {"helperMethod": "parseJsonQuery"},
    )


def test_a_parameter_given_twice_is_refused() -> None:
    """Calls without a schema still refuse a parameter that is a list."""
    fault = parse_list_params({"sort": ['{"name":1}']}, visible=VISIBLE)
    assert isinstance(fault, QueryFault)
    assert fault.error_type == "error-invalid-sort"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("{}", ITEMS[1]),
        ('{"name":1}', {"_id": "b2", "name": "alerts"}),
        ('{"name":1,"_id":0}', {"name": "alerts"}),
        ('{"_id":1}', {"_id": "b2"}),
        ('{"nowhere":1}', {"_id": "b2"}),
        ('{"_createdBy.username":1}', {"_id": "b2", "_createdBy": {"username": "bob"}}),
        (
            '{"name":0,"type":0,"enabled":0,"channel":0,"retryCount":0,"alias":0,"token":0,"_createdBy._id":0}',
            {"_id": "b2", "_createdBy": {"username": "bob"}},
        ),
        ('{"_id":0}', {key: value for key, value in ITEMS[1].items() if key != "_id"}),
    ],
)
def test_fields(fields: str, expected: dict[str, object]) -> None:
    """Fields marked 1 are kept with the id, fields marked 0 are left out."""
    items, _ = page(ITEMS, parsed(fields=fields, query='{"_id":"b2"}'))
    assert items == [expected]


def test_fields_reach_into_lists() -> None:
    """A dotted field selects within every object of a list."""
    item = {"files": [{"name": "a", "size": 1}, "loose"], "other": 1}
    assert page([item], parsed(fields='{"files.name":1}'))[0] == [{"files": [{"name": "a"}, "loose"]}]


def test_paths_cross_lists() -> None:
    """A dotted path finds the values of every object of a list."""
    assert values_at({"files": [{"name": "a"}, 5, {"name": ["b"]}, {}]}, "files.name") == ["a", ["b"]]
    assert values_at({"files": "text"}, "files.name") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "channel", "_createdBy", "$or", "$and", "$regex", "$options"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    sort=json_values.map(json.dumps) | st.text(),
    fields=json_values.map(json.dumps),
    query=st.dictionaries(st.sampled_from(sorted(VISIBLE)), json_values).map(json.dumps) | json_values.map(json.dumps),
    item=st.dictionaries(st.sampled_from(sorted(VISIBLE)), json_values),
)
def test_anything_asked_gets_an_answer(sort: str, fields: str, query: str, item: dict[str, object]) -> None:
    """Whatever is asked of whatever record, the answer is a page or a fault and never an exception."""
    for params in ({"query": query}, {"sort": sort}, {"fields": fields}, {"count": sort, "offset": query}):
        result = parse_list_params(params, visible=VISIBLE)
        if isinstance(result, ListParams):
            items, total = page([item, *ITEMS], result)
            assert len(items) <= total <= 4


def test_hidden_fields_stay_hidden() -> None:
    """A filter with nothing visible to ask about refuses every condition."""
    assert isinstance(parse_list_params({"query": '{"name":"x"}'}, visible=()), QueryFault)


def test_lone_surrogates_in_records_do_not_break_a_search() -> None:
    """A stored text that cannot be encoded is searched all the same."""
    params = parsed(query='{"name":{"$regex":"x$"}}')
    assert params.matches({"name": "\ud800x"})
