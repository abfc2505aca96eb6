import { useState } from "preact/hooks";
import { command } from "../api";
import type { Command } from "../api";
import type { Run } from "../types";

export function Commands({ run }: { run: Run }) {
  const [error, fail] = useState<string | null>(null);
  const send = async (what: Command): Promise<void> => {
    try {
      await command(run.name, what);
      fail(null);
    } catch (found) {
      fail(String(found));
    }
  };
  const stop = (): void => {
    const asked = `Stop ${run.name}? It finishes its epoch and makes a last checkpoint.`;
    if (confirm(asked)) void send("stop");
  };
  if (run.state !== "running" && run.state !== "paused") return null;
  const paused = run.state === "paused";
  return (
    <span class="commands">
      <button onClick={() => void send(paused ? "resume" : "pause")}>
        {paused ? "▶ Resume" : "❚❚ Pause"}
      </button>
      <button onClick={stop}>■ Stop</button>
      {error && <span class="bad">{error}</span>}
    </span>
  );
}
