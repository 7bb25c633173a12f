// Batches of rows from node-postgres, by the functions that docs/rows.md shows.
import assert from "node:assert/strict";
import pg from "pg";
import { ingest, ingestRows } from "./batches.mjs";

const BATCH = [
  { phone: "017-777 8888", name: "Chong \u5f20 \u{1f600}", tags: ["a", "b"], joined: "2026-03-02" },
  { phone: "+60177778888", name: null, city: 'Kuching "North"' },
  { phone: "nobody's", name: "Raj" },
];

async function connected(work) {
  const client = new pg.Client();
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function versions(client) {
  return (await client.query("SELECT id, xmin::text, ctid::text FROM customers ORDER BY id")).rows;
}

async function aBatchIsTakenOnce(client) {
  const answer = await ingest(client, "customers", BATCH, { source: { file: "batch.json" } });
  assert.deepEqual([answer.inserted, answer.duplicate, answer.rejected], [1, 1, 1]);
  assert.deepEqual(answer.errors.map((error) => error.row), [3]);
  const { rows } = await client.query("SELECT name, city, tags FROM customers WHERE phone = '+60177778888'");
  assert.deepEqual(rows, [{ name: BATCH[0].name, city: BATCH[1].city, tags: ["a", "b"] }]);

  const before = await versions(client);
  const again = await ingest(client, "customers", BATCH);
  assert.deepEqual([again.inserted, again.updated, again.unchanged], [0, 0, 1]);
  const outcomes = await ingestRows(client, "customers", BATCH);
  assert.deepEqual(outcomes.map((row) => [row.row_number, row.outcome]), [[1, "unchanged"], [2, "duplicate"], [3, "rejected"]]);
  assert.deepEqual(await versions(client), before);
}

async function aPlanBinds(client) {
  const rows = [{ phone: "019-555 1234", name: "New" }];
  const before = await versions(client);
  let { plan } = await ingest(client, "customers", rows, { dryRun: true });
  assert.equal(plan.inserted, 1);
  assert.deepEqual(await versions(client), before);
  await client.query("INSERT INTO customers (phone, name) VALUES ('+60195551234', 'Other')");
  await assert.rejects(ingest(client, "customers", rows, { source: { plan } }), /^Error: 55000: The outcome would not be as planned/);
  ({ plan } = await ingest(client, "customers", rows, { dryRun: true }));
  assert.equal((await ingest(client, "customers", rows, { source: { plan } })).updated, 1);
}

async function misuseIsAnError(client) {
  await assert.rejects(ingest(client, "nobody", []), { code: "42704" });
  await assert.rejects(ingest(client, "customers", { phone: "1" }), { code: "22023" });
  // What the page warns of: a bare array is sent as an array of Postgres.
  await assert.rejects(client.query("SELECT once.ingest($1, $2)", ["customers", BATCH]), { code: "22P02" });
}

await connected(async (client) => {
  await aBatchIsTakenOnce(client);
  await aPlanBinds(client);
  await misuseIsAnError(client);
});

const rows = Array.from({ length: 200 }, (_, number) => ({
  phone: `016-300 ${String(number).padStart(4, "0")}`,
  name: `Number ${number}`,
}));
const answers = await Promise.all(
  Array.from({ length: 8 }, (_, each) => 20 * each).map((from) =>
    connected((client) => ingest(client, "customers", [...rows.slice(from), ...rows.slice(0, from)])),
  ),
);
assert.equal(answers.reduce((sum, answer) => sum + answer.inserted, 0), 200);
