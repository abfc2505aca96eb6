import { SCREENS } from "../route";
import type { Screen } from "../route";
import type { Theme } from "../theme";
import type { Snapshot } from "../types";
import { count } from "../format";

const LABELS: Record<Screen, string> = {
  pipeline: "Pipeline",
  results: "Results",
  "dead-letters": "Dead letters",
  checkpoints: "Checkpoints",
};

interface Props {
  snapshot: Snapshot | null;
  connected: boolean;
  screen: Screen;
  theme: Theme;
  toggleTheme: () => void;
}

export function Header({ snapshot, connected, screen, theme, toggleTheme }: Props) {
  const letters = snapshot?.runs.reduce((sum, run) => sum + run.dead_letters, 0) ?? 0;
  return (
    <header>
      <a class="brand" href="#/pipeline" aria-label="Penstock">
        <Logo />
        <span>Penstock</span>
      </a>
      <span class="process">{snapshot?.process}</span>
      <nav aria-label="Screens">
        {SCREENS.map((name) => (
          <a href={`#/${name}`} key={name} aria-current={name === screen ? "page" : undefined}>
            {LABELS[name]}
            {name === "dead-letters" && letters > 0 && <b class="badge">{count(letters)}</b>}
          </a>
        ))}
      </nav>
      <span class={connected ? "link on" : "link off"} role="status">
        {connected ? "live" : "not connected"}
      </span>
      <button class="icon" onClick={toggleTheme} aria-label="Dark or light" title="Dark or light">
        {theme === "dark" ? "☀" : "☾"}
      </button>
    </header>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0b6e99" />
      <path class="pipe" d="M7 9h8a5 5 0 0 1 5 5v4a5 5 0 0 0 5 5" stroke="#fff" />
      <path class="pipe" d="M7 17h4a5 5 0 0 1 5 5v1" stroke="#8fd3f4" />
    </svg>
  );
}
