import type { Run } from "../types";
import { clock, size, span } from "../format";
import { namesOf } from "../names";
import { Timeline } from "./timeline";

const EXACTLY = "exactly once";

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
  const sinks = run.steps.filter((step) => step.guarantee !== null);
  const weak = sinks.filter((step) => !step.guarantee?.startsWith(EXACTLY));
  if (weak.length === 0) return <p class="promise good">✓ Exactly once, end to end.</p>;
  const whose = weak.map((step) => `${namesOf(step).title}: ${step.guarantee}`).join("\n");
  return (
    <p class="promise">
      {weak.length < sinks.length && (
        <span class="good">
          ✓ Exactly once into {sinks.length - weak.length} of {sinks.length} sinks.{" "}
        </span>
      )}
      <span class="weak" title={whose}>
        ⚠ Weaker into {weak.length}.
      </span>
    </p>
  );
}

function Newest({ run }: { run: Run }) {
  const newest = run.checkpoints.at(-1);
  if (!newest) return <p class="quiet">No checkpoint was made since the start.</p>;
  return (
    <p class="quiet">
      Checkpoint {clock(newest.at)} · {span(newest.seconds)} · {size(newest.size_bytes)}
    </p>
  );
}
