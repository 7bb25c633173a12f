// The workouts kit from node-postgres, by the functions that docs/workouts.md shows.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { commitWorkout, importLog } from "./training_log.mjs";

const LOG = "Squat 5x5 @ 100 kg";
const DAY = "2026-03-02";

async function connected(work) {
  const client = new pg.Client();
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function inTransaction(client, level, work) {
  await client.query(`BEGIN ISOLATION LEVEL ${level}`);
  try {
    const result = await work();
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

async function theFourScenarios(client) {
  const [anna, ben] = [randomUUID(), randomUUID()];
  const first = await importLog(client, { athlete: anna, text: LOG, source: "node", tags: ["heavy"] });
  assert.equal(first.message, "New import created");
  assert.equal(first.is_duplicate, false);

  // The exact same text twice.
  const again = await importLog(client, { athlete: anna, text: LOG, source: "mail", ref: "<1@club>" });
  assert.deepEqual([again.import_id, again.is_duplicate, again.checksum], [first.import_id, true, first.checksum]);
  assert.match(again.message, /^Duplicate import detected\. Returning existing import from 20/);

  // The same content, of two athletes; of nobody known, too.
  const other = await importLog(client, { athlete: ben, text: LOG, source: "node" });
  assert.notEqual(other.import_id, first.import_id);
  assert.deepEqual([other.is_duplicate, other.checksum], [false, first.checksum]);
  const nobodys = await importLog(client, { athlete: null, text: LOG + anna, source: "node" });
  const nobodysAgain = await importLog(client, { athlete: null, text: LOG + anna, source: "node" });
  assert.deepEqual([nobodysAgain.import_id, nobodysAgain.is_duplicate], [nobodys.import_id, true]);

  // White space.
  const spaced = await importLog(client, { athlete: anna, text: " Squat  5x5\r\n@\u00a0100\tkg\n", source: "node" });
  assert.deepEqual([spaced.import_id, spaced.is_duplicate], [first.import_id, true]);

  // Two workouts on a day.
  const parsed = { workout_date: DAY, title: "Squat", sessions: [{ blocks: [{ items: [{ exercise: "Squat" }] }] }] };
  const squat = await commitWorkout(client, first.import_id, parsed);
  assert.deepEqual([squat.is_duplicate, squat.message], [false, "New workout committed"]);
  const rowImport = await importLog(client, { athlete: anna, text: "Row 5 km", source: "node" });
  const row = await commitWorkout(client, rowImport.import_id, { workout_date: DAY, title: "Row" });
  assert.equal(row.is_duplicate, false);
  assert.notEqual(row.workout_id, squat.workout_id);
  const squatAgain = await commitWorkout(client, first.import_id, { workout_date: DAY, title: "Squat, better parsed" });
  assert.deepEqual([squatAgain.workout_id, squatAgain.is_duplicate], [squat.workout_id, true]);
  const { rows } = await client.query(
    "SELECT session_title, parsed_workout FROM workouts WHERE athlete_id = $1 ORDER BY 1", [anna]);
  assert.deepEqual(rows.map((workout) => workout.session_title), ["Row", "Squat"]);
  assert.deepEqual(rows[1].parsed_workout, parsed);

  const checked = await client.query(
    "SELECT * FROM once.check_import_duplicate(checksum => $1, athlete_id => $2)", [first.checksum, ben]);
  assert.deepEqual([checked.rows[0].exists, checked.rows[0].import_id], [true, other.import_id]);
  const workout = await client.query(
    "SELECT * FROM once.check_workout_duplicate(athlete_id => $1, workout_date => $2, content_hash => $3)",
    [anna, DAY, first.checksum]);
  assert.deepEqual([workout.rows[0].exists, workout.rows[0].session_title], [true, "Squat"]);
}

async function whatIsRolledBackIsNewAgain(client) {
  const athlete = randomUUID();
  const log = () => importLog(client, { athlete, text: LOG, source: "node" });
  await client.query("BEGIN");
  assert.equal((await log()).is_duplicate, false);
  await client.query("ROLLBACK");
  assert.equal((await log()).is_duplicate, false);
  assert.equal((await log()).is_duplicate, true);
}

async function preparedByName(client) {
  const athlete = randomUUID();
  const text = `SELECT import_id, is_duplicate
    FROM once.import_raw_text_idempotent(athlete_id => $1, raw_text => $2, source => $3)`;
  const answers = [];
  for (let n = 0; n < 20; n += 1) {
    const { rows } = await client.query({ name: "import", text, values: [athlete, LOG, "node"] });
    answers.push(rows[0]);
  }
  assert.equal(new Set(answers.map((answer) => answer.import_id)).size, 1);
  assert.deepEqual(answers.map((answer) => answer.is_duplicate), [false, ...Array(19).fill(true)]);
}

async function errorsAreTold(client) {
  const commit = "SELECT * FROM once.commit_workout_idempotent(draft_id => $1, parsed_workout => $2)";
  const { import_id } = await importLog(client, { athlete: randomUUID(), text: LOG, source: "node" });
  const draft = await client.query("INSERT INTO workout_drafts (import_id) VALUES ($1) RETURNING draft_id", [import_id]);
  const { draft_id } = draft.rows[0];
  const told = (code) => (error) => error.code === code && Boolean(error.hint);
  await assert.rejects(importLog(client, { athlete: null, text: " \n", source: "node" }), told("22023"));
  await assert.rejects(importLog(client, { athlete: null, text: LOG, source: null }), told("22004"));
  await assert.rejects(client.query(commit, [draft_id, { workout_date: "2026-02-30" }]), told("22008"));
  await assert.rejects(client.query(commit, [randomUUID(), { workout_date: DAY }]), told("P0002"));
}

/** Clients of a pool, all at once. A serialization failure is tried again, anything else is not. */
async function atOnce(level, clients = 16) {
  const athlete = randomUUID();
  const pool = new pg.Pool({ max: clients });
  try {
    const one = async () => {
      const client = await pool.connect();
      try {
        for (let tries = 0; tries < 50; tries += 1) {
          try {
            return await inTransaction(client, level, async () => {
              const log = await importLog(client, { athlete, text: LOG, source: "node" });
              const workout = await commitWorkout(client, log.import_id, { workout_date: DAY });
              return [log.import_id, log.is_duplicate, workout.workout_id, workout.is_duplicate];
            });
          } catch (error) {
            if (error.code !== "40001" || level === "READ COMMITTED") throw error;
          }
        }
        throw new Error("never served");
      } finally {
        client.release();
      }
    };
    const answers = await Promise.all(Array.from({ length: clients }, one));
    for (const at of [0, 2]) assert.equal(new Set(answers.map((answer) => answer[at])).size, 1);
    for (const at of [1, 3]) assert.equal(answers.filter((answer) => !answer[at]).length, 1);
  } finally {
    await pool.end();
  }
}

await connected(theFourScenarios);
await connected(whatIsRolledBackIsNewAgain);
await connected(preparedByName);
await connected(errorsAreTold);
for (const level of ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]) {
  await connected((client) => inTransaction(client, level, () => theFourScenarios(client)));
  await atOnce(level);
}
console.log(`node-postgres on Node ${process.version}: all is well`);
