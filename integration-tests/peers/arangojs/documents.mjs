// What arangojs's documentation has of documents, arrays, cursors, transactions and graphs.
import assert from "node:assert/strict";
import { Database, aql } from "arangojs";

const [url, name] = process.argv.slice(2);
const system = new Database({ url, auth: { username: "root", password: "passwd" } });
const db = await system.createDatabase(name);
const students = await db.createCollection("students");

const meta = await students.save({ _key: "Abby", age: 20 }, { returnNew: true });
assert.equal(meta.new.age, 20);
const many = await students.saveAll([{ _key: "John" }, { _key: "Abby" }, { _key: "Rita" }]);
assert.equal(many[0]._key, "John");
assert.equal(many[1].errorNum, 1210);
assert.equal(many[2]._key, "Rita");
await assert.rejects(students.save({ _key: "Abby" }), (e) => e.errorNum === 1210 && e.code === 409);
const updated = await students.updateAll([{ _key: "Abby", age: 21 }, { _key: "nobody" }]);
assert.ok(updated[0]._oldRev);
assert.equal(updated[1].errorNum, 1202);
const old = (await students.document("Abby"))._rev;
await students.update("Abby", { age: 22 });
await assert.rejects(
  students.replace("Abby", { age: 1 }, { ifMatch: old }),
  (e) => e.errorNum === 1200 && e.code === 412,
);
const read = await students.documents(["Abby", "nobody"]);
assert.equal(read[0].age, 22);
assert.equal(read[1].errorNum, 1202);
const removed = await students.removeAll(["John", "nobody"]);
assert.equal(removed[0]._key, "John");
assert.equal(removed[1].errorNum, 1202);
assert.equal((await students.count()).count, 2);

const cursor = await db.query(aql`FOR i IN 1..25 RETURN i`, { batchSize: 10, count: true });
assert.equal(cursor.count, 25);
assert.deepEqual(await cursor.all(), Array.from({ length: 25 }, (_, i) => i + 1));
await assert.rejects(db.query("INVALID QUERY"), (e) => e.errorNum === 1501);

const trx = await db.beginTransaction({ write: ["students"] });
await trx.step(() => students.save({ _key: "inside" }));
assert.equal(await students.documentExists("inside"), false);
await trx.commit();
assert.equal(await students.documentExists("inside"), true);
const gone = await db.beginTransaction({ write: ["students"] });
await gone.step(() => students.save({ _key: "gone" }));
await gone.abort();
assert.equal(await students.documentExists("gone"), false);

const graph = await db.createGraph("school", [{ collection: "teach", from: "teachers", to: "students" }]);
await graph.vertexCollection("teachers").save({ _key: "jon" });
await graph.edgeCollection("teach").save({ _key: "e", _from: "teachers/jon", _to: "students/Abby" });
assert.equal((await graph.edgeCollection("teach").edge("e"))._to, "students/Abby");
await graph.drop(true);
console.log("{}");
