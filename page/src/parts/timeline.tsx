import type { Checkpoint } from "../types";
import { clock, size, span } from "../format";

// Checkpoints of the last two minutes: where they are in time, how long they took.

const SHOWN = 60;
const HEIGHT = 36;

export function Timeline({ checkpoints }: { checkpoints: Checkpoint[] }) {
  const shown = checkpoints.slice(-SHOWN);
  const longest = Math.max(...shown.map((made) => made.seconds), 1e-6);
  return (
    <div class="timeline" role="img" aria-label={`${shown.length} checkpoints`}>
      {shown.map((made) => (
        <i
          key={made.epoch}
          style={{ height: `${4 + (made.seconds / longest) * (HEIGHT - 4)}px` }}
          title={`${clock(made.at)}, epoch ${made.epoch}: ${span(made.seconds)}, ${size(made.size_bytes)}`}
        />
      ))}
    </div>
  );
}
