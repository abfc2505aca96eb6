import type { Run } from "../types";
import { clock, exact, size, span } from "../format";
import { Timeline } from "./timeline";

// What becomes of a row across crashes, and the checkpoints that the promise rests on.
export function Promises({ runs }: { runs: Run[] }) {
  return (
    <section class="promises" aria-label="Guarantees and checkpoints">
      {runs.map((run) => (
        <article key={run.name}>
          <div>
            <h2>{run.name}</h2>
            <Guarantee run={run} />
          </div>
          {run.keeps_checkpoints && <Newest run={run} />}
          {run.checkpoints.length > 0 && <Timeline checkpoints={run.checkpoints} />}
        </article>
      ))}
    </section>
  );
}

function Guarantee({ run }: { run: Run }) {
  if (!run.keeps_checkpoints) {
    return <p class="promise none">✕ No checkpoint: nothing survives the process.</p>;
  }
  const said = run.steps.flatMap((step) => (step.guarantee ? [step.guarantee] : []));
  const weak = [...new Set(said.filter((text) => !text.startsWith("exactly once")))];
  if (weak.length === 0) return <p class="promise good">✓ Exactly once, end to end.</p>;
  return (
    <div class="promise weak">
      {weak.map((text) => (
        <p key={text}>⚠ {text.replace(", when run with a checkpoint", "")}</p>
      ))}
    </div>
  );
}

function Newest({ run }: { run: Run }) {
  const newest = run.checkpoints.at(-1);
  if (!newest) return <p class="quiet">No checkpoint was made since the start.</p>;
  return (
    <p class="quiet">
      Last checkpoint {clock(newest.at)}, epoch {exact(newest.epoch)}, took {span(newest.seconds)},{" "}
      {size(newest.size_bytes)}
    </p>
  );
}
