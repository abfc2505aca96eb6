import { useEffect, useState } from "preact/hooks";

async function asked<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(path, init);
  const found = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(found.error ?? response.statusText);
  return found;
}

export type Command = "pause" | "resume" | "stop";

export function command(run: string, what: Command): Promise<{ state: string }> {
  return asked(`/api/runs/${encodeURIComponent(run)}/${what}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
}

export function rowsPath(run: string, step: string): string {
  return `/api/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}/rows`;
}

export function contentsPath(run: string, sink: string): string {
  return `${sinkPath(run, sink)}/contents`;
}

export function filePath(run: string, sink: string, file: "rows.csv" | "rows.parquet"): string {
  return `${sinkPath(run, sink)}/${file}`;
}

export function lettersPath(run: string): string {
  return `/api/runs/${encodeURIComponent(run)}/dead-letters`;
}

function sinkPath(run: string, sink: string): string {
  return `/api/runs/${encodeURIComponent(run)}/sinks/${encodeURIComponent(sink)}`;
}

// Asks again a while after each answer, so that a slow server is asked less often. While the page is
// hidden, or `on` is false, nothing is asked.
export function usePolled<T>(path: string, everyMs: number, on = true): T | null {
  const [found, find] = useState<{ path: string; value: T } | null>(null);
  useEffect(() => {
    if (!on) return;
    let ended = false;
    let timer = 0;
    const ask = async (): Promise<void> => {
      if (!document.hidden) {
        try {
          const value = await asked<T>(path);
          if (!ended) find({ path, value });
        } catch {
          // The header says that the connection is lost; the last answer stays.
        }
      }
      if (!ended) timer = window.setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      ended = true;
      window.clearTimeout(timer);
    };
  }, [path, everyMs, on]);
  return found?.path === path ? found.value : null;
}
