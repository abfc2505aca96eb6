import { useCallback, useEffect } from "preact/hooks";
import { Graph } from "../graph/graph";
import { domId } from "../names";
import { Promises } from "../parts/promises";
import { Tiles } from "../parts/tiles";
import { go } from "../route";
import type { Snapshot } from "../types";
import { Detail } from "./detail";

export function Pipeline({ snapshot, selected }: { snapshot: Snapshot; selected: string | null }) {
  const select = useCallback((id: string) => go("pipeline", id), []);
  const [runName = "", stepName = ""] = selected?.split("/") ?? [];
  const run = snapshot.runs.find((known) => known.name === runName);
  const step = run?.steps.find((known) => known.name === stepName);
  useEffect(() => {
    const closed = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || !selected) return;
      go("pipeline");
      document.getElementById(domId(selected))?.focus();
    };
    addEventListener("keydown", closed);
    return () => removeEventListener("keydown", closed);
  }, [selected]);
  return (
    <div class={step ? "pipeline with-detail" : "pipeline"}>
      <div class="overview">
        <Tiles runs={snapshot.runs} />
        <Promises runs={snapshot.runs} />
        <Graph runs={snapshot.runs} selected={selected} select={select} />
      </div>
      {run && step && <Detail run={run} step={step} />}
    </div>
  );
}
