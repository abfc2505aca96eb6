import { idOf } from "../live";
import type { Run, Step } from "../types";

export interface Link {
  from: string;
  to: string;
}

// "Sink topic /x/clicks.topic" and "Scan topic /x/clicks.topic" are two ends of one thing.
function placeOf(step: Step): string {
  return step.text.split(" ").slice(1).join(" ");
}

// Runs that read what no other run has put there: their rows are counted once.
export function firstRuns(runs: Run[]): Run[] {
  return runs.filter((run) => !runs.some((other) => other !== run && linkBetween(other, run)));
}

export function linkBetween(above: Run | undefined, below: Run): Link | null {
  for (const sink of above?.steps ?? []) {
    const source = below.steps.find(
      (step) => step.kind === "source" && placeOf(step) === placeOf(sink),
    );
    if (above && source && sink.kind === "sink") {
      return { from: idOf(above.name, sink.name), to: idOf(below.name, source.name) };
    }
  }
  return null;
}
