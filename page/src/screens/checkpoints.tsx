import { clock, exact, size, span } from "../format";
import { Timeline } from "../parts/timeline";
import type { Run, Snapshot } from "../types";

export function Checkpoints({ snapshot }: { snapshot: Snapshot }) {
  return (
    <>
      {snapshot.runs.map((run) => (
        <section class="card" key={run.name}>
          <div class="bar">
            <h2>{run.name}</h2>
            <small>{summary(run)}</small>
          </div>
          {run.checkpoints.length > 0 && <Timeline checkpoints={run.checkpoints} />}
          <div class="pair">
            {run.checkpoints.length > 0 && <Latest run={run} />}
            {run.steps.some((step) => step.state_rows > 0) && <State run={run} />}
          </div>
        </section>
      ))}
    </>
  );
}

function summary(run: Run): string {
  if (!run.keeps_checkpoints) return "keeps no checkpoint: give it checkpoint=\"folder\"";
  const newest = run.checkpoints.at(-1);
  return newest ? `last one ${clock(newest.at)}, ${size(newest.size_bytes)}` : "none since the start";
}

function Latest({ run }: { run: Run }) {
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label={`Checkpoints of ${run.name}`}>
      <table>
        <thead>
          <tr>
            <th>made</th>
            <th class="number">epoch</th>
            <th class="number">took</th>
            <th class="number">size</th>
          </tr>
        </thead>
        <tbody>
          {[...run.checkpoints].reverse().map((made) => (
            <tr key={made.epoch}>
              <td>{clock(made.at)}</td>
              <td class="number">{exact(made.epoch)}</td>
              <td class="number">{span(made.seconds)}</td>
              <td class="number">{size(made.size_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function State({ run }: { run: Run }) {
  const kept = run.steps.filter((step) => step.state_rows > 0);
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label={`State of ${run.name}`}>
      <table>
        <thead>
          <tr>
            <th>state of</th>
            <th class="number">rows</th>
            <th class="number">size</th>
          </tr>
        </thead>
        <tbody>
          {kept.map((step) => (
            <tr key={step.name} title={step.text}>
              <td>{step.name}</td>
              <td class="number">{exact(step.state_rows)}</td>
              <td class="number">{size(step.state_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
