"""What python-arango's documentation has of documents, transactions, indexes and graphs."""
import sys
import warnings

from arango import ArangoClient
from arango.exceptions import (
    DocumentInsertError,
    DocumentReplaceError,
    DocumentRevisionError,
    GraphCreateError,
    TransactionCommitError,
)

warnings.simplefilter("ignore")
url, name = sys.argv[1:]
client = ArangoClient(hosts=url)
client.db("_system", username="root", password="passwd").create_database(name)
db = client.db(name, username="root", password="passwd")
assert db.properties()["name"] == name
students = db.create_collection("students")

# One, and many.
meta = students.insert({"_key": "Abby", "age": 20}, return_new=True)
assert meta["new"]["age"] == 20 and meta["_id"] == "students/Abby"
results = students.insert_many([{"_key": "John"}, {"_key": "Abby"}, {"_key": "Rita"}])
assert results[0]["_key"] == "John" and isinstance(results[1], DocumentInsertError)
assert results[1].error_code == 1210 and results[2]["_key"] == "Rita"
assert students.count() == 3 and students.has("Rita") and "nobody" not in students
old = students.get("Abby")["_rev"]
students.update({"_key": "Abby", "age": 21})
try:
    students.update({"_key": "Abby", "_rev": old, "age": 22}, check_rev=True)
    raise SystemExit("the revision is an old one")
except DocumentRevisionError as error:
    assert error.http_code == 412 and error.error_code == 1200
results = students.update_many([{"_key": "Abby", "age": 23}, {"_key": "nobody"}])
assert results[0]["_old_rev"] and results[1].error_code == 1202
try:
    students.replace({"_key": "nobody"})
    raise SystemExit("nobody is there")
except DocumentReplaceError as error:
    assert error.error_code == 1202
assert [d["_key"] for d in students.get_many(["Abby", "nobody", "Rita"])] == ["Abby", "Rita"]
assert students.delete("nobody", ignore_missing=True) is False
assert sorted(students.keys()) == ["Abby", "John", "Rita"]
assert [d["age"] for d in students.find({"age": 23})] == [23]

# Cursors longer than a page.
cursor = db.aql.execute("FOR i IN 1..25 RETURN i", batch_size=10, count=True)
assert cursor.count() == 25 and list(cursor) == list(range(1, 26))

# A unique index refuses.
students.add_persistent_index(fields=["name"], unique=True, sparse=True)
students.insert({"_key": "n1", "name": "same"})
try:
    students.insert({"_key": "n2", "name": "same"})
    raise SystemExit("the name is taken")
except DocumentInsertError as error:
    assert error.error_code == 1210

# A transaction shows nothing before its commit, and nothing after an abort.
txn = db.begin_transaction(write="students")
txn.collection("students").insert({"_key": "inside"})
assert txn.collection("students").has("inside") and not students.has("inside")
assert txn.transaction_status() == "running"
txn.commit_transaction()
assert students.has("inside")
txn = db.begin_transaction(write="students")
txn.collection("students").insert({"_key": "gone"})
txn.abort_transaction()
assert not students.has("gone")
try:
    txn.commit_transaction()
    raise SystemExit("it is aborted")
except TransactionCommitError:
    pass

# A graph.
graph = db.create_graph("school")
teachers = graph.create_vertex_collection("teachers")
teach = graph.create_edge_definition("teach", ["teachers"], ["students"])
teachers.insert({"_key": "jon"})
teach.insert({"_key": "e", "_from": "teachers/jon", "_to": "students/Abby"})
assert teach.get("e")["_to"] == "students/Abby"
teachers.delete("jon")
assert not teach.has("e")
try:
    db.create_graph("school")
    raise SystemExit("the graph is there")
except GraphCreateError:
    pass
db.delete_graph("school", drop_collections=True)
assert not db.has_graph("school")
print("{}")
