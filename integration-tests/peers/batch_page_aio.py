"""The program of python-aioarango's batch page, for aioarango. Prints what each job came to, as JSON."""
import asyncio
import json
import sys

from aioarango import ArangoClient
from aioarango.exceptions import ArangoServerError

url, name = sys.argv[1:]


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("_rev", "_old_rev")}
    return value


async def told(job):
    assert job.status() == "done"
    try:
        result = job.result()
    except ArangoServerError as error:
        return {"http_code": error.http_code, "error_code": error.error_code}
    if hasattr(result, "batch"):
        return {"rows": [row async for row in result]}
    return {"result": plain(result)}


async def main():
    client = ArangoClient(hosts=url)
    system = await client.db("_system", username="root", password="passwd")
    await system.create_database(name)
    db = await client.db(name, username="root", password="passwd")
    students = await db.create_collection("students")
    batch_db = db.begin_batch_execution(return_result=True)
    batch_aql = batch_db.aql
    batch_col = batch_db.collection("students")
    assert batch_db.context == batch_aql.context == batch_col.context == "batch"
    jobs = [
        await batch_col.insert({"_key": "Kris"}),
        await batch_col.insert({"_key": "Rita"}),
        await batch_aql.execute("RETURN 100000"),
        await batch_aql.execute("INVALID QUERY"),
        await batch_col.insert({"_key": "Rita"}),
        await batch_col.get("Rita"),
        await batch_col.update({"_key": "Kris", "age": 21}),
        await batch_col.delete("Rita"),
    ]
    await batch_db.commit()
    answers = [await told(job) for job in jobs]
    assert await students.has("Kris", check_rev=False)
    batch_db = db.begin_batch_execution(return_result=False)
    await batch_db.collection("students").insert({"_key": "Jake"})
    await batch_db.collection("students").insert({"_key": "Jill"})
    await batch_db.commit()
    documents = [plain(document) async for document in await students.all()]
    documents.sort(key=lambda document: document["_key"])
    print(json.dumps({"jobs": answers, "documents": documents}))
    await client.close()


asyncio.run(main())
