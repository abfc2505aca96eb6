import { useEffect, useState } from "preact/hooks";

// The screen and what is selected on it are in the address, so that both can be sent to somebody.

export const SCREENS = ["pipeline", "results", "dead-letters", "checkpoints"] as const;
export type Screen = (typeof SCREENS)[number];

export interface Place {
  screen: Screen;
  selected: string | null;
}

function read(): Place {
  const [screen = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const known = SCREENS.find((name) => name === screen) ?? "pipeline";
  const selected = rest.map(decodeURIComponent).join("/");
  return { screen: known, selected: selected || null };
}

export function go(screen: Screen, selected: string | null = null): void {
  const rest = selected === null ? "" : `/${selected.split("/").map(encodeURIComponent).join("/")}`;
  location.hash = `#/${screen}${rest}`;
}

export function usePlace(): Place {
  const [place, move] = useState(read);
  useEffect(() => {
    const changed = (): void => move(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return place;
}
