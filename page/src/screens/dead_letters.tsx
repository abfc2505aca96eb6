import { useState } from "preact/hooks";
import { lettersPath, usePolled } from "../api";
import { exact } from "../format";
import type { Letter, Run, Snapshot } from "../types";

const EVERY_MS = 1500;

export function DeadLetters({ snapshot }: { snapshot: Snapshot }) {
  const some = snapshot.runs.filter((run) => run.dead_letters > 0);
  if (some.length === 0) {
    return <p class="empty">No row was refused. Rows that cannot be read or processed come here.</p>;
  }
  return (
    <>
      {some.map((run) => (
        <Letters run={run} key={run.name} />
      ))}
    </>
  );
}

function Letters({ run }: { run: Run }) {
  const letters = usePolled<Letter[]>(lettersPath(run.name), EVERY_MS) ?? [];
  const [word, look] = useState("");
  const shown = letters.filter((letter) => matches(letter, word));
  return (
    <section class="card letters">
      <div class="bar">
        <h2>{run.name}</h2>
        <small>
          {exact(run.dead_letters)} refused, the latest {exact(shown.length)}
        </small>
        <input
          type="search"
          placeholder="Filter"
          aria-label={`Filter dead letters of ${run.name}`}
          value={word}
          onInput={(event) => look(event.currentTarget.value)}
        />
      </div>
      <Reasons letters={shown} />
      <div class="scroll tall" tabIndex={0} role="region" aria-label={`Dead letters of ${run.name}`}>
        <table>
          <thead>
            <tr>
              {["time", "step", "reason", "bytes", "position"].map((name) => (
                <th key={name}>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((letter, i) => (
              <tr key={i}>
                <td>{letter.time.slice(0, 19).replace("T", " ")}</td>
                <td>{letter.operator}</td>
                <td class="wide">{letter.reason}</td>
                <td class="wide">
                  <code>{letter.bytes}</code>
                </td>
                <td>{letter.position.slice(letter.position.lastIndexOf("/") + 1)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="quiet">
        To try them again once the pipeline is mended:{" "}
        <code>penstock dead-letters replay CHECKPOINT</code>
      </p>
    </section>
  );
}

function matches(letter: Letter, word: string): boolean {
  const wanted = word.toLowerCase();
  return Object.values(letter).some((value) => String(value).toLowerCase().includes(wanted));
}

function Reasons({ letters }: { letters: Letter[] }) {
  const counts = new Map<string, number>();
  for (const { reason } of letters) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const largest = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5);
  return (
    <ul class="reasons">
      {largest.map(([reason, rows]) => (
        <li key={reason}>
          <b>{exact(rows)}</b> {reason}
        </li>
      ))}
    </ul>
  );
}
