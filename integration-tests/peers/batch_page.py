"""The program of python-arango's batch page, and what its users queue besides.

Prints what each job came to, as JSON, and at last what is in the collection."""
import json
import sys
import warnings

from arango import ArangoClient
from arango.cursor import Cursor
from arango.exceptions import ArangoServerError, AQLQueryExecuteError, BatchStateError

warnings.simplefilter("ignore")
url, name = sys.argv[1:]
client = ArangoClient(hosts=url)
client.db("_system", username="root", password="passwd").create_database(name)
db = client.db(name, username="root", password="passwd")
students = db.create_collection("students")


def plain(value):
    """What does not differ from run to run."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("_rev", "_old_rev")}
    return value


def told(job):
    assert job.status() == "done"
    try:
        result = job.result()
    except ArangoServerError as error:
        return {"http_code": error.http_code, "error_code": error.error_code}
    if isinstance(result, Cursor):
        return {"rows": list(result)}
    return {"result": plain(result)}


with db.begin_batch_execution(return_result=True) as batch_db:
    batch_aql = batch_db.aql
    batch_col = batch_db.collection("students")
    assert batch_db.context == batch_aql.context == batch_col.context == "batch"
    jobs = [
        batch_col.insert({"_key": "Kris"}),
        batch_col.insert({"_key": "Rita"}),
        batch_aql.execute("RETURN 100000"),
        batch_aql.execute("INVALID QUERY"),
        # Beyond the page.
        batch_col.insert({"_key": "Rita"}),
        batch_col.insert({"_key": "not/legal"}),
        batch_col.insert({"_key": "Abby", "age": 20}, overwrite_mode="replace"),
        batch_col.insert({"_key": "Abby", "name": "A"}, overwrite_mode="update"),
        batch_col.get("Abby"),
        batch_col.update({"_key": "Kris", "age": 21}),
        batch_col.replace({"_key": "Rita", "age": 22}),
        batch_col.update({"_key": "Nobody", "age": 1}),
        batch_col.delete("Rita"),
        batch_aql.execute("FOR s IN students SORT s._key RETURN s._key"),
        batch_aql.execute(
            "FOR s IN @@c FILTER s.age == @age RETURN s.name", bind_vars={"@c": "students", "age": 20}
        ),
        batch_aql.execute("FOR i IN 1..2500 RETURN i", batch_size=1000),
    ]
    assert all(job.status() == "pending" for job in jobs) or batch_db.queued_jobs() is not None

assert students.has("Kris") and not students.has("Rita")
assert jobs[0].result()["_id"] == "students/Kris"
assert jobs[2].result().next() == 100000
try:
    jobs[3].result()
    raise SystemExit("an invalid query has no result")
except AQLQueryExecuteError as err:
    assert err.http_code == 400 and err.error_code == 1501 and "syntax error" in err.message
answers = [told(job) for job in jobs[:2] + jobs[3:]]
answers.insert(2, {"rows": [100000]})

# Committed by hand, without results; and not twice.
batch_db = db.begin_batch_execution(return_result=False)
batch_db.collection("students").insert({"_key": "Jake"})
batch_db.collection("students").insert({"_key": "Jill"})
batch_db.commit()
assert "Jake" in students and "Jill" in students
try:
    batch_db.commit()
    raise SystemExit("a batch is committed once")
except BatchStateError:
    pass
# What is not committed is not sent: an error in the body discards.
try:
    with db.begin_batch_execution() as batch_db:
        batch_db.collection("students").insert({"_key": "never"})
        raise KeyError("on purpose")
except KeyError:
    assert not students.has("never")

documents = sorted((plain(document) for document in students.all()), key=lambda d: d["_key"])
print(json.dumps({"jobs": answers, "documents": documents}))
