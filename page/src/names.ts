import type { Step } from "./types";

export interface Names {
  title: string;
  subtitle: string;
}

// "Sink sqlite /tmp/x/traffic.db:pages" -> "traffic.db:pages", "sqlite"; the user's name comes first.
export function namesOf(step: Step): Names {
  const own = !new RegExp(`^${step.kind}-\\d+`).test(step.name);
  if (step.kind === "source" || step.kind === "sink") {
    const [, system = step.kind, ...rest] = step.text.split(" ");
    const place = rest.join(" ");
    const short = place.includes("/") ? place.slice(place.lastIndexOf("/") + 1) : place;
    return { title: own ? step.name : short || system, subtitle: `${system} ${step.kind}` };
  }
  const kind = step.kind.replace(/[-_]/g, " ");
  const title = own ? step.name : kind.charAt(0).toUpperCase() + kind.slice(1);
  return { title, subtitle: step.text };
}

export function domId(id: string): string {
  return `node-${id.replace(/[^A-Za-z0-9_-]/g, "_")}`;
}
