"""The workouts kit from psycopg 3, by the functions that docs/workouts.md shows."""

import threading
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import psycopg
from psycopg import IsolationLevel
from psycopg.types.json import Jsonb
from training_log import commit_workout, import_log

LOG = "Squat 5x5 @ 100 kg"
DAY = "2026-03-02"


def connect(**settings):
    return psycopg.connect(autocommit=True, **settings)


def value(connection, query, *parameters):
    return connection.execute(query, parameters).fetchone()[0]


def the_four_scenarios(connection):
    anna, ben = uuid.uuid4(), uuid.uuid4()
    first, known, message, checksum = import_log(connection, anna, LOG, source="psycopg", tags=["heavy"])
    assert isinstance(first, uuid.UUID) and not known and message == "New import created", message

    # The exact same text twice.
    again, known, message, same = import_log(connection, anna, LOG, source="mail", ref="<1@club>")
    assert (again, known, same) == (first, True, checksum)
    assert message.startswith("Duplicate import detected. Returning existing import from 20"), message

    # The same content, of two athletes; of nobody known, too.
    other, known, _, same = import_log(connection, ben, LOG, source="psycopg")
    assert other != first and not known and same == checksum
    nobodys, *_ = import_log(connection, None, LOG + str(anna), source="psycopg")
    assert import_log(connection, None, LOG + str(anna), source="psycopg")[:2] == (nobodys, True)

    # White space.
    again, known, *_ = import_log(connection, anna, " Squat  5x5\r\n@\u00a0100\tkg\n", source="psycopg")
    assert (again, known) == (first, True)

    # Two workouts on a day; numbers come back as they were given.
    workout = {"workout_date": DAY, "title": "Squat", "sessions": [{"blocks": [{"items": [{"exercise": "Squat"}]}]}]}
    squat, known, _ = commit_workout(connection, first, workout)
    assert not known
    row_import, *_ = import_log(connection, anna, "Row 5 km", source="psycopg")
    row, known, _ = commit_workout(connection, row_import, {"workout_date": DAY, "title": "Row"})
    assert row != squat and not known
    again, known, message = commit_workout(connection, first, {"workout_date": DAY, "title": "Squat, better parsed"})
    assert (again, known) == (squat, True)
    assert message == "Duplicate workout detected. Same athlete/date/content already exists", message
    titles = connection.execute(
        "SELECT session_title FROM workouts WHERE athlete_id = %s ORDER BY 1", (anna,)).fetchall()
    assert titles == [("Row",), ("Squat",)], titles
    assert value(connection, "SELECT exercise FROM workout_items WHERE workout_id = %s", squat) == "Squat"

    exists, found, *_ = connection.execute(
        "SELECT * FROM once.check_import_duplicate(checksum => %s, athlete_id => %s)", (checksum, ben)).fetchone()
    assert exists and found == other
    exists, found, created_at, title = connection.execute(
        "SELECT * FROM once.check_workout_duplicate(athlete_id => %s, workout_date => %s, content_hash => %s)",
        (anna, DAY, checksum)).fetchone()
    assert exists and found == squat and title == "Squat" and created_at.tzinfo is not None


def in_autocommit():
    with connect() as connection:
        the_four_scenarios(connection)


def with_prepared_statements():
    # From its first run on, and through the change to a generic plan.
    with connect(prepare_threshold=0) as connection:
        for _ in range(8):
            the_four_scenarios(connection)
        assert value(connection, "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'idempotent'") >= 2


def in_a_transaction(level):
    with connect() as connection:
        connection.isolation_level = level
        with connection.transaction():
            the_four_scenarios(connection)


def what_is_rolled_back_is_new_again():
    anna = uuid.uuid4()
    with connect() as connection:
        with connection.transaction(force_rollback=True):
            assert not import_log(connection, anna, LOG, source="psycopg")[1]
        assert not import_log(connection, anna, LOG, source="psycopg")[1]
        # A savepoint alone, too.
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                assert not import_log(connection, anna, "Row 5 km", source="psycopg")[1]
            assert not import_log(connection, anna, "Row 5 km", source="psycopg")[1]


