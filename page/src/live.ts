import { useEffect, useState } from "preact/hooks";
import type { Snapshot } from "./types";

// The newest snapshot and the rates of the last half minute. What the server sends faster than the
// screen is drawn is overwritten, never queued.

export interface Live {
  snapshot: Snapshot | null;
  connected: boolean;
}

const POINTS = 120;
const histories = new Map<string, number[]>();
const listeners = new Set<(live: Live) => void>();
let live: Live = { snapshot: null, connected: true };
let waiting: string | null = null;

export function idOf(run: string, step: string): string {
  return `${run}/${step}`;
}

export function history(id: string): readonly number[] {
  return histories.get(id) ?? [];
}

function remember(id: string, value: number): void {
  const kept = histories.get(id) ?? [];
  kept.push(value);
  if (kept.length > POINTS) kept.shift();
  histories.set(id, kept);
}

function note(snapshot: Snapshot): void {
  for (const run of snapshot.runs) {
    remember(idOf(run.name, ""), run.in_per_second);
    for (const step of run.steps) {
      remember(idOf(run.name, step.name), Math.max(step.in_per_second, step.out_per_second));
    }
  }
}

function publish(next: Live): void {
  live = next;
  for (const listener of listeners) listener(live);
}

function draw(): void {
  if (waiting === null) return;
  const snapshot = JSON.parse(waiting) as Snapshot;
  waiting = null;
  note(snapshot);
  publish({ snapshot, connected: true });
}

export function connect(): void {
  const source = new EventSource("/api/events");
  source.onmessage = (event: MessageEvent<string>) => {
    if (waiting === null) requestAnimationFrame(draw);
    waiting = event.data;
  };
  source.onerror = () => publish({ ...live, connected: false });
}

export function useLive(): Live {
  const [seen, see] = useState(live);
  useEffect(() => {
    listeners.add(see);
    return () => void listeners.delete(see);
  }, []);
  return seen;
}
