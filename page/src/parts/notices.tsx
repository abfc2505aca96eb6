import type { Run, Snapshot } from "../types";

interface Notice {
  kind: "bad" | "note";
  text: string;
}

function of(run: Run): Notice[] {
  const found: Notice[] = run.warnings.map((text) => ({ kind: "bad", text }));
  if (run.state === "failed") {
    found.push({ kind: "bad", text: `${run.name} failed: ${run.last_error ?? "see its log"}` });
  } else if (run.state === "restarting") {
    found.push({ kind: "bad", text: `${run.name} is restarted: ${run.last_error ?? ""}` });
  } else if (run.restarts > 0) {
    const times = run.restarts === 1 ? "once" : `${run.restarts} times`;
    found.push({
      kind: "note",
      text: `${run.name} was restarted ${times}; counts are since then. Last: ${run.last_error ?? ""}`,
    });
  }
  if (run.state === "finished" || run.state === "stopped") {
    found.push({ kind: "note", text: `${run.name} has ${run.state}; these are its last figures.` });
  }
  return found;
}

export function Notices(props: { snapshot: Snapshot | null; connected: boolean }) {
  const found = props.snapshot?.runs.flatMap(of) ?? [];
  if (!props.connected && props.snapshot) {
    const text = "The pipeline's process does not answer. The page goes on by itself when it is back.";
    found.unshift({ kind: "bad", text });
  }
  return (
    <div class="notices" role="status">
      {found.map((notice) => (
        <p class={notice.kind} key={notice.text}>
          {notice.text}
        </p>
      ))}
    </div>
  );
}