def in_a_pipeline():
    anna = uuid.uuid4()
    query = """SELECT import_id, is_duplicate FROM once.import_raw_text_idempotent(
                 athlete_id => %s, raw_text => %s, source => %s)"""
    with connect() as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.cursor() for _ in range(20)]
            for cursor in cursors:
                cursor.execute(query, (anna, LOG, "psycopg"))
            pipeline.sync()
            answers = [cursor.fetchone() for cursor in cursors]
        assert [known for _, known in answers] == [False] + [True] * 19, answers
        assert len({import_id for import_id, _ in answers}) == 1
        # In one go, bound anew for every row.
        cursor = connection.cursor()
        cursor.executemany(query, [(anna, f"{LOG} week {n % 10}", "psycopg") for n in range(50)])
        assert value(connection, "SELECT count(*) FROM imports WHERE athlete_id = %s", anna) == 11


def errors_are_told():
    unknown = uuid.uuid4()
    commit = "SELECT * FROM once.commit_workout_idempotent(draft_id => %s, parsed_workout => %s)"
    with connect() as connection:
        draft = value(
            connection, "INSERT INTO workout_drafts (import_id) VALUES (%s) RETURNING draft_id",
            import_log(connection, uuid.uuid4(), LOG, source="psycopg")[0])
        for sqlstate, attempt in {
            "22023": lambda: import_log(connection, None, " \n", source="psycopg"),
            "22004": lambda: import_log(connection, None, LOG, source=None),
            "22008": lambda: connection.execute(commit, (draft, Jsonb({"workout_date": "2026-02-30"}))),
            "P0002": lambda: connection.execute(commit, (unknown, Jsonb({"workout_date": DAY}))),
        }.items():
            try:
                attempt()
            except psycopg.Error as error:
                assert error.sqlstate == sqlstate and error.diag.message_hint, error
            else:
                raise AssertionError(f"no {sqlstate}")


def once_in_the_end(level, athlete, tries=50):
    """Imports in a transaction of this level; a serialization failure is tried again, anything else is not."""
    with connect() as connection:
        connection.isolation_level = level
        for _ in range(tries):
            try:
                with connection.transaction():
                    import_id, known, *_ = import_log(connection, athlete, LOG, source="psycopg")
                    workout_id, again, _ = commit_workout(connection, import_id, {"workout_date": DAY})
                    return import_id, known, workout_id, again
            except psycopg.errors.SerializationFailure:
                assert level != IsolationLevel.READ_COMMITTED, "40001 under READ COMMITTED"
    raise AssertionError("never served")


def at_once(pool_type, level, clients=16):
    athlete = uuid.uuid4()
    with pool_type(clients) as pool:
        answers = [done.result() for done in [pool.submit(once_in_the_end, level, athlete) for _ in range(clients)]]
    assert len({answer[0] for answer in answers}) == 1 and len({answer[2] for answer in answers}) == 1, answers
    assert sorted(answer[1] for answer in answers) == [False] + [True] * (clients - 1), answers
    assert sorted(answer[3] for answer in answers) == [False] + [True] * (clients - 1), answers


def threads_that_start_together():
    athlete, clients = uuid.uuid4(), 24
    start, answers = threading.Barrier(clients), []

    def client():
        with connect() as connection:
            start.wait()
            answers.append(import_log(connection, athlete, LOG, source="psycopg")[:2])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == clients, f"{len(answers)} of {clients} were served"
    assert len({import_id for import_id, _ in answers}) == 1
    assert sorted(known for _, known in answers) == [False] + [True] * (clients - 1)


if __name__ == "__main__":
    in_autocommit()
    with_prepared_statements()
    what_is_rolled_back_is_new_again()
    in_a_pipeline()
    errors_are_told()
    threads_that_start_together()
    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE):
        in_a_transaction(level)
        at_once(ThreadPoolExecutor, level)
        at_once(ProcessPoolExecutor, level, clients=8)
    print(f"psycopg {psycopg.__version__}: all is well")
