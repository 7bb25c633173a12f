"""Batches of rows from psycopg 3, by the functions that docs/rows.md shows."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
from batches import ingest, ingest_rows
from psycopg.types.json import Jsonb

BATCH = [
    {"phone": "017-777 8888", "name": "Chong \u5f20 \U0001f600", "tags": ["a", "b"], "joined": "2026-03-02"},
    {"phone": "+60177778888", "name": None, "city": "Kuching \"North\""},
    {"phone": "nobody's", "name": "Raj"},
]


def connect():
    return psycopg.connect(autocommit=True)


def versions(connection):
    return connection.execute("SELECT id, xmin::text, ctid::text FROM customers ORDER BY id").fetchall()


def a_batch_is_taken_once(connection):
    answer = ingest(connection, "customers", BATCH, {"file": "batch.json"})
    assert (answer["inserted"], answer["duplicate"], answer["rejected"]) == (1, 1, 1), answer
    assert [error["row"] for error in answer["errors"]] == [3], answer
    name, city, tags = connection.execute(
        "SELECT name, city, tags FROM customers WHERE phone = '+60177778888'").fetchone()
    assert (name, city, tags) == (BATCH[0]["name"], BATCH[1]["city"], ["a", "b"])

    before = versions(connection)
    again = ingest(connection, "customers", BATCH)
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 0, 1), again
    assert [row[:2] for row in ingest_rows(connection, "customers", BATCH)] == [
        (1, "unchanged"), (2, "duplicate"), (3, "rejected")]
    assert versions(connection) == before


def a_plan_binds(connection):
    rows = [{"phone": "019-555 1234", "name": "New"}]
    before = versions(connection)
    plan = ingest(connection, "customers", rows, dry_run=True)["plan"]
    assert plan["inserted"] == 1 and versions(connection) == before
    connection.execute("INSERT INTO customers (phone, name) VALUES ('+60195551234', 'Other')")
    try:
        ingest(connection, "customers", rows, {"plan": plan})
        raise AssertionError("the plan did not bind")
    except RuntimeError as error:
        assert str(error).startswith("55000: The outcome would not be as planned"), error
    plan = ingest(connection, "customers", rows, dry_run=True)["plan"]
    assert ingest(connection, "customers", rows, {"plan": plan})["updated"] == 1


def a_transaction_takes_it_back():
    with psycopg.connect() as connection:
        assert ingest(connection, "customers", [{"phone": "018-222 3344", "name": "Gone"}])["inserted"] == 1
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM customers WHERE name = 'Gone'").fetchone() == (0,)


def misuse_is_an_error(connection):
    for target, rows, state in [("nobody", [], "42704"), ("customers", {"phone": "1"}, "22023")]:
        try:
            connection.execute("SELECT once.ingest(%s, %s)", (target, Jsonb(rows)))
            raise AssertionError(f"{target} was taken")
        except psycopg.Error as error:
            assert error.sqlstate == state, error
            assert error.diag.message_hint


def numbers_keep_their_digits(connection):
    exact = Decimal("1234567890123456789.1234567890123456789")
    connection.execute("CREATE TABLE prices (code text PRIMARY KEY, price numeric)")
    connection.execute("SELECT once.create_target('prices', 'prices', '{\"match\": [[\"code\"]]}')")
    ingest(connection, "prices", [{"code": "x", "price": str(exact)}])
    assert connection.execute("SELECT price FROM prices").fetchone() == (exact,)


def clients_side_by_side():
    rows = [{"phone": f"016-300 {number:04}", "name": f"Number {number}"} for number in range(200)]

    def send(client):
        with connect() as connection:
            return ingest(connection, "customers", rows[client:] + rows[:client])["inserted"]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(0, 160, 20))) == 200


with connect() as connection:
    a_batch_is_taken_once(connection)
    a_plan_binds(connection)
    a_transaction_takes_it_back()
    misuse_is_an_error(connection)
    numbers_keep_their_digits(connection)
    clients_side_by_side()
