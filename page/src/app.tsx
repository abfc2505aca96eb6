import { useEffect } from "preact/hooks";
import { useLive } from "./live";
import { Header } from "./parts/header";
import { Notices } from "./parts/notices";
import { usePlace } from "./route";
import { Checkpoints } from "./screens/checkpoints";
import { DeadLetters } from "./screens/dead_letters";
import { Pipeline } from "./screens/pipeline";
import { Results } from "./screens/results";
import { useTheme } from "./theme";
import type { Snapshot } from "./types";
import type { Place } from "./route";

export function App() {
  const { snapshot, connected } = useLive();
  const place = usePlace();
  const [theme, toggleTheme] = useTheme();
  useEffect(() => {
    document.title = snapshot ? `${snapshot.process} · Penstock` : "Penstock";
  }, [snapshot?.process]);
  return (
    <div class="app">
      <Header
        snapshot={snapshot}
        connected={connected}
        screen={place.screen}
        theme={theme}
        toggleTheme={toggleTheme}
      />
      <Notices snapshot={snapshot} connected={connected} />
      <main>
        {snapshot === null ? (
          <p class="empty">Connecting…</p>
        ) : (
          <Shown place={place} snapshot={snapshot} theme={theme} />
        )}
      </main>
    </div>
  );
}

function Shown(props: { place: Place; snapshot: Snapshot; theme: string }) {
  const { place, snapshot, theme } = props;
  if (snapshot.runs.length === 0) return <p class="empty">No pipeline runs in this process yet.</p>;
  switch (place.screen) {
    case "pipeline":
      return <Pipeline snapshot={snapshot} selected={place.selected} />;
    case "results":
      return <Results snapshot={snapshot} theme={theme} />;
    case "dead-letters":
      return <DeadLetters snapshot={snapshot} />;
    case "checkpoints":
      return <Checkpoints snapshot={snapshot} />;
  }
}
